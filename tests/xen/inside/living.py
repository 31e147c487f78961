"""A kernel of 45 bytes for a PVH guest: it lives, and that is all it does.

Debian's kernel dies early in a PVH guest under this emulation, so the guest has one of ours. It
counts in a word of its own memory, which dom0 reads as its heartbeat, and stops for a save when
dom0 sets the word beside it. What a kernel's own driver would say to the toolstack meanwhile, dom0
says in its place (`beating.py`).

    COUNT    counted up, without end
    STOP     not 0: stop as one who is to be saved, once
    REASON   what is told with that: 2, "suspend"
"""

import struct

ENTRY = 0x100000  # where it is loaded, and begins: flat 32-bit mode without paging
PAGE = 0x200  # the page of its words
COUNT, STOP, REASON = 0, 4, 8

_SUSPEND = 2
_SCHED_OP, _SHUTDOWN = 29, 2  # a hypercall's number, and its first argument
_NOTE_PHYS32_ENTRY = 18  # Xen's note that says: begin here, as PVH
_LOAD, _NOTE = 1, 4  # kinds of program headers

_CODE = b"".join(
    (
        b"\xbe" + struct.pack("<I", PAGE << 12),  # mov esi, PAGE
        b"\xc7\x46" + struct.pack("<BI", REASON, _SUSPEND),  # mov [esi+REASON], "suspend"
        # again:
        b"\xff\x06",  # inc [esi]
        b"\x83\x7e" + struct.pack("<BB", STOP, 0),  # cmp [esi+STOP], 0
        b"\x74\xf8",  # je again
        b"\xc7\x46" + struct.pack("<BI", STOP, 0),  # mov [esi+STOP], 0
        b"\xbb" + struct.pack("<I", _SHUTDOWN),  # mov ebx, "shutdown"
        b"\x8d\x4e" + struct.pack("<B", REASON),  # lea ecx, [esi+REASON]
        b"\xb8" + struct.pack("<I", _SCHED_OP),  # mov eax, "sched_op"
        b"\x0f\x01\xd9",  # vmmcall: AMD's word for it, as of this machine
        b"\xeb\xdf",  # jmp again
    )
)


def kernel() -> bytes:
    """The file: an ELF of 32 bits with the code and Xen's note."""
    note_at = 52 + 2 * 32
    note = struct.pack("<III4sI", 4, 4, _NOTE_PHYS32_ENTRY, b"Xen\0", ENTRY)
    code_at = note_at + len(note)
    ident = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    header = struct.pack("<16sHHIIIIIHHHHHH", ident, 2, 3, 1, ENTRY, 52, 0, 0, 52, 32, 2, 40, 0, 0)
    return header + _segment(_LOAD, code_at, _CODE) + _segment(_NOTE, note_at, note) + note + _CODE


def _segment(kind: int, offset: int, content: bytes) -> bytes:
    address = ENTRY if kind == _LOAD else 0
    return struct.pack("<8I", kind, offset, address, address, len(content), len(content), 7, 4)
