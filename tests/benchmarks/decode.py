"""How fast each format is read: records a second, from bytes to `Decoded`.

The floor is the same bytes cut into lines (or records of a fixed length) and nothing else. What
varies in a stream varies here too: addresses, times, counts, channels. Seconds are of the
processor: nothing here waits, and what others do on the machine is not counted.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from random import Random
from time import process_time

from agent.telemetry.formats import FORMATS, Format
from agent.telemetry.lines import lines
from agent.telemetry.prefixes import Unsaid
from agent.telemetry.record import Decoded
from agent.telemetry.source import Stream
from tests.benchmarks.measure import QUICK, RUNS, Result, report, result
from tests.support import logs, machine_checks

RECORDS = 10_000 if QUICK else 200_000
CHUNK_BYTES = 64 * 1024
UNSAID = Unsaid(latest=datetime(2024, 6, 30, tzinfo=UTC), record_bytes=128)

Write = Callable[[Random], bytes]


def mcelog(rng: Random) -> bytes:
    """As `mcelog --ascii` reads it."""
    return _varied(machine_checks.MCELOG_INPUT, rng)


def mcelog_output(rng: Random) -> bytes:
    """As mcelog writes it, with its words."""
    return _varied(machine_checks.MCELOG_OUTPUT, rng)


def mce_inject(rng: Random) -> bytes:
    return _varied(machine_checks.MCE_INJECT, rng)


def mce_record(rng: Random) -> bytes:
    event = machine_checks.TRACE_PREFIX + machine_checks.TRACE_LAYOUTS[1] + "\n"
    return _varied(event, rng).replace(b"0000000123456780", b"%016x" % _address(rng))


def mce_struct(rng: Random) -> bytes:
    return machine_checks.struct_mce(128, addr=_address(rng), time=_seconds(rng))


def xen(rng: Random) -> bytes:
    text = (machine_checks.XEN_CMCI + machine_checks.XEN_BANK).encode()
    return text.replace(b"        45678040", b"%16x" % _address(rng))


def edac(rng: Random) -> bytes:
    return f"{logs.LINE}\n".encode().replace(b"0x12345", b"0x%x" % (_address(rng) >> 12))


def smartmem(rng: Random) -> bytes:
    return f"{logs.ROW}\n".encode().replace(b"158945787264", b"%d" % _address(rng))


# Each benchmark: the format, what is written, and what must come before it.
CASES: dict[str, tuple[str, Write, bytes]] = {
    "mcelog": ("mcelog", mcelog, b""),
    "mcelog_output": ("mcelog", mcelog_output, b""),
    "mce_inject": ("mce-inject", mce_inject, b""),
    "mce_record": ("mce-record", mce_record, b""),
    "mce_struct": ("mce-struct", mce_struct, b""),
    "xen": ("xen", xen, b""),
    "edac": ("edac", edac, b""),
    "smartmem": ("smartmem", smartmem, f"{logs.HEADER}\n".encode()),
}


def main() -> None:
    forms = {form.name: form for form in FORMATS}
    report([_measured(case, forms[CASES[case][0]]) for case in CASES])


def _measured(case: str, form: Format) -> Result:
    _, write, head = CASES[case]
    rng = Random(8412)
    data = head + b"".join(write(rng) for _ in range(RECORDS))
    speeds = [RECORDS / _seconds_of(lambda: _decode(form, data)) for _ in range(RUNS)]
    floors = [RECORDS / _seconds_of(lambda: _cut(form, data)) for _ in range(RUNS)]
    return result(f"decode_{case}", "records/s", speeds, floors)


def _seconds_of(call: Callable[[], object]) -> float:
    since = process_time()
    call()
    return max(process_time() - since, 1e-9)


def _decode(form: Format, data: bytes) -> None:
    chunks = _chunks(data)
    read = sum(isinstance(o, Decoded) for o in form.decode(Stream(next(chunks), chunks), UNSAID))
    assert read == RECORDS, f"{form.name}: {read} of {RECORDS}"


def _cut(form: Format, data: bytes) -> None:
    if form.name == "mce-struct":
        for at in range(0, len(data), 128):
            data[at : at + 128]
        return
    for _ in lines(_chunks(data)):
        pass


def _chunks(data: bytes) -> Iterator[bytes]:
    return (data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES))


def _varied(text: str, rng: Random) -> bytes:
    status = b"8c%06x0001009%d" % (rng.choice((0x000040, 0x000080, 0x0000C0)), rng.randrange(4))
    data = text.encode().replace(b"8c00008000010092", status)
    data = data.replace(b"45678040", b"%x" % _address(rng))
    return data.replace(b"1700000000", b"%d" % _seconds(rng))


def _address(rng: Random) -> int:
    return rng.randrange(1 << 24, 1 << 37) & ~0x3F


def _seconds(rng: Random) -> int:
    return rng.randrange(1_600_000_000, 1_700_000_000)


if __name__ == "__main__":
    main()
