"""The kernel that the lab gives a PVH guest is one that Xen's domain builder understands."""

import struct

from tests.xen.inside.living import ENTRY, kernel

PT_LOAD, PT_NOTE = 1, 4
XEN_ELFNOTE_PHYS32_ENTRY = 18
MOV_ESI = 0xBE


def segments(file: bytes) -> dict[int, tuple[int, int, int]]:
    """Of each program header: its offset, its physical address, its size."""
    (at,), (size, count) = struct.unpack_from("<I", file, 28), struct.unpack_from("<HH", file, 42)
    headers = [struct.unpack_from("<8I", file, at + size * number) for number in range(count)]
    return {kind: (offset, paddr, length) for kind, offset, _, paddr, length, *_ in headers}


def test_it_is_an_elf_file_of_32_bits() -> None:
    assert kernel().startswith(b"\x7fELF\x01\x01")


def test_xens_note_says_where_it_begins() -> None:
    file = kernel()
    offset, _, size = segments(file)[PT_NOTE]
    note = struct.unpack("<III4sI", file[offset : offset + size])
    assert note == (4, 4, XEN_ELFNOTE_PHYS32_ENTRY, b"Xen\0", ENTRY)


def test_the_code_is_loaded_there_and_is_all_that_is_left_of_the_file() -> None:
    file = kernel()
    offset, address, size = segments(file)[PT_LOAD]
    assert address == ENTRY
    assert offset + size == len(file)
    assert file[offset] == MOV_ESI
