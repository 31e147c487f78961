"""/dev/mcelog for tests: the records of Xen's dom0, and a device that forgets what it hands out."""

import struct


def a_record(page: int = 0x45678, mcacod: int = 0x0090) -> bytes:
    """An error as Xen hands it out: STATUS, MISC and ADDR, no time, Intel, bank 7 of CPU 0."""
    return struct.pack(
        "<7Q 4B I 4B 3I 4Q",
        *(0x9C00004000010000 | mcacod, 0x86, page << 12 | 0x040, 0, 0, 0, 0),
        *(1, 0, 0, 0, 0),
        *(0, 7, 0, 1, 0, 0, 0),
        *(0x100010A, 0, 0, 0),
    )


class FakeDevice:
    """The three calls and the read, over a list."""

    def __init__(self, *records: bytes) -> None:
        self.log = list(records)
        self.is_full = False
        self.fails: OSError | None = None
        self.sizes: list[int] = []

    def record_bytes(self) -> int:
        return len(a_record())

    def log_records(self) -> int:
        return 32

    def overflowed(self) -> bool:
        was, self.is_full = self.is_full, False
        return was

    def read(self, size: int) -> bytes:
        if self.fails:
            raise self.fails
        self.sizes.append(size)
        read, self.log = b"".join(self.log), []
        return read

    def close(self) -> None: ...
