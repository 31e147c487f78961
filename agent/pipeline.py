"""One message on its way in: read → decide → commit → acknowledge → act.

    payload ──► codec.decode ──► diagnosis.take ──► docket.open ──► log.commit ──► acknowledge
                   │ malformed?      │ stranger? duplicate? gap?      ONE commit      └─► driver
                   └─ refused, kept, counted

The message is acknowledged when what it said is durable, not before: a power cut anywhere means
that the broker, or the source itself, sends it again, and admission drops what was taken already.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent.clock import Clock
from agent.contract.codec import decode
from agent.contract.columns import Batch
from agent.contract.errors import Malformed
from agent.diagnosis.admission import Stranger, Unfit
from agent.diagnosis.diagnosis import Diagnosis, Finding
from agent.diagnosis.places import bank_errors, dimm_uncorrected
from agent.diagnosis.policy import UNKNOWN_DIMM
from agent.events import (
    BatchTaken,
    CapReached,
    CaseOpened,
    DimmWornOut,
    GapSeen,
    MessageRefused,
    Observer,
    PagesEvicted,
)
from agent.retirement.caps import CAPS
from agent.retirement.case import Case
from agent.retirement.docket import Docket


class Delivery(Protocol):
    """One message of the bus. Unacknowledged, it comes again."""

    @property
    def payload(self) -> bytes: ...
    @property
    def oversize(self) -> bool: ...
    async def acknowledge(self) -> None: ...


class EreportLog(Protocol):
    """The memory of ereports. Every method returns only once its effect is durable."""

    async def commit(self, batch: Batch, opened: Sequence[Case]) -> None: ...
    async def keep_refused(self, reason: str, payload: bytes) -> None: ...
    async def snapshot(self, state: bytes) -> None: ...


@dataclass(slots=True)
class Pipeline:
    """Takes messages one after another; a failing commit ends it, and with it the agent."""

    diagnosis: Diagnosis
    docket: Docket
    log: EreportLog
    submit: Callable[[Case], None]
    observe: Observer
    clock: Clock
    snapshot_every_batches: int = 1024
    _since_snapshot: int = 0
    hand: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, deliveries: AsyncIterator[Delivery]) -> None:
        """`hand` is held for as long as what is in memory may not be durable: when a commit
        fails, for ever.
        """
        async for delivery in deliveries:
            await self.hand.acquire()
            await self.take(delivery)
            self.hand.release()

    async def stop(self) -> None:
        """Return when no message is in hand. None will be taken after: `run` may be cancelled."""
        await self.hand.acquire()

    async def take(self, delivery: Delivery) -> None:
        """Return once the message is acknowledged and its cases are under way."""
        try:
            finding = self._judge(delivery)
        except _Refused as refused:
            await self._refuse(delivery, refused)
            return
        worn = self.docket.worn_dimms
        opened = self.docket.open(finding.judgement.verdicts, self.clock())
        seconds = await self._commit(finding, opened)
        await delivery.acknowledge()
        self._tell(finding, opened, seconds)
        for dimm in sorted({*self.docket.worn_dimms} - {*worn}):
            self.observe(DimmWornOut(dimm))
        for case in opened:
            self.submit(case)
        if self._since_snapshot >= self.snapshot_every_batches:
            await self.snapshot()

    def _judge(self, delivery: Delivery) -> Finding:
        if delivery.oversize:
            limit = len(delivery.payload)
            raise _Refused(Unfit.OVERSIZE, f"more than the {limit} bytes of payload_bytes_max")
        try:
            found = self.diagnosis.take(decode(delivery.payload))
        except Malformed as error:
            raise _Refused(Unfit.MALFORMED, str(error)) from None
        if isinstance(found, Stranger):
            raise _Refused(Unfit.STRANGER, found.reason)
        return found

    async def _refuse(self, delivery: Delivery, refused: "_Refused") -> None:
        await self.log.keep_refused(refused.reason, delivery.payload)
        await delivery.acknowledge()
        self.observe(MessageRefused(refused.kind, refused.reason))

    async def _commit(self, finding: Finding, opened: Sequence[Case]) -> float:
        """How long it took to make the batch durable, in seconds; 0 where nothing was new."""
        if not len(finding.admitted.batch):
            return 0.0
        began = asyncio.get_running_loop().time()
        await self.log.commit(finding.admitted.batch, opened)
        self._since_snapshot += 1
        return asyncio.get_running_loop().time() - began

    async def snapshot(self) -> None:
        """Write down what the batches so far add up to: a start need not fold them again."""
        await self.log.snapshot(self.diagnosis.snapshot())
        self._since_snapshot = 0

    def _tell(self, finding: Finding, opened: Sequence[Case], seconds: float) -> None:
        admitted, judged = finding.admitted, finding.judgement
        self.observe(
            BatchTaken(
                accepted=len(admitted.batch),
                duplicates=admitted.duplicates,
                late=admitted.late,
                missing=self.diagnosis.admission.missing,
                errors=judged.errors,
                unlocated=judged.unlocated,
                out_of_range=judged.out_of_range,
                uncorrected=judged.uncorrected,
                dimm_errors=judged.dimm_errors,
                bank_errors=bank_errors(admitted.batch),
                dimm_uncorrected=dimm_uncorrected(admitted.batch, UNKNOWN_DIMM),
                newest_time_ns=judged.newest_time_ns,
                delay_seconds=(self.clock() - judged.newest_time_ns) / 1e9,
                commit_seconds=seconds,
            )
        )
        for gap in admitted.gaps:
            self.observe(GapSeen(gap.first, gap.last))
        if judged.evicted:
            self.observe(PagesEvicted(judged.evicted))
        for case in opened:
            self._tell_opened(case)

    def _tell_opened(self, case: Case) -> None:
        self.observe(CaseOpened(case))
        if case.reason is not None and case.reason in CAPS:
            self.observe(CapReached(case.reason))


class _Refused(Exception):  # noqa: N818 - never leaves this file
    """A message that is not let in, and why."""

    def __init__(self, kind: Unfit, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
