"""Messages on their way in: read → decide → commit → acknowledge → act.

    payloads ─► intake.read ──► diagnosis.take ─► docket.open ─► log.commit ─► acknowledge
                   │ malformed?     │ stranger? duplicate? gap?     ONE commit     └─► driver
                   └─ refused, kept, counted

What has queued up goes in together: one commit is for all of it, and small messages of one boot are
judged as one. A message is acknowledged when what it said is durable, not before: a power cut
anywhere means that the broker, or the source itself, sends it again, and admission drops what was
taken already.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent.clock import Clock
from agent.contract.columns import Batch, joined
from agent.diagnosis.admission import Unfit
from agent.diagnosis.diagnosis import Diagnosis, Finding
from agent.diagnosis.dram import Wear
from agent.events import (
    BankFailing,
    CapReached,
    CaseMoved,
    CaseOpened,
    DimmWornOut,
    GapSeen,
    MessageRefused,
    Observer,
    PagesEvicted,
    PlacesEvicted,
    RowFailing,
)
from agent.intake import Lot, Message, Refusal, read_all
from agent.retirement.caps import CAPS
from agent.retirement.case import Case
from agent.retirement.docket import Docket
from agent.tally import taken


class Delivery(Message, Protocol):
    """One message of the bus. Unacknowledged, it comes again."""

    async def acknowledge(self) -> None: ...


class EreportLog(Protocol):
    """The memory of ereports. Every method returns only once its effect is durable."""

    async def commit(self, batches: Sequence[Batch], changed: Sequence[Case]) -> None: ...
    async def keep_refused(self, reason: str, payload: bytes) -> None: ...
    @property
    def last_batch_id(self) -> int: ...
    async def snapshot(self, state: Callable[[], bytes], covered: int) -> None: ...


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
    _snapshotting: asyncio.Task[None] | None = None
    hand: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, deliveries: AsyncIterator[Sequence[Delivery]]) -> None:
        """`hand` is held for as long as what is in memory may not be durable: when a commit
        fails, for ever.
        """
        async with asyncio.TaskGroup() as group:
            async for queued in deliveries:
                await self.hand.acquire()
                await self.take(*queued)
                self.hand.release()
                if self._is_snapshot_due():
                    self._snapshotting = group.create_task(self.snapshot(), name="snapshot")

    def _is_snapshot_due(self) -> bool:
        return self._since_snapshot >= self.snapshot_every_batches and (
            self._snapshotting is None or self._snapshotting.done()
        )

    async def stop(self) -> None:
        """Return when no message is in hand. None will be taken after: `run` may be cancelled."""
        await self.hand.acquire()

    async def take(self, *deliveries: Delivery) -> None:
        """Return once the messages are acknowledged and their cases are under way."""
        self.diagnosis.forget(self.docket.given_back())
        intake = read_all(deliveries, self.diagnosis.admission.host)
        refusals = intake.refusals
        findings = [self._judge(lot, refusals) for lot in intake.lots]
        found = [finding for finding in findings if finding is not None]
        worn, now_ns = self.docket.worn_ranks, self.clock()
        verdicts = [verdict for each in found for verdict in each.judgement.verdicts]
        claimed = self.docket.claim(verdicts, now_ns)
        opened = self.docket.open(verdicts, now_ns)
        changed = (*opened, *(after for _, after in claimed))
        seconds = await self._commit(found, changed)
        for refusal in refusals:
            await self.log.keep_refused(refusal.reason, refusal.payload)
        for delivery in deliveries:
            await delivery.acknowledge()
        for refusal in refusals:
            self.observe(MessageRefused(refusal.kind, refusal.reason))
        self._tell(found, opened, seconds)
        for before, after in claimed:
            self.observe(CaseMoved(after, before.state, 0.0))
        for rank in self.docket.worn_ranks:
            if rank not in worn:
                self.observe(DimmWornOut(rank))
        for case in changed:
            self.submit(case)

    def _judge(self, lot: Lot, refusals: list[Refusal]) -> Finding | None:
        found = self.diagnosis.take(joined(lot.batches))
        if isinstance(found, Finding):
            return found
        refusals += (Refusal(Unfit.STRANGER, found.reason, payload) for payload in lot.payloads)
        return None

    async def _commit(self, found: Sequence[Finding], changed: Sequence[Case]) -> float:
        """How long it took to make it durable, in seconds; 0 where nothing was new."""
        batches = [each.admitted.batch for each in found if len(each.admitted.batch)]
        if not batches:
            return 0.0
        began = asyncio.get_running_loop().time()
        await self.log.commit(batches, changed)
        self._since_snapshot += len(batches)
        return asyncio.get_running_loop().time() - began

    def snapshot(self) -> Coroutine[Any, Any, None]:
        """Write down what the batches so far add up to: a start need not fold them again.

        It is taken at once, so no message may be in hand; the writing is what is awaited.
        """
        self._since_snapshot = 0
        return self.log.snapshot(self.diagnosis.frozen(), self.log.last_batch_id)

    def _tell(self, found: Sequence[Finding], opened: Sequence[Case], seconds: float) -> None:
        if found:
            missing = self.diagnosis.admission.missing
            self.observe(taken(found, missing, self.clock(), seconds))
        for each in found:
            for gap in each.admitted.gaps:
                self.observe(GapSeen(gap.first, gap.last))
            if each.judgement.evicted:
                self.observe(PagesEvicted(each.judgement.evicted))
            self._tell_wear(each.judgement.wear)
        for case in opened:
            self._tell_opened(case)

    def _tell_wear(self, wear: Wear) -> None:
        for row in wear.rows:
            self.observe(RowFailing(row))
        for bank in wear.banks:
            self.observe(BankFailing(bank))
        if wear.rows_evicted or wear.banks_evicted:
            self.observe(PlacesEvicted(wear.rows_evicted, wear.banks_evicted))

    def _tell_opened(self, case: Case) -> None:
        self.observe(CaseOpened(case))
        if case.reason is not None and case.reason in CAPS:
            self.observe(CapReached(case.reason))
