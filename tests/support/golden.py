"""Texts that are kept, to see every change of them in a review.

`PAGEWARDEN_GOLDEN=write` writes them anew; look at the difference before it is committed.
"""

import os
from pathlib import Path


def golden(path: Path, text: str) -> str:
    """What is kept at `path`; first `text` is put there, if that was asked for."""
    if os.environ.get("PAGEWARDEN_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8")
