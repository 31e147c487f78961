"""Run in dom0: the PVH guest, its frames and what is in them.

    python3 -m tests.xen.inside.pvh start             create it; its domain
    python3 -m tests.xen.inside.pvh frames GFN…       the machine frame of each of its pages
    python3 -m tests.xen.inside.pvh words             every case of the table that is about it
    python3 -m tests.xen.inside.pvh fill GFN…         put into each page what only it has
    python3 -m tests.xen.inside.pvh changed GFN…      which of these pages are not as filled

Xen tells nobody which machine frame is behind a page of such a guest. So the table of owners is
kept as it was before the guest was there: a frame that was nobody's then, and is the page of that
number now, is the guest's.
"""

import json
import subprocess
import sys
from array import array
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from tests.xen.inside import libxc
from tests.xen.inside.beating import NAME
from tests.xen.inside.living import kernel
from tests.xen.inside.memory import Memory
from tests.xen.inside.store import Store
from tests.xen.table import PVH_CASES, answers

KERNEL, OWNERS = Path("/run/living"), Path("/run/owners-before")
CONFIG = "tests/xen/inside/lives.cfg"
PLACES = {"pvh": 0x800, "pvh first": 0x0}  # by the guest's own numbers


def start(*_: int) -> int:
    KERNEL.write_bytes(kernel())
    OWNERS.write_bytes(array("Q", libxc.m2p_now()).tobytes())
    subprocess.check_call(["xl", "create", "-q", CONFIG])
    return domid()


def domid() -> int:
    with closing(Store()) as store:
        found = store.domid(NAME)
    if found is None:
        raise LookupError(f"{NAME} is not there")
    return found


def frames(*pages: int) -> dict[int, int]:
    before = array("Q", OWNERS.read_bytes())
    now = libxc.m2p_now()
    return {
        now[mfn]: mfn
        for mfn in range(len(now))
        if now[mfn] in pages and before[mfn] == libxc.NOBODYS
    }


def words(*_: int) -> list[dict[str, object]]:
    where = frames(*PLACES.values())
    return [
        {"title": case.title, "answers": answers(case, where[PLACES[case.kind]], libxc.call)}
        for case in PVH_CASES
    ]


def fill(*pages: int) -> int:
    memory, guest = Memory(), domid()
    for page in pages:
        with memory.page(guest, page) as words:
            assert words is not None, "no such page"
            words[:] = [page ^ number for number in range(len(words))]
    return len(pages)


def changed(*pages: int) -> list[int]:
    memory, guest = Memory(), domid()
    return [page for page in pages if not _is_as_filled(memory, guest, page)]


def _is_as_filled(memory: Memory, guest: int, page: int) -> bool:
    with memory.page(guest, page) as words:
        return words is not None and list(words) == [page ^ number for number in range(len(words))]


def main(what: str, pages: Iterable[str]) -> None:
    told = {each.__name__: each for each in (start, frames, words, fill, changed)}
    sys.stdout.write(f"PVH {json.dumps(told[what](*map(int, pages)))}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
