"""`python -m tests.fuzz`: does every decoder survive what logs can do to it, quickly and in bounds?

Each decoder of the table of formats reads a stream of broken lines, one at a time. It must raise
nothing, and say nothing but ereports and refusals; its memory must not grow; and no line may take
longer than a millisecond, measured again by itself with the lines before it, so that a busy machine
is not taken for slow code. Read again in large chunks, the stream must say the same.

With `--gigabyte`, `pagewarden decode` reads that much from a pipe, and its memory is measured.
"""

import argparse
import gc
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from heapq import heappush, heapreplace
from itertools import chain, islice
from pathlib import Path
from time import perf_counter
from uuid import UUID

from agent.telemetry.formats import FORMATS, Format
from agent.telemetry.prefixes import Unsaid
from agent.telemetry.record import Outcome, Refused
from agent.telemetry.source import Stream
from tests.fuzz import gigabyte, pieces
from tests.fuzz.mutator import mutated
from tests.fuzz.rows import Rows

LINES = 1_000_000
IN_ROWS = "rasdaemon-db"
LINE_SECONDS_MAX = 1e-3
GROWTH_BYTES_MAX = 32 << 20
MEASURED_AGAIN = 200  # of the slowest lines: a busy machine makes others slow, too
REPEATS = 5
CONTEXT_LINES = 64  # before a line that is measured again: a record may have begun there
CHUNK_LINES = 500
TOLD_BYTES = 200  # of a line
DIGEST_EVERY = 10_000  # outcomes: where two readings differ is told this closely

UNSAID = Unsaid(latest=datetime(2024, 6, 30, tzinfo=UTC), record_bytes=112)
BOOT = UUID(int=1)


@dataclass(slots=True, order=True)
class Slow:
    """A line that took long, with what it needs to be measured again."""

    seconds: float
    before: tuple[bytes, ...]
    line: bytes


