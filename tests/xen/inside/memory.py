"""A guest's memory as dom0 sees it: a page at a time, mapped only while it is looked at."""

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager

_READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
Words = ctypes.Array[ctypes.c_uint32]


class Memory:
    def __init__(self) -> None:
        self._library = ctypes.CDLL("libxenforeignmemory.so.1", use_errno=True)
        self._library.xenforeignmemory_open.restype = ctypes.c_void_p
        self._library.xenforeignmemory_open.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        self._library.xenforeignmemory_map.restype = ctypes.c_void_p
        self._library.xenforeignmemory_map.argtypes = [
            ctypes.c_void_p,
            ctypes.c_uint32,
            ctypes.c_int,
            ctypes.c_size_t,
            ctypes.POINTER(ctypes.c_ulong),
            ctypes.POINTER(ctypes.c_int),
        ]
        self._library.xenforeignmemory_unmap.argtypes = [
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_size_t,
        ]
        self._handle = self._library.xenforeignmemory_open(None, 0)

    @contextmanager
    def page(self, domid: int, frame: int) -> Iterator[Words | None]:
        """Its 1,024 words; None if there is no such page, or no such domain any more."""
        asked, failed = (ctypes.c_ulong * 1)(frame), (ctypes.c_int * 1)()
        address = self._library.xenforeignmemory_map(
            self._handle, domid, _READ_WRITE, 1, asked, failed
        )
        if not address:
            yield None
            return
        try:
            if failed[0]:  # mapped all the same: to touch it is the end of this program
                yield None
                return
            yield (ctypes.c_uint32 * (mmap.PAGESIZE // 4)).from_address(address)
        finally:
            self._library.xenforeignmemory_unmap(self._handle, address, 1)
