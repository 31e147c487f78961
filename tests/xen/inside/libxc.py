"""Xen's own libraries, as dom0 has them: the page-offline call, and whose a frame is.

This is the lab's own way to the hypervisor, apart from the agent's: who checks the agent by its raw
status words must not read them through the agent. It runs on physical CPU 1, where dom0 is pinned
one to one: after a first call on CPU 0, the second for a PV domain hangs the machine.
"""

import ctypes
import errno
import mmap
import os
from array import array
from collections.abc import Sequence
from functools import cache

from tests.xen.table import OFFLINE, ONLINE, QUERY, Answer

_VERSION = "4.17"
_UNTOUCHED = 0xA5A5A5A5
NOBODYS = (1 << 64) - 1
_PV_FRAMES = 1 << 18  # a guest's own frame numbers are below; Xen logs a line for each that is not
_NOT_ITS_OWN = 0xF

os.sched_setaffinity(0, {1})


@cache
def _control() -> ctypes.CDLL:
    library = ctypes.CDLL(f"libxenctrl.so.{_VERSION}", use_errno=True)
    library.xc_interface_open.restype = ctypes.c_void_p
    library.xc_interface_open.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint]
    library.xc_maximum_ram_page.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_ulong)]
    library.xc_get_pfn_type_batch.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_uint,
        ctypes.POINTER(ctypes.c_uint64),
    ]
    return library


@cache
def _guest() -> ctypes.CDLL:
    library = ctypes.CDLL(f"libxenguest.so.{_VERSION}", use_errno=True)
    words = ctypes.POINTER(ctypes.c_uint32)
    calls = ("xc_mark_page_offline", "xc_mark_page_online", "xc_query_page_offline_status")
    for name in calls:
        getattr(library, name).argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong, words]
    library.xc_map_m2p.restype = ctypes.c_void_p
    library.xc_map_m2p.argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int, ctypes.c_void_p]
    return library


@cache
def _handle() -> int:
    handle = _control().xc_interface_open(None, None, 0)
    if not handle:
        raise OSError(ctypes.get_errno(), "xc_interface_open")
    return int(handle)


def call(command: int, first: int, last: int) -> Answer:
    """The call itself, with every word that came back."""
    functions = {
        OFFLINE: _guest().xc_mark_page_offline,
        ONLINE: _guest().xc_mark_page_online,
        QUERY: _guest().xc_query_page_offline_status,
    }
    count = max(last - first + 1, 1)
    words = (ctypes.c_uint32 * count)(*([_UNTOUCHED] * count))
    ctypes.set_errno(0)
    failed = functions[command](_handle(), first, last, words)
    name = errno.errorcode.get(ctypes.get_errno(), "?") if failed else ""
    touched = any(word != _UNTOUCHED for word in words)
    return Answer(name, tuple(words) if touched else ())


@cache
def frames() -> int:
    """How many frames there are: one more than the last one's number."""
    last = ctypes.c_ulong()
    if _control().xc_maximum_ram_page(_handle(), ctypes.byref(last)):
        raise OSError(ctypes.get_errno(), "xc_maximum_ram_page")
    return last.value


@cache
def m2p() -> Sequence[int]:
    """To each machine frame its owner's own number for it, or `NOBODYS`; as first asked."""
    return m2p_now()


def m2p_now() -> Sequence[int]:
    """The same, as it is now."""
    address = _guest().xc_map_m2p(_handle(), frames(), mmap.PROT_READ, None)
    if not address:
        raise OSError(ctypes.get_errno(), "xc_map_m2p")
    return array("Q", ctypes.string_at(address, frames() * 8))


def owned(domid: int) -> dict[int, int]:
    """The frames of a PV guest, with their types: 0 plain, 1 to 4 page tables (+ 8: pinned)."""
    asked = [mfn for mfn, own in enumerate(m2p()) if own < _PV_FRAMES]
    found: dict[int, int] = {}
    for begin in range(0, len(asked), 1024):
        part = asked[begin : begin + 1024]
        types = (ctypes.c_uint64 * len(part))(*part)
        if _control().xc_get_pfn_type_batch(_handle(), domid, len(part), types):
            raise OSError(ctypes.get_errno(), "xc_get_pfn_type_batch")
        found |= {mfn: (word >> 28) & 0xF for mfn, word in zip(part, types, strict=True)}
    return {mfn: kind for mfn, kind in found.items() if kind != _NOT_ITS_OWN}