@dataclass(slots=True)
class Watch:
    """Hands out chunks, and measures how long each keeps the decoder busy."""

    slowest: list[Slow] = field(default_factory=list[Slow])
    last_seconds: float = 0.0

    def over(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        before: deque[bytes] = deque(maxlen=CONTEXT_LINES)
        for chunk in chunks:
            since = perf_counter()
            yield chunk
            self.last_seconds = perf_counter() - since
            self._note(self.last_seconds, before, chunk)
            before.append(chunk)

    def _note(self, seconds: float, before: Iterable[bytes], line: bytes) -> None:
        if len(self.slowest) < MEASURED_AGAIN:
            heappush(self.slowest, Slow(seconds, tuple(before), line))
        elif seconds > self.slowest[0].seconds:
            heapreplace(self.slowest, Slow(seconds, tuple(before), line))


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 if every decoder held."""
    options = _options(arguments)
    if options.gigabyte:
        return gigabyte.run(options.bytes)
    chosen = [form for form in FORMATS if options.format in {None, form.name}]
    troubles = [
        f"{form.name}: {trouble}"
        for form in chosen
        for trouble in (fuzz_rows if form.name == IN_ROWS else fuzz)(form, options)
    ]
    _tell(*troubles, "held" if not troubles else f"{len(troubles)} troubles")
    return bool(troubles)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--lines", type=int, default=LINES, help="for each decoder")
    parser.add_argument("--seed", type=int, default=8412)
    parser.add_argument("--format", choices=[form.name for form in FORMATS], help="only this one")
    parser.add_argument("--gigabyte", action="store_true", help="a long input instead")
    parser.add_argument("--bytes", type=int, default=1 << 30, help="how long that is")
    return parser.parse_args(arguments)


def fuzz(form: Format, options: argparse.Namespace) -> list[str]:
    """What is wrong with this decoder."""
    watch = Watch()
    since = perf_counter()
    try:
        one_by_one, grown = _read(form, watch.over(_chunks(form, options, 1)))
        in_chunks, _ = _read(form, _chunks(form, options, CHUNK_LINES))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        return [f"raised {error!r}"]
    slowest = max((_seconds_again(form, slow), slow.line) for slow in watch.slowest)
    _tell(
        f"{form.name:12} {options.lines:>9,} lines {perf_counter() - since:6.1f} s, "
        f"grew by {grown >> 10:,} KiB, slowest {slowest[0] * 1e6:,.0f} us"
    )
    return list(_troubles(slowest, grown, one_by_one, in_chunks))


def fuzz_rows(form: Format, options: argparse.Namespace) -> list[str]:
    """The same of a decoder that asks a database for rows; their number is all it has of lines."""
    since = perf_counter()
    try:
        _, grown = _digested(form.decode(Rows(options.seed, options.lines), UNSAID))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        return [f"raised {error!r}"]
    seconds = perf_counter() - since
    _tell(
        f"{form.name:12} {options.lines:>9,} rows  {seconds:6.1f} s, grew by {grown >> 10:,} KiB, "
        f"{seconds / options.lines * 1e6:,.0f} us each"
    )
    return list(_troubles((seconds / options.lines, b"a row"), grown, [], []))


def _troubles(
    slowest: tuple[float, bytes], grown: int, one_by_one: list[str], in_chunks: list[str]
) -> Iterator[str]:
    if slowest[0] > LINE_SECONDS_MAX:
        yield f"{slowest[0] * 1e3:.1f} ms for one line: {slowest[1][:TOLD_BYTES]!r} …"
    if grown > GROWTH_BYTES_MAX:
        yield f"memory grew by {grown >> 20} MiB"
    if one_by_one != in_chunks:
        yield "a stream in large chunks does not say what it says line by line"


def _chunks(form: Format, options: argparse.Namespace, size: int) -> Iterator[bytes]:
    """The broken lines, `size` to a chunk; the first chunk is what the format begins with."""
    is_binary = form.name == "mce-struct"
    whole = pieces.records() if is_binary else pieces.blocks(form.name)
    broken = mutated(whole, options.seed, options.lines)
    ends = (piece if is_binary else piece + b"\n" for piece in broken)
    yield pieces.opening_of(form.name)
    while some := list(islice(ends, size)):
        yield b"".join(some)


def _read(form: Format, chunks: Iterator[bytes]) -> tuple[list[str], int]:
    """Digests of all that was said, and by how much memory grew after a tenth of it."""
    return _digested(form.decode(Stream(next(chunks), chunks), UNSAID))


def _digested(outcomes: Iterable[Outcome]) -> tuple[list[str], int]:
    digests, digest, early = [], sha256(), 0
    for number, outcome in enumerate(outcomes):
        digest.update(_checked(outcome))
        if number % DIGEST_EVERY == 0:
            digests.append(digest.hexdigest())
            early = early if number > DIGEST_EVERY else resident_bytes()
    return [*digests, digest.hexdigest()], resident_bytes() - early


def _checked(outcome: Outcome) -> bytes:
    """`outcome` in bytes, once it was seen to be what it must be."""
    if isinstance(outcome, Refused):
        return outcome.reason.encode()
    return outcome.ereport("hv-1", BOOT, 0).model_dump_json().encode()


def _seconds_again(form: Format, slow: Slow) -> float:
    """The least time that its line takes after the lines before it."""
    return min(_seconds_once(form, slow) for _ in range(REPEATS))


def _seconds_once(form: Format, slow: Slow) -> float:
    watch = Watch()
    stream = Stream(pieces.opening_of(form.name), watch.over(chain(slow.before, (slow.line,))))
    gc.disable()
    try:
        for _ in form.decode(stream, UNSAID):
            pass
    finally:
        gc.enable()
    return watch.last_seconds


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def _tell(*lines: str) -> None:
    for line in lines:
        print(line, flush=True)  # noqa: T201 - a command, and this is its output


if __name__ == "__main__":
    sys.exit(main())
