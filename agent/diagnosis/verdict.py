"""A verdict: this page is going bad, and this is what says so."""

from dataclasses import dataclass

from agent.contract.frames import Mfn


@dataclass(frozen=True, slots=True)
class Verdict:
    """The engine fired for `mfn` on an error at `time_ns` (the record's own clock).

    `reason` is a sentence for people: `2 errors in 24 h`. `dimm` is the label the ereport carried,
    `rank` the number that it gave of that DIMM's rank.
    """

    mfn: Mfn
    time_ns: int
    reason: str
    dimm: str | None = None
    rank: int | None = None
