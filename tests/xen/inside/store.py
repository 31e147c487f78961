"""Xen's store of names and wishes, without a program for each look."""

import ctypes


class Store:
    def __init__(self) -> None:
        self._library = ctypes.CDLL("libxenstore.so.4", use_errno=True)
        self._library.xs_open.restype = ctypes.c_void_p
        self._library.xs_read.restype = ctypes.c_void_p
        self._library.xs_directory.restype = ctypes.c_void_p
        asked = (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_char_p)
        self._library.xs_read.argtypes = [*asked, ctypes.POINTER(ctypes.c_uint)]
        self._library.xs_directory.argtypes = [*asked, ctypes.POINTER(ctypes.c_uint)]
        self._library.xs_write.argtypes = [*asked, ctypes.c_char_p, ctypes.c_uint]
        self._library.xs_close.argtypes = [ctypes.c_void_p]
        self._free = ctypes.CDLL(None).free
        self._free.argtypes = [ctypes.c_void_p]
        self._handle = self._library.xs_open(0)

    def close(self) -> None:
        self._library.xs_close(self._handle)

    def read(self, path: str) -> str | None:
        """None if there is nothing of that name."""
        size = ctypes.c_uint()
        found = self._library.xs_read(self._handle, 0, path.encode(), ctypes.byref(size))
        if not found:
            return None
        text = ctypes.string_at(found, size.value).decode()
        self._free(found)
        return text

    def write(self, path: str, text: str) -> None:
        self._library.xs_write(self._handle, 0, path.encode(), text.encode(), len(text))

    def domid(self, name: str) -> int | None:
        """Of the youngest domain of that name: a restored guest may stand beside what it was."""
        found = [
            each for each in self._domains() if self.read(f"/local/domain/{each}/name") == name
        ]
        return max(found, default=None)

    def _domains(self) -> list[int]:
        count = ctypes.c_uint()
        path = b"/local/domain"
        found = self._library.xs_directory(self._handle, 0, path, ctypes.byref(count))
        if not found:
            return []
        names = (ctypes.c_char_p * count.value).from_address(found)
        domains = [int(name) for name in names if name is not None]
        self._free(found)
        return domains
