"""Events become numbers: one method an event, each a few increments."""

from collections.abc import Iterable
from functools import singledispatchmethod
from platform import python_version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    ProcessCollector,
    disable_created_metrics,
)

from agent.adapters import catalogue as row
from agent.adapters.catalogue import (
    BANKS_MAX,
    COMMANDING,
    DIMMS_MAX,
    MODES,
    NO_RUNG,
    OTHER,
    Instruments,
    Result,
)
from agent.adapters.health import HealthBoard
from agent.contract.ereport import Module
from agent.contract.frames import PAGE_SIZE
from agent.diagnosis.policy import UNKNOWN_DIMM
from agent.events import (
    BatchTaken,
    Beat,
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
    PolicyRefused,
    PolicyReloaded,
    Started,
)
from agent.retirement.states import State

Bank = tuple[str, int, int]


class Metrics:
    """Hand `observe` every event; expose `registry`."""

    def __init__(
        self, version: str, board: HealthBoard, registry: CollectorRegistry | None = None
    ) -> None:
        # They double a page for the sake of a time nobody reads.
        disable_created_metrics()  # type: ignore[no-untyped-call] # prometheus_client leaves it so
        self.registry = registry or CollectorRegistry()
        self._made = Instruments(self.registry)
        self._dimms: set[str] = set()
        self._banks: dict[Bank, Counter] = {}
        self._worn: set[str] = set()
        self._expose_process(version, board)

    def _expose_process(self, version: str, board: HealthBoard) -> None:
        ProcessCollector(registry=self.registry)
        GCCollector(self.registry)
        self._made[row.BUILD].labels(version, python_version()).set(1)
        # Read when scraped: a loop that is stuck does not get round to telling.
        self._made[row.HEALTHY].set_function(lambda: board.read().healthy)

    @singledispatchmethod
    def observe(self, event: Event) -> None:
        """Count `event`.

        Raises:
            TypeError: for an event that is counted nowhere.
        """
        raise TypeError(f"{type(event).__name__} has no metric")

    @observe.register
    def _(self, event: Started) -> None:
        for mode in MODES:
            self._made[row.MODE].labels(mode).set(mode == event.mode)
        self._made[row.RETIRED_BYTES_MAX].set(event.pages_max * PAGE_SIZE)
        self._made[row.DIMM_PAGES_MAX].set(event.pages_per_rank_max)
        self._made[row.EREPORTS_MISSING].set(event.missing)
        self._introduce(event.modules)
        for case in event.cases:
            self._enter(case.state)

    def _introduce(self, modules: Iterable[Module]) -> None:
        """The series of a DIMM are there before its first error."""
        self._expect_errors_of(UNKNOWN_DIMM)
        for module in modules:
            dimm = self._bounded(module.label)
            self._expect_errors_of(dimm)
            self._made[row.DIMM_PAGES].labels(dimm)
            if dimm != OTHER:
                self._made[row.DIMM_INFO].labels(dimm, module.part, module.serial).set(1)

    def _expect_errors_of(self, dimm: str) -> None:
        for kind in (row.ERRORS, row.UNCORRECTED):
            self._made[kind].labels(dimm)

    def _enter(self, state: State) -> None:
        self._made[row.CASES_NOW].labels(state).inc()
        if state is State.RETIRED:
            self._made[row.RETIRED_BYTES].inc(PAGE_SIZE)

    @observe.register
    def _(self, event: Beat) -> None:
        self._made[row.LAG].observe(event.late_seconds)
        self._made[row.PAGES_TRACKED].set(event.pages_tracked)
        self._made[row.OLDEST_OPEN].set(event.oldest_open_ns / 1e9)
        self._made[row.OLDEST_PARKED].set(event.oldest_parked_ns / 1e9)
        for dimm, pages in _summed(
            (self._bounded(dimm), pages) for dimm, pages in event.dimm_pages
        ):
            self._made[row.DIMM_PAGES].labels(dimm).set(pages)

    @observe.register
    def _(self, event: BatchTaken) -> None:
        made = self._made
        made[row.EREPORTS].labels(Result.ACCEPTED).inc(event.accepted)
        made[row.EREPORTS].labels(Result.DUPLICATE).inc(event.duplicates)
        made[row.EREPORTS_RECOVERED].inc(event.late)
        made[row.EREPORTS_MISSING].set(event.missing)
        made[row.UNLOCATED].inc(event.unlocated)
        made[row.OUT_OF_RANGE].inc(event.out_of_range)
        for dimm, errors in event.dimm_errors:
            made[row.ERRORS].labels(self._bounded(dimm)).inc(errors)
        for dimm, ereports in event.dimm_uncorrected:
            made[row.UNCORRECTED].labels(self._bounded(dimm)).inc(ereports)
        for bank, errors in event.bank_errors:
            self._counter_of(bank).inc(errors)
        if event.accepted:
            made[row.NEWEST].set(event.newest_time_ns / 1e9)
            made[row.DELAY].observe(event.delay_seconds)
            made[row.COMMIT].observe(event.commit_seconds)

    def _bounded(self, dimm: str) -> str:
        """`dimm`, as long as there are not too many different ones."""
        if dimm not in self._dimms and len(self._dimms) >= DIMMS_MAX:
            return OTHER
        self._dimms.add(dimm)
        return dimm

    def _counter_of(self, bank: Bank) -> Counter:
        """As `_bounded`. A storm is of many banks at once, and they are kept at hand for it."""
        if bank not in self._banks:
            if len(self._banks) >= BANKS_MAX:
                return self._made[row.BANK_ERRORS].labels(OTHER, OTHER, OTHER)
            self._banks[bank] = self._made[row.BANK_ERRORS].labels(*map(str, bank))
        return self._banks[bank]

    @observe.register
    def _(self, event: MessageRefused) -> None:
        self._made[row.MESSAGES_REFUSED].labels(event.kind).inc()

    @observe.register
    def _(self, event: GapSeen) -> None:
        self._made[row.GAPS].inc()
        self._made[row.EREPORTS_MISSED].inc(event.last - event.first + 1)

    @observe.register
    def _(self, event: EreportsLost) -> None:
        self._made[row.EREPORTS_LOST].inc(event.count)
        self._made[row.EREPORTS_MISSING].set(event.missing)

    @observe.register
    def _(self, event: PagesEvicted) -> None:
        self._made[row.PAGES_EVICTED].inc(event.count)

    @observe.register
    def _(self, event: CaseOpened) -> None:
        self._enter(event.case.state)
        self._made[row.TRANSITIONS].labels(event.case.state).inc()
        self._made[row.OPENED].labels(event.case.origin).inc()

    @observe.register
    def _(self, event: CaseMoved) -> None:
        self._made[row.CASES_NOW].labels(event.before).dec()
        if event.before is State.RETIRED:
            self._made[row.RETIRED_BYTES].dec(PAGE_SIZE)
        self._enter(event.case.state)
        self._made[row.TRANSITIONS].labels(event.case.state).inc()
        if event.before in COMMANDING:
            self._made[row.STEP].labels(event.before).observe(event.took_seconds)

        if event.case.state is State.OBSERVED:
            self._made[row.WOULD_OFFLINE].labels(next(iter(event.case.rungs), NO_RUNG)).inc()

    @observe.register
    def _(self, event: DimmWornOut) -> None:
        self._worn.add(event.rank.dimm)
        self._made[row.DIMMS_TO_REPLACE].set(len(self._worn))

    @observe.register
    def _(self, _: CaseDropped) -> None:
        self._made[row.CASES_DROPPED].inc()

    @observe.register
    def _(self, _: CaseMessageCoalesced) -> None:
        self._made[row.MESSAGES_COALESCED].inc()

    @observe.register
    def _(self, event: GuestPaused) -> None:
        self._made[row.PAUSE].observe(event.seconds)

    @observe.register
    def _(self, _: GuestFoundStopped) -> None:
        self._made[row.FOUND_STOPPED].inc()

    @observe.register
    def _(self, _: MarksUnlisted) -> None:
        self._made[row.MARKS_UNLISTED].inc()

    @observe.register
    def _(self, event: CapReached) -> None:
        self._made[row.CAPS_REACHED].labels(event.refusal).inc()

    @observe.register
    def _(self, _: PolicyReloaded) -> None:
        self._made[row.POLICY_RELOADS].labels("taken").inc()

    @observe.register
    def _(self, _: PolicyRefused) -> None:
        self._made[row.POLICY_RELOADS].labels("refused").inc()

    @observe.register
    def _(self, event: CallMade) -> None:
        self._made[row.CALLS_MADE].labels(event.call, event.outcome).inc()
        self._made[row.CALL].labels(event.call).observe(event.seconds)

    @observe.register
    def _(self, _: BrokerConnected) -> None:
        self._made[row.BROKER_CONNECTED].set(1)

    @observe.register
    def _(self, _: BrokerLost) -> None:
        self._made[row.BROKER_CONNECTED].set(0)
        self._made[row.BROKER_LOST].inc()


def _summed(pairs: Iterable[tuple[str, int]]) -> Iterable[tuple[str, int]]:
    """Equal names together: several DIMMs may be `other`."""
    sums: dict[str, int] = {}
    for name, number in pairs:
        sums[name] = sums.get(name, 0) + number
    return sums.items()
