"""Admission and policy as one fold: batch by batch, from what was known to what is known.

The journal keeps the admitted batches, and a snapshot now and then. To restore the snapshot and to
take the batches behind it once more makes the very state that was lost: a batch that admitted
nothing changed nothing, and all that a decision needs is in the batch or in the snapshot.

A snapshot is

    "PWD2"  admission_bytes u32  ereports u64  errors u64  pages_bytes u64
            admission (JSON)  pages (npz)  rows and banks (dram.py)

A "PWD1" is one of before rows and banks were counted: it ends with the pages, and has no number for
them.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from agent.contract.columns import Batch
from agent.contract.errors import AgentError
from agent.contract.frames import Mfn
from agent.diagnosis.admission import Admission, Admitted, Stranger
from agent.diagnosis.policy import Judgement, Policy

_MAGIC, _MAGIC_WITHOUT_DRAM = b"PWD2", b"PWD1"
_PREFIX = struct.Struct("<4sIQQQ")
_PREFIX_WITHOUT_DRAM = struct.Struct("<4sIQQ")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was new in a batch, and what it says about the pages."""

    admitted: Admitted
    judgement: Judgement


@dataclass(slots=True)
class Totals:
    """What was ever admitted, and how many errors that stood for."""

    ereports: int = 0
    errors: int = 0

    def add(self, finding: Finding) -> None:
        self.ereports += len(finding.admitted.batch)
        self.errors += finding.judgement.errors


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The agent's whole memory of a host's errors."""

    admission: Admission
    policy: Policy
    totals: Totals = field(default_factory=Totals)

    def take(self, batch: Batch) -> Finding | Stranger:
        """Count what is new in `batch`, exactly once, and judge it."""
        admitted = self.admission.admit(batch)
        if isinstance(admitted, Stranger):
            return admitted
        finding = Finding(admitted, self.policy.judge(admitted.batch))
        self.totals.add(finding)
        return finding

    def forget(self, before_ns: Mapping[Mfn, int]) -> None:
        """Begin anew with pages that came back into use: errors before then count no more."""
        if before_ns:
            mfns = np.fromiter(before_ns, np.int64, len(before_ns))
            times = np.fromiter(before_ns.values(), np.int64, len(before_ns))
            self.policy.serd.forget(mfns, times)

    def meet(self, modules: Mapping[str, str]) -> tuple[str, ...]:
        """The DIMMs that the host has now, by slot; the slots in which that is another one than
        before, whose rows and banks are forgotten.
        """
        return self.policy.dram.meet(modules)

    def snapshot(self) -> bytes:
        """All of it; equal states give equal bytes."""
        return self.frozen()()

    def frozen(self) -> Callable[[], bytes]:
        """A copy of it as it is now; call it, in any thread, for the snapshot."""
        admission = self.admission.snapshot()
        pages, dram = self.policy.serd.frozen(), self.policy.dram.frozen()
        totals = (self.totals.ereports, self.totals.errors)

        def snapshot() -> bytes:
            of_pages = pages()
            prefix = _PREFIX.pack(_MAGIC, len(admission), *totals, len(of_pages))
            return prefix + admission + of_pages + dram()

        return snapshot

    def restore(self, snapshot: bytes) -> None:
        """Go on from `snapshot`. An `AgentError` may leave half of it: then start anew."""
        parts = _taken_apart(snapshot)
        self.admission.restore(parts.admission)
        self.policy.serd.restore(parts.pages)
        if parts.dram is not None:
            self.policy.dram.restore(parts.dram)
        self.totals.ereports, self.totals.errors = parts.ereports, parts.errors


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a snapshot is made of; no `dram` in an old one."""

    ereports: int
    errors: int
    admission: bytes
    pages: bytes
    dram: bytes | None = None


def _taken_apart(snapshot: bytes) -> _Parts:
    try:
        if snapshot.startswith(_MAGIC):
            return _parts(snapshot)
        if snapshot.startswith(_MAGIC_WITHOUT_DRAM):
            return _parts_without_dram(snapshot)
    except struct.error:
        pass  # it ends within its prefix
    raise AgentError("diagnosis snapshot: not one of ours; start without it")


def _parts(snapshot: bytes) -> _Parts:
    _, admission, ereports, errors, pages = _PREFIX.unpack_from(snapshot)
    pages_at = _PREFIX.size + admission
    dram_at = pages_at + pages
    of_admission = snapshot[_PREFIX.size : pages_at]
    return _Parts(ereports, errors, of_admission, snapshot[pages_at:dram_at], snapshot[dram_at:])


def _parts_without_dram(snapshot: bytes) -> _Parts:
    _, admission, ereports, errors = _PREFIX_WITHOUT_DRAM.unpack_from(snapshot)
    pages_at = _PREFIX_WITHOUT_DRAM.size + admission
    of_admission = snapshot[_PREFIX_WITHOUT_DRAM.size : pages_at]
    return _Parts(ereports, errors, of_admission, snapshot[pages_at:])
