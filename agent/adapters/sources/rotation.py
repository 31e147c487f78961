"""Which files a rotated log has been, and which of them comes next.

    kern.log.2   kern.log.1   kern.log         by number, or by date: kern.log-20240131
    the oldest                written to now

Only names that a rotation gives count: a copy that somebody made holds the same lines again.
Compressed ones cannot be gone on with. Their order is that in which they were last written to.
"""

import os
import re
from contextlib import suppress
from pathlib import Path

from agent.adapters.sources.log_file import FileId

_ROTATED = re.compile(r"[.-]\d[\d.-]{0,31}", re.ASCII)


def generations(path: Path) -> list[tuple[Path, os.stat_result]]:
    """`path` and the files it has been, the oldest first; those that are not there are left out."""
    found: list[tuple[Path, os.stat_result]] = []
    with suppress(OSError):
        for each in path.parent.iterdir():
            if _is_generation(each.name, path.name):
                with suppress(OSError):
                    found.append((each, each.stat()))
    return sorted(found, key=lambda each: (each[0].name == path.name, each[1].st_mtime_ns))


def _is_generation(name: str, log: str) -> bool:
    rest = name.removeprefix(log)
    return name == log or (rest != name and _ROTATED.fullmatch(rest) is not None)


def successor(path: Path, current: FileId, modified_ns: int) -> Path | None:
    """What follows the file `current`, which was last written to at `modified_ns`.

    None while it is the one that is written to, or nothing else is there.
    """
    known = generations(path)
    if any(each.name == path.name and id_of(stat) == current for each, stat in known):
        return None
    for each, stat in known:
        if id_of(stat) != current and (each.name == path.name or stat.st_mtime_ns > modified_ns):
            return each
    return None


def id_of(stat: os.stat_result) -> FileId:
    return stat.st_dev, stat.st_ino
