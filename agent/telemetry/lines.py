"""Bytes into lines, with a bound on both: no line can fill the memory.

What is longer than `LINE_BYTES_MAX` is cut there and ends in `…`, which no number and no bracket
does, so that every decoder sees that it is broken. The kernel prints at most 1,024 bytes a message.
"""

from collections.abc import Iterable, Iterator

LINE_BYTES_MAX = 4096
CUT = "…"


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines in `chunks`, however the chunks fall, without their ends."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from map(text_of, whole)
        # Two bytes more than the bound tell a longer line from one that ends in CR LF.
        rest = rest[: LINE_BYTES_MAX + 2]
    if rest:
        yield text_of(rest)


def text_of(line: bytes) -> str:
    """One line, without its end and within the bound."""
    line = line.removesuffix(b"\r")
    text = line[:LINE_BYTES_MAX].decode(errors="replace").removeprefix("\ufeff")
    return text + CUT if len(line) > LINE_BYTES_MAX else text
