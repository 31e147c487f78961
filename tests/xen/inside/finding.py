"""A frame of each kind on this machine.

Where nobody has a frame, the hypervisor itself is asked: what it says to an offline request, taken
back at once, tells the kind. That gives back free pages, which an agent must never do on this
release: so the host that was asked here is not used for anything afterwards.
"""

import ctypes
import mmap
import struct
import subprocess
from functools import cache

from tests.xen.inside import libxc
from tests.xen.table import FILLER, OFFLINE, ONLINE, Answer

_BY_ANSWER = {
    Answer("", (2,)): "free",
    Answer("", (0x1004,)): "dom0",
    Answer("", (0x7FF40408,)): "owner-less",
    Answer("", (0x7FF21004,)): "m2p",
    Answer("", (0x7FF11004,)): "low",
    Answer("", (0x7FF20104,)): "xen heap",
    Answer("EPERM", (0x7FF20108,)): "xen image",
    Answer("EINVAL", (0x808,)): "reserved",
    Answer("EINVAL", (FILLER,)): "beyond",
}
_SURELY_FREE = 0x5000  # low enough that Xen gives it to nobody while there is other memory
_BY_HAND = ("free", "low", "reserved", "xen image", "xen heap", "m2p", "owner-less")


def kind(mfn: int) -> str | None:
    answer = libxc.call(OFFLINE, mfn, mfn)
    if not answer.errno:
        libxc.call(ONLINE, mfn, mfn)
    return _BY_ANSWER.get(answer)


def places(domid: int) -> dict[str, int]:
    """The frame, or the first one, of all kinds that the table names; absent: there is none."""
    return _by_answer() | _of_guest(domid) | _beginnings() | {"dom0": _own_page(domid)}


def _by_answer() -> dict[str, int]:
    owners = libxc.m2p()
    down = range(libxc.frames() - 1, 0, -1)
    found = {"beyond": libxc.frames() + 0x1000, "free": _SURELY_FREE}
    for mfn in (*range(0x100), *down):
        if owners[mfn] == libxc.NOBODYS:
            found.setdefault(kind(mfn) or "?", mfn)
        if found.keys() >= set(_BY_HAND):
            break
    return found


def _of_guest(domid: int) -> dict[str, int]:
    by_type: dict[int, list[int]] = {}
    for mfn, type_ in libxc.owned(domid).items():
        by_type.setdefault(type_ & 7, []).append(mfn)
    found = {f"guest L{level}": by_type[level][0] for level in range(1, 5) if level in by_type}
    ring = subprocess.check_output(["xenstore-read", f"/local/domain/{domid}/store/ring-ref"])
    return found | {"guest": by_type[0][len(by_type[0]) // 2], "guest ring": int(ring)}


def _beginnings() -> dict[str, int]:
    """Where a range of several kinds begins."""
    end = libxc.frames()
    image = next(mfn for mfn in range(end - 0x1000, end) if kind(mfn) == "xen image")
    return {
        "four free": _SURELY_FREE,
        "free then dom0": _free_then_dom0(),
        "dom0 then image": image - 1,
        "low then reserved": 0x9D,
        "last": end - 3,
    }


def _free_then_dom0() -> int:
    owners = libxc.m2p()
    wanted = ["free", "free", "dom0", "dom0"]
    for mfn in range(_SURELY_FREE, libxc.frames() - 4):
        borders = [owner == libxc.NOBODYS for owner in owners[mfn : mfn + 4]] == [
            True,
            True,
            False,
            False,
        ]
        if borders and [kind(each) for each in range(mfn, mfn + 4)] == wanted:
            return mfn
    raise LookupError("no free page is beside dom0's")


@cache
def _page() -> mmap.mmap:
    """A page of this program's own, kept where it is."""
    page = mmap.mmap(-1, mmap.PAGESIZE)
    page[:4] = b"here"
    return page


def _own_page(guest: int) -> int:
    """The machine frame of a page of ours. The kernel tells dom0's own number for it, and the guest
    may have a page of the same number.
    """
    address = ctypes.addressof(ctypes.c_char.from_buffer(_page()))
    with open("/proc/self/pagemap", "rb") as pagemap:  # noqa: PTH123 -- read at an offset, 8 bytes
        pagemap.seek(address // mmap.PAGESIZE * 8)
        (entry,) = struct.unpack("<Q", pagemap.read(8))
    own = entry & ((1 << 55) - 1)
    others = libxc.owned(guest)
    return next(mfn for mfn, at in enumerate(libxc.m2p()) if at == own and mfn not in others)
