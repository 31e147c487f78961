"""libxenctrl and libxenguest: the calls about pages, by ctypes, each about one page.

The libraries carry the version of the call's interface in themselves, and their file names carry
the release. So the ones of the running release are loaded, by name, and no others; should they not
fit for all that, Xen answers EACCES and changes nothing.

Where this is from: the prototypes are those of `xenctrl.h` and `xenguest.h` of 4.17, and were used
so against a 4.17.7. There a call took 0.13 ms.
"""

import ctypes
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from agent.adapters.xen.releases import Release
from agent.adapters.xen.words import FILLER, Answer
from agent.contract.errors import AgentError, PeerError
from agent.contract.frames import MFN_MAX, DomId, Mfn
from agent.contract.hypercall import SysctlCommand

CALLS: dict[SysctlCommand, str] = {
    SysctlCommand.OFFLINE: "xc_mark_page_offline",
    SysctlCommand.ONLINE: "xc_mark_page_online",
    SysctlCommand.QUERY: "xc_query_page_offline_status",
}
_FAST = 1


class Library(Protocol):
    """What is called of Xen's libraries. It blocks, and may never return: see `pinned`."""

    def ask(self, command: SysctlCommand, mfn: Mfn) -> Answer:
        """One page: from `mfn` to `mfn`. A range is not to be had here."""
        ...

    def frames(self) -> int:
        """How many frames Xen numbers, holes among them."""
        ...

    def resume(self, domid: DomId) -> None:
        """Have a suspended domain go on as if it had not been, on the frames that it had."""
        ...


class XenLibrary:
    """The real one. Opened where it is used: a handle belongs to one thread at a time."""

    def __init__(self, release: Release) -> None:
        """Raises AgentError where it is not to be had."""
        self._control = _load("xenctrl", release)
        self._guest = _load("xenguest", release)
        for name in CALLS.values():
            # xc_interface *, unsigned long start, unsigned long end, uint32_t *status
            words = ctypes.POINTER(ctypes.c_uint32)
            _declare(self._guest, name, ctypes.c_ulong, ctypes.c_ulong, words)
        _declare(self._guest, "xc_domain_resume", ctypes.c_uint32, ctypes.c_int)
        _declare(self._control, "xc_maximum_ram_page", ctypes.POINTER(ctypes.c_ulong))
        self._handle = self._opened()

    def ask(self, command: SysctlCommand, mfn: Mfn) -> Answer:
        if not 0 <= mfn <= MFN_MAX:  # the library would cut it, and mean another page
            raise PeerError(f"page {mfn:#x} has more than the 32 bits that Xen's call carries")
        word = ctypes.c_uint32(FILLER)
        ret, why = self._call(getattr(self._guest, CALLS[command]), mfn, mfn, ctypes.byref(word))
        return Answer(ret, why if ret else 0, word.value)

    def frames(self) -> int:
        count = ctypes.c_ulong()
        ret, why = self._call(self._control.xc_maximum_ram_page, ctypes.byref(count))
        if ret:
            raise PeerError(f"xc_maximum_ram_page: errno {why}")
        return count.value

    def resume(self, domid: DomId) -> None:
        """By the path that `xl` itself takes when a save fails: no frame has been moved."""
        ret, why = self._call(self._guest.xc_domain_resume, domid, _FAST)
        if ret:
            raise PeerError(f"xc_domain_resume of domain {domid}: errno {why}")

    def _call(self, function: Callable[..., int], *arguments: object) -> tuple[int, int]:
        ctypes.set_errno(0)
        return function(self._handle, *arguments), ctypes.get_errno()

    def _opened(self) -> int:
        open_ = self._control.xc_interface_open
        open_.restype = ctypes.c_void_p
        open_.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint]
        handle: int | None = open_(None, None, 0)
        if handle is None:
            raise AgentError(
                "Xen's privileged interface cannot be opened: be root, in dom0, with "
                "`modprobe xen-privcmd` done"
            )
        return handle


def _load(name: str, release: Release) -> ctypes.CDLL:
    file = f"lib{name}.so.{release.name}"
    with suppress(OSError):
        return ctypes.CDLL(file, use_errno=True)
    raise AgentError(
        f"{file} is not here, and Xen {release} runs: install the tools of that very release "
        f"(Debian: libxenmisc{release.name})"
    )


def _declare(library: ctypes.CDLL, name: str, *arguments: type) -> None:
    """Have `name` take a handle and these, and return an int."""
    try:
        function = getattr(library, name)
    except AttributeError:
        raise AgentError(
            f"Xen's libraries have no {name}: this is not what was installed"
        ) from None
    function.argtypes = [ctypes.c_void_p, *arguments]
    function.restype = ctypes.c_int
