"""Retired pages as `badpage=` of Xen's command line: all that survives a reboot there. Pure.

    badpage=0x1234,0x2000-0x2003

Xen keeps 100 bytes of that option, with the one that ends it, and cuts what is longer wherever that
is: from 0x12345 it may take 0x1234, an innocent page. So no list here is longer. The longest runs
go first, since they take no more letters than the others.

Where this is from: `xen/common/page_alloc.c` (`opt_badpage`), the same in every release so far.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.contract.frames import Mfn

OPTION = "badpage="
LETTERS_MAX = 99

Run = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Badpages:
    """`option` is empty if there is no page to name."""

    option: str
    left_out: tuple[Mfn, ...] = ()


def badpages_of(mfns: Iterable[Mfn]) -> Badpages:
    """As many of these pages as fit, rising."""
    kept: list[Run] = []
    left_out: list[Mfn] = []
    for run in sorted(runs(mfns), key=_shortest_last):
        if len(_list([*kept, run])) <= LETTERS_MAX:
            kept.append(run)
        else:
            left_out += map(Mfn, range(run[0], run[1] + 1))
    return Badpages(OPTION + _list(kept) if kept else "", tuple(sorted(left_out)))


def runs(mfns: Iterable[Mfn]) -> Iterator[Run]:
    """First and last page of each unbroken run."""
    first = last = None
    for mfn in sorted(set(mfns)):
        if first is None or last is None or mfn != last + 1:
            if first is not None and last is not None:
                yield first, last
            first = mfn
        last = mfn
    if first is not None and last is not None:
        yield first, last


def _list(chosen: Iterable[Run]) -> str:
    return ",".join(_told(run) for run in sorted(chosen))


def _told(run: Run) -> str:
    first, last = run
    return f"{first:#x}" if first == last else f"{first:#x}-{last:#x}"


def _shortest_last(run: Run) -> tuple[int, int]:
    return run[0] - run[1], run[0]
