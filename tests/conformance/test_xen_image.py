"""What the lab keeps on its user's disk."""

import os
from pathlib import Path

from tests.xen.image import KEPT_SECONDS, forget_old

NOW = 2_000_000_000.0


def used_at(folder: Path, when: float) -> Path:
    (folder / "inner").mkdir(parents=True)
    os.utime(folder, (when, when))
    return folder


def test_an_image_that_nobody_used_for_long_is_removed_and_nothing_else(tmp_path: Path) -> None:
    old = used_at(tmp_path / "image-0123456789ab", NOW - KEPT_SECONDS - 1)
    used = used_at(tmp_path / "image-ba9876543210", NOW - KEPT_SECONDS + 1)
    others = used_at(tmp_path / "packages", 0.0)
    forget_old(tmp_path, NOW)
    assert [each.exists() for each in (old, used, others)] == [False, True, True]
