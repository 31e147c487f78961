"""What a host answered, held against the table.

A case agrees, or differs; a difference that the table's `EXCEPTIONS` names is told with its reason
and is no failure. An exception that no longer is one is a failure too: what is written must be so.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tests.xen.table import EXCEPTIONS, Answer, Case, expected


class Finding(NamedTuple):
    """`agrees` also where the difference is a known one."""

    agrees: bool
    line: str


Given = Mapping[str, tuple[Answer, ...] | None]


def compared(host: str, cases: Sequence[Case], given: Given) -> Iterator[Finding]:
    for case in cases:
        yield _finding(host, case, given.get(case.title))


def _finding(host: str, case: Case, given: tuple[Answer, ...] | None) -> Finding:
    if given is None:
        return Finding(False, f"{case.title}: {host} has no {case.kind!r} to ask about")
    known = EXCEPTIONS.get((host, case.title))
    if given == expected(case):
        stale = "" if known is None else f"; yet an exception is written: {known}"
        return Finding(known is None, f"{case.title}: {_brief(given)}{stale}")
    told = f"{case.title}: {_difference(case, given)}"
    return Finding(known is not None, told if known is None else f"{told}; known: {known}")


def _brief(given: tuple[Answer, ...]) -> str:
    """All answers, each different one once, in the order in which they came first."""
    return " | ".join(dict.fromkeys(map(str, given)))


def _difference(case: Case, given: tuple[Answer, ...]) -> str:
    both = enumerate(zip(expected(case), given, strict=True), 1)
    return "; ".join(
        f"step {number}: {got} instead of {want}" for number, (want, got) in both if got != want
    )
