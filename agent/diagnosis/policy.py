"""From an admitted batch to verdicts: what counts against which page, and what against none.

Corrected errors with an address go to the engine of their page; those that name their place on a
DIMM, to the engines of its row and bank too. All others are counted and no page answers for them:

- *unlocated*: no valid address. Page 0 is a page like any other, no place to put these.
- *out of range*: an address beyond the host's memory, or a frame number that the page-offline ABI
  cannot carry. Such an address is a decoder's mistake, and retiring what it names is another one.
- *uncorrected*: the data are gone. To move the page is to read it, and to read it is to consume the
  error and take the guest, or the host, down. That is for the machine-check handler, not for us.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from agent.contract.columns import I64, UNKNOWN, Batch, Bools, Kind
from agent.contract.frames import MFN_MAX, mfn_of
from agent.diagnosis.dram import Dram, Wear
from agent.diagnosis.engines import Serd, SerdSettings, reason_of
from agent.diagnosis.verdict import Verdict

UNKNOWN_DIMM = "unknown"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a batch came to.

    `errors` and `dimm_errors` count errors, whatever their kind and place; `unlocated`,
    `out_of_range` and `uncorrected` count ereports, and one may be two of these at once.
    """

    verdicts: tuple[Verdict, ...]
    errors: int
    unlocated: int
    out_of_range: int
    uncorrected: int
    dimm_errors: tuple[tuple[str, int], ...]
    evicted: int
    wear: Wear
    newest_time_ns: int


class Policy:
    """The engines of all pages, and of rows and banks as far as `dram` judges them.

    `frames` is how many the host has; None while nobody knows.
    """

    def __init__(
        self, settings: SerdSettings, frames: int | None = None, dram: Dram | None = None
    ) -> None:
        self.frames = frames
        self.dram = dram or Dram()
        self.serd = Serd(settings.n, settings.window_ns, settings.pages_max)
        self._reason = reason_of(settings)

    def judge(self, batch: Batch) -> Judgement:
        """Count every ereport of `batch`; a page that fires becomes a verdict, once."""
        mfn, errors = batch.mfn, batch.errors
        inside = mfn < self._frames_end
        uncorrected = batch.kind == Kind.UE
        judged = np.flatnonzero(batch.located & inside & ~uncorrected)
        columns = (mfn, batch.time_ns, errors)
        if len(judged) < len(batch):  # hardly ever
            columns = (mfn[judged], batch.time_ns[judged], errors[judged])
        fired = self.serd.record(*columns)
        return Judgement(
            verdicts=tuple(self._verdict(batch, at) for at in judged[fired.index].tolist()),
            errors=int(errors.sum()),
            unlocated=_number(~batch.located),
            out_of_range=_number(batch.located & ~inside),
            uncorrected=_number(uncorrected),
            dimm_errors=_dimm_errors(batch, errors),
            evicted=fired.evicted,
            wear=self.dram.judge(batch),
            newest_time_ns=int(batch.time_ns.max(initial=0)),
        )

    @property
    def _frames_end(self) -> int:
        return MFN_MAX + 1 if self.frames is None else min(self.frames, MFN_MAX + 1)

    def _verdict(self, batch: Batch, at: int) -> Verdict:
        dimm, rank = int(batch.dimm[at]), int(batch.rank[at])
        return Verdict(
            mfn=mfn_of(int(batch.address[at])),
            time_ns=int(batch.time_ns[at]),
            reason=self._reason,
            dimm=None if dimm == UNKNOWN else batch.dimms[dimm],
            rank=None if rank == UNKNOWN else rank,
        )


def _dimm_errors(batch: Batch, errors: I64) -> tuple[tuple[str, int], ...]:
    """Errors of each DIMM that had any, sorted by label."""
    labels = (UNKNOWN_DIMM, *batch.dimms)
    # Weights are floats, exact up to 2^53: a full batch of full counts is 2^42 errors.
    sums = np.bincount(batch.dimm - UNKNOWN, weights=errors, minlength=len(labels))
    of_dimm: Counter[str] = Counter()
    for at in np.flatnonzero(sums).tolist():
        of_dimm[labels[at]] += int(sums[at])
    return tuple(sorted(of_dimm.items()))


def _number(chosen: Bools) -> int:
    return int(np.count_nonzero(chosen))
