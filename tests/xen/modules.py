"""Kernel modules in the order in which they must be loaded, as they say it of each other.

A module's section .modinfo names what it depends on; so no depmod is needed, and none is asked.
"""

import re
from pathlib import Path

from tests.xen.trouble import LabError

_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


def in_order(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """The files of these modules, each behind those that it needs; built-in ones have none."""
    files = {path.stem.replace("-", "_"): path for path in folder.rglob("*.ko")}
    if not files:
        raise LabError(f"{folder}: no module is here; was the kernel's package unpacked?")
    found: list[Path] = []
    for name in names:
        _add(name.replace("-", "_"), files, found)
    return found


def _add(name: str, files: dict[str, Path], found: list[Path]) -> None:
    path = files.get(name)
    if path is None or path in found:
        return
    for needed in _needed_by(path):
        _add(needed, files, found)
    found.append(path)


def _needed_by(path: Path) -> list[str]:
    match = _DEPENDS.search(path.read_bytes())
    return (
        [name.replace("-", "_") for name in match[1].decode().split(",") if name] if match else []
    )
