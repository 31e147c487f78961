"""`struct mce` as /dev/mcelog and pstore hand it out: records of one length, little-endian.

     0 status  8 misc  16 addr  24 mcgstatus  32 ip  40 tsc  48 time     eight bytes each
    56 vendor (1)  57 inject_flags (1)  58 severity (1)  59 pad (1)  60 cpuid (4)
    64 cs (1)  65 bank (1)  66 cpu (1)  67 finished (1)  68 extcpu (4)  72 socket (4)  76 apicid (4)
    80 mcgcap  88 synd  96 ipid  104 ppin                                eight bytes each

Kernels have made it longer over the years, from 88 bytes to 128; what a short one lacks is unsaid,
and what a longer one adds is not looked at. The file does not say its records' length, so it is the
one by which every record looks like one. If two lengths do, the reader must be told. Xen's dom0
leaves the time out. A record counts as a line.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence

from agent.telemetry.machine_check import VAL, MachineCheck, judged
from agent.telemetry.prefixes import Unsaid
from agent.telemetry.record import Outcome, Refused
from agent.telemetry.source import Opening, Source

RECORD_BYTES_MIN = 88
RECORD_BYTES_MAX = 128
_LENGTHS = range(RECORD_BYTES_MIN, RECORD_BYTES_MAX + 1, 8)

_LAYOUT = struct.Struct("<7Q 4B I 4B 3I 4Q")
_SECOND_NS = 1_000_000_000
_VENDOR_MAX = 16  # Xen's number of Hygon; Linux's end before
_MADE_UP_BANK_MIN = 128  # from here on the kernel reports what no bank holds


def is_mce_struct(begins: Opening) -> bool:
    """True if there is a length by which the head is made of records."""
    return bool(_lengths(begins.head))


def decode(source: Source, unsaid: Unsaid) -> Iterator[Outcome]:
    """The errors that the records of `source` report."""
    lengths = [unsaid.record_bytes] if unsaid.record_bytes else _lengths(source.head)
    if len(lengths) != 1:
        yield Refused(1, _undecided(lengths))
        return
    (length,) = lengths
    for number, record in enumerate(_records(source.chunks(), length), 1):
        if len(record) == length:
            yield judged(_check(record), number, unsaid.boot_ns)
        else:
            yield Refused(number, f"{len(record)} bytes at the end are no record of {length}")


def _undecided(lengths: Sequence[int]) -> str:
    could = f"could be {' or '.join(map(str, lengths))} bytes" if lengths else "fit no length"
    return f"struct mce: its records {could} each: tell it with --record-bytes"


def _lengths(head: bytes) -> list[int]:
    """Every length by which `head` is made of records; without a rest, if there are such."""
    fitting = [length for length in _LENGTHS if _fits(head, length)]
    return [length for length in fitting if len(head) % length == 0] or fitting


def _fits(head: bytes, length: int) -> bool:
    starts = range(0, len(head) - length + 1, length)
    return bool(starts) and all(_is_record(head[at : at + length]) for at in starts)


def _is_record(record: bytes) -> bool:
    fields = _fields(record)
    status, vendor, pad, finished = fields[0], fields[7], fields[10], fields[15]
    bank, cpu, extcpu = fields[13], fields[14], fields[16]
    says_something = bool(status & VAL) or bank >= _MADE_UP_BANK_MIN
    is_sound = vendor <= _VENDOR_MAX and pad == 0 and finished <= 1
    return says_something and is_sound and cpu == extcpu & 0xFF


def _fields(record: bytes) -> tuple[int, ...]:
    return _LAYOUT.unpack_from(record.ljust(_LAYOUT.size, b"\0"))


def _records(chunks: Iterable[bytes], length: int) -> Iterator[bytes]:
    """Pieces of `length` bytes, and what is left at the end."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        whole = len(rest) - len(rest) % length
        yield from (rest[at : at + length] for at in range(0, whole, length))
        rest = rest[whole:]
    if rest:
        yield rest


def _check(record: bytes) -> MachineCheck:
    fields = _fields(record)
    return MachineCheck(
        status=fields[0],
        misc=fields[1],
        addr=fields[2],
        time_ns=fields[6] * _SECOND_NS,
        vendor=fields[7],
        cpuid=fields[11],
        bank=fields[13],
        cpu=fields[16],
        socket=fields[17],
        mcgcap=fields[19],
        synd=fields[20],
        ipid=fields[21],
    )
