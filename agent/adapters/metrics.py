"""Events become numbers: one method an event, each a few increments."""

from collections.abc import Iterable
from functools import singledispatchmethod
from platform import python_version

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

from agent.adapters.catalogue import (
    COMMANDING,
    NO_RUNG,
    PREFIX,
    Cases,
    Intake,
    Maker,
    Result,
    World,
)
from agent.contract.frames import PAGE_SIZE
from agent.events import (
    BatchTaken,
    BrokerConnected,
    BrokerLost,
    CallMade,
    CapReached,
    CaseDropped,
    CaseMessageCoalesced,
    CaseMoved,
    CaseOpened,
    DimmWornOut,
    EreportsLost,
    Event,
    GapSeen,
    GuestFoundStopped,
    GuestPaused,
    MarksUnlisted,
    MessageRefused,
    PagesEvicted,
)
from agent.retirement.case import Case
from agent.retirement.states import State

DIMMS_MAX = 64  # then the label is `other`
OTHER = "other"


class Metrics:
    """Hand `observe` every event, and `seed` what an earlier life left; expose `registry`."""

    def __init__(self, version: str, registry: CollectorRegistry | None = None) -> None:
        # They double a page for the sake of a time nobody reads.
        disable_created_metrics()  # type: ignore[no-untyped-call] # prometheus_client leaves it so
        self.registry = registry or CollectorRegistry()
        make = Maker(self.registry)
        self._intake = Intake(make)
        self._cases = Cases(make)
        self._world = World(make)
        self._dimms: set[str] = set()
        self._worn: set[str] = set()
        self._expose_process(version)

    def _expose_process(self, version: str) -> None:
        ProcessCollector(registry=self.registry)
        GCCollector(self.registry)
        build = Info(f"{PREFIX}build", "Which agent this is.", registry=self.registry)
        build.info({"version": version, "python": python_version()})

    def seed(self, cases: Iterable[Case], missing: int = 0) -> None:
        """Count the cases and the missing ereports that there are already; before any event."""
        self._intake.ereports_missing.set(missing)
        for case in cases:
            self._enter(case.state)

    def _enter(self, state: State) -> None:
        self._cases.now.labels(state).inc()
        if state is State.RETIRED:
            self._cases.retired_bytes.inc(PAGE_SIZE)

    @singledispatchmethod
    def observe(self, event: Event) -> None:
        """Count `event`.

        Raises:
            TypeError: for an event that is counted nowhere.
        """
        raise TypeError(f"{type(event).__name__} has no metric")

    @observe.register
    def _(self, event: BatchTaken) -> None:
        intake = self._intake
        intake.ereports.labels(Result.ACCEPTED).inc(event.accepted)
        intake.ereports.labels(Result.DUPLICATE).inc(event.duplicates)
        intake.ereports_recovered.inc(event.late)
        intake.ereports_missing.set(event.missing)
        intake.unlocated.inc(event.unlocated)
        intake.out_of_range.inc(event.out_of_range)
        intake.uncorrected.inc(event.uncorrected)
        for dimm, errors in event.dimm_errors:
            intake.errors.labels(self._bounded(dimm)).inc(errors)
        if event.accepted:
            intake.newest.set(event.newest_time_ns / 1e9)
            intake.commit_seconds.observe(event.commit_seconds)

    def _bounded(self, dimm: str) -> str:
        """`dimm`, as long as there are not too many different ones."""
        if dimm not in self._dimms and len(self._dimms) >= DIMMS_MAX:
            return OTHER
        self._dimms.add(dimm)
        return dimm

    @observe.register
    def _(self, event: MessageRefused) -> None:
        self._intake.messages_refused.labels(event.kind).inc()

    @observe.register
    def _(self, event: GapSeen) -> None:
        self._intake.gaps.inc()
        self._intake.ereports_missed.inc(event.last - event.first + 1)

    @observe.register
    def _(self, event: EreportsLost) -> None:
        self._intake.ereports_lost.inc(event.count)
        self._intake.ereports_missing.set(event.missing)

    @observe.register
    def _(self, event: PagesEvicted) -> None:
        self._intake.pages_evicted.inc(event.count)

    @observe.register
    def _(self, event: CaseOpened) -> None:
        self._enter(event.case.state)
        self._cases.transitions.labels(event.case.state).inc()
        self._cases.opened.labels(event.case.origin).inc()

    @observe.register
    def _(self, event: CaseMoved) -> None:
        self._cases.now.labels(event.before).dec()
        if event.before is State.RETIRED:
            self._cases.retired_bytes.dec(PAGE_SIZE)
        self._enter(event.case.state)
        self._cases.transitions.labels(event.case.state).inc()
        if event.before in COMMANDING:
            self._cases.step_seconds.labels(event.before).observe(event.took_seconds)

        if event.case.state is State.OBSERVED:
            self._cases.would.labels(next(iter(event.case.rungs), NO_RUNG)).inc()

    @observe.register
    def _(self, event: DimmWornOut) -> None:
        self._worn.add(event.rank.dimm)
        self._cases.dimms_worn_out.set(len(self._worn))

    @observe.register
    def _(self, _: CaseDropped) -> None:
        self._cases.dropped.inc()

    @observe.register
    def _(self, _: CaseMessageCoalesced) -> None:
        self._cases.messages_coalesced.inc()

    @observe.register
    def _(self, event: GuestPaused) -> None:
        self._cases.pause_seconds.observe(event.seconds)

    @observe.register
    def _(self, _: GuestFoundStopped) -> None:
        self._cases.found_stopped.inc()

    @observe.register
    def _(self, _: MarksUnlisted) -> None:
        self._cases.marks_unlisted.inc()

    @observe.register
    def _(self, event: CapReached) -> None:
        self._cases.caps_reached.labels(event.refusal).inc()

    @observe.register
    def _(self, event: CallMade) -> None:
        self._world.calls.labels(event.call, event.outcome).inc()
        self._world.call_seconds.labels(event.call).observe(event.seconds)

    @observe.register
    def _(self, _: BrokerConnected) -> None:
        self._world.broker_connected.set(1)

    @observe.register
    def _(self, _: BrokerLost) -> None:
        self._world.broker_connected.set(0)
        self._world.broker_lost.inc()
