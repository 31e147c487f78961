"""Whole lines, broken in the ways that logs break: torn, mixed, repeated, and full of odd bytes.

The same seed breaks the same lines in the same way.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from random import Random

from agent.telemetry.lines import LINE_BYTES_MAX

# What parsers have tripped over: numbers too long or not plain, bytes that are no UTF-8, controls.
_ODD = (
    b"",
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    "١２…".encode(),
    b"\r",
    b"\t",
    b"-1",
    b"0x",
    b"9" * 400,
    b"f" * 17,
    b"18446744073709551615",
    b"1e9",
    b"(((((((",
    b"[[[[[ ",
    b'"',
    b",",
    b": ",
    b"CPU 0 BANK 7 ",
    b"EDAC MC0: 1 CE ",
    b"STATUS 8c00004000010090",
    b"# ",
)
# How often a piece is broken: a record of many lines would never come out if each of them were.
_TIMES_ALONE = (0, 1, 1, 1, 1, 2, 3, 4)
_TIMES_AMONG_OTHERS = (0, 0, 0, 0, 0, 0, 0, 1, 1, 2)
_REPEATS_MAX = LINE_BYTES_MAX + 1000


def mutated(blocks: Sequence[Sequence[bytes]], seed: int, count: int) -> Iterator[bytes]:
    """`count` pieces, block after block, each broken up to four times."""
    rng = Random(seed)
    return islice((piece for block in _forever(rng, blocks) for piece in block), count)


def _forever(rng: Random, blocks: Sequence[Sequence[bytes]]) -> Iterator[Iterator[bytes]]:
    pieces = [piece for block in blocks for piece in block]
    while True:
        block = rng.choice(blocks)
        times = _TIMES_ALONE if len(block) == 1 else _TIMES_AMONG_OTHERS
        yield (_broken(rng, piece, pieces, rng.choice(times)) for piece in block)


def _broken(rng: Random, piece: bytes, pieces: Sequence[bytes], times: int) -> bytes:
    for _ in range(times):
        piece = rng.choice(_WAYS)(rng, piece, pieces)
    return piece.replace(b"\n", b" ")[:_REPEATS_MAX]


def _cut(rng: Random, piece: bytes, _pieces: Sequence[bytes]) -> bytes:
    return piece[: rng.randint(0, len(piece))]


def _behead(rng: Random, piece: bytes, _pieces: Sequence[bytes]) -> bytes:
    return piece[rng.randint(0, len(piece)) :]


def _without_a_slice(rng: Random, piece: bytes, _pieces: Sequence[bytes]) -> bytes:
    start, end = _slice(rng, piece)
    return piece[:start] + piece[end:]


def _with_odd_bytes(rng: Random, piece: bytes, _pieces: Sequence[bytes]) -> bytes:
    start, end = _slice(rng, piece)
    return piece[:start] + rng.choice(_ODD) + piece[rng.choice((start, end)) :]


def _with_another_byte(rng: Random, piece: bytes, _pieces: Sequence[bytes]) -> bytes:
    at = rng.randint(0, len(piece))
    return piece[:at] + bytes([rng.randrange(256)]) + piece[at + 1 :]


def _mixed_with_another(rng: Random, piece: bytes, pieces: Sequence[bytes]) -> bytes:
    other = rng.choice(pieces)
    return piece[: rng.randint(0, len(piece))] + other[rng.randint(0, len(other)) :]


def _with_a_slice_repeated(rng: Random, piece: bytes, _pieces: Sequence[bytes]) -> bytes:
    """Up to a line's bound and beyond: what is quadratic shows here."""
    start, end = _slice(rng, piece)
    part = piece[start:end]
    times = rng.choice((2, 10, _REPEATS_MAX // max(len(part), 1)))
    return piece[:start] + part * times + piece[end:]


def _slice(rng: Random, piece: bytes) -> tuple[int, int]:
    start = rng.randint(0, len(piece))
    return start, min(start + rng.randint(1, 24), len(piece))


_WAYS: tuple[Callable[[Random, bytes, Sequence[bytes]], bytes], ...] = (
    _cut,
    _behead,
    _without_a_slice,
    _with_odd_bytes,
    _with_another_byte,
    _mixed_with_another,
    _with_a_slice_repeated,
)
