"""Several streams of errors as one, in the order of time, a part at a time."""

from collections.abc import Iterator, Sequence

import numpy as np

from emulator.machine.stream import CHUNK_MAX, Chunk, joined


def merged(streams: Sequence[Iterator[Chunk]]) -> Iterator[Chunk]:
    """All errors of all streams. The order of those at one time hangs on the streams' parts."""
    if len(streams) == 1:
        yield from streams[0]
        return
    heads = _with_more([(stream, None) for stream in streams])
    while heads:
        known_ns = min(int(head.time_ns[-1]) for _, head in heads)
        ends = [int(np.searchsorted(head.time_ns, known_ns, "right")) for _, head in heads]
        cut = list(zip(heads, ends, strict=True))
        together = joined([head[:end] for (_, head), end in cut])
        together = together[np.argsort(together.time_ns, kind="stable")]
        for at in range(0, len(together), CHUNK_MAX):
            yield together[at : at + CHUNK_MAX]
        heads = _with_more([(stream, head[end:]) for (stream, head), end in cut])


def _with_more(
    heads: Sequence[tuple[Iterator[Chunk], Chunk | None]],
) -> list[tuple[Iterator[Chunk], Chunk]]:
    """Each stream with its next part in which there is an error; those that have ended are gone."""
    found: list[tuple[Iterator[Chunk], Chunk]] = []
    for stream, head in heads:
        more = head if head is not None and len(head) else next(filter(len, stream), None)
        if more is not None:
            found.append((stream, more))
    return found
