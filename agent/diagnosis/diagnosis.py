"""Admission and policy as one fold: batch by batch, from what was known to what is known.

The journal keeps the admitted batches, and a snapshot now and then. To restore the snapshot and to
take the batches behind it once more makes the very state that was lost: a batch that admitted
nothing changed nothing, and all that a decision needs is in the batch or in the snapshot.

A snapshot is

    "PWD1"  admission_bytes u32  ereports u64  errors u64  admission (JSON)  engines (npz)
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

_MAGIC = b"PWD1"
_PREFIX = struct.Struct("<4sIQQ")


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

    def snapshot(self) -> bytes:
        """All of it; equal states give equal bytes."""
        return self.frozen()()

    def frozen(self) -> Callable[[], bytes]:
        """A copy of it as it is now; call it, in any thread, for the snapshot."""
        admission, engines = self.admission.snapshot(), self.policy.serd.frozen()
        totals = (self.totals.ereports, self.totals.errors)
        prefix = _PREFIX.pack(_MAGIC, len(admission), *totals)
        return lambda: prefix + admission + engines()

    def restore(self, snapshot: bytes) -> None:
        """Go on from `snapshot`. An `AgentError` may leave half of it: then start anew."""
        if len(snapshot) < _PREFIX.size or not snapshot.startswith(_MAGIC):
            raise AgentError("diagnosis snapshot: not one of ours; start without it")
        _, admission_bytes, ereports, errors = _PREFIX.unpack_from(snapshot)
        engines_at = _PREFIX.size + admission_bytes
        self.admission.restore(snapshot[_PREFIX.size : engines_at])
        self.policy.serd.restore(snapshot[engines_at:])
        self.totals.ereports, self.totals.errors = ereports, errors
