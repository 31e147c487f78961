"""What real machines wrote. It stays in `$PAGEWARDEN_CORPUS`; nothing of it is copied here."""

import os
from pathlib import Path

import pytest

_VARIABLE = "PAGEWARDEN_CORPUS"


def corpus(name: str) -> Path:
    """The file `name` of the corpus; the test is skipped where there is none.

    With `corpus` in `$PAGEWARDEN_REQUIRE` it fails instead, so that CI cannot skip it by accident.
    """
    path = Path(os.environ.get(_VARIABLE, "/nonexistent")) / name
    if path.is_file():
        return path
    reason = f"no {name} in the corpus: point ${_VARIABLE} at the folder of real logs"
    if "corpus" in os.environ.get("PAGEWARDEN_REQUIRE", ""):
        pytest.fail(reason)
    pytest.skip(reason)
