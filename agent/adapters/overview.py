"""The agent at a glance, for `pagewarden status` and its kin.

An observer that keeps what it is asked for.

What was counted comes from the diagnosis, and how long guests stood still from the cases: both
survive. What only this life saw (duplicates, refused messages) is kept here.
"""

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import singledispatchmethod
from statistics import median

from agent.adapters.health import HealthBoard
from agent.adapters.page import CASES_SHOWN, DimmLine, Glance
from agent.contract.status import (
    CapsView,
    CaseStep,
    CasesView,
    CaseView,
    HotPage,
    HotPlace,
    PausesView,
    StatusView,
    TopView,
    WornDimm,
)
from agent.diagnosis.diagnosis import Diagnosis
from agent.diagnosis.dram import Hot
from agent.events import BatchTaken, Beat, EreportsLost, Event, GuestPaused, MessageRefused
from agent.retirement.batch import pauses_of
from agent.retirement.caps import Rank
from agent.retirement.case import Case
from agent.retirement.docket import Docket
from agent.retirement.manners import Manners
from agent.retirement.states import State

PAUSES_KEPT = 4096
HOT_PAGES = 10
HOT_PLACES = 10
UNDER_WAY_SHOWN = 64  # cases, in what moves
DIMMS_SHOWN = 64  # anybody may send an ereport with a label of his own
NS = 1_000_000_000

Steps = Callable[[str], Awaitable[tuple[tuple[int, str, str], ...]]]


@dataclass(slots=True)
class Overview:
    """`manners` are asked for each time: they may change while the agent runs."""

    host: str
    version: str
    diagnosis: Diagnosis
    docket: Docket
    board: HealthBoard
    steps: Steps
    manners: Callable[[], Manners]
    _duplicates: int = 0
    _recovered: int = 0
    _refused: int = 0
    _lost: int = 0
    _errors: Counter[str] = field(default_factory=Counter[str])
    _pauses: deque[float] = field(default_factory=lambda: deque[float](maxlen=PAUSES_KEPT))

    def seed(self, earlier: Iterable[Case]) -> None:
        """Count what an earlier life saw, and its cases tell."""
        self._pauses.extend(pauses_of(earlier))

    @singledispatchmethod
    def observe(self, event: Event) -> None:
        """Keep what a glance shows; most events are none of it."""

    @observe.register
    def _(self, event: BatchTaken) -> None:
        self._duplicates += event.duplicates
        self._recovered += event.late
        for dimm, errors in event.dimm_errors:
            if dimm in self._errors or len(self._errors) < DIMMS_SHOWN:
                self._errors[dimm] += errors

    @observe.register
    def _(self, _: MessageRefused) -> None:
        self._refused += 1

    @observe.register
    def _(self, event: EreportsLost) -> None:
        self._lost += event.count

    @observe.register
    def _(self, event: GuestPaused) -> None:
        self._pauses.append(event.seconds)

    def status(self) -> StatusView:
        health = self.board.read()
        mark = next(reversed(self.diagnosis.admission.applied()), None)
        return StatusView(
            host=self.host,
            version=self.version,
            mode=self.mode,
            healthy=health.healthy,
            ailments=health.ailments,
            boot_id=mark.boot_id if mark else None,
            applied_next_seq=mark.next_seq if mark else 0,
            ereports=self.diagnosis.totals.ereports,
            errors=self.diagnosis.totals.errors,
            duplicates=self._duplicates,
            refused_messages=self._refused,
            missing=self.diagnosis.admission.missing,
            recovered=self._recovered,
            lost=self._lost,
            pages_tracked=len(self.diagnosis.policy.serd),
            hot_pages=self._hot_pages(),
            hot_rows=tuple(map(_hot_place, self.diagnosis.policy.dram.rows.hottest(HOT_PLACES))),
            hot_banks=tuple(map(_hot_place, self.diagnosis.policy.dram.banks.hottest(HOT_PLACES))),
            cases=self.docket.counts(),
            guest_pauses_seconds=self._pauses_view(),
            replace_dimms=worn_dimms(self.docket.worn_ranks),
            caps=self._caps(),
        )

    @property
    def mode(self) -> str:
        return "observe" if self.manners().observes else "enforce"

    @property
    def dimm_errors(self) -> Mapping[str, int]:
        """The errors of each DIMM that this process counted."""
        return self._errors

    def _caps(self) -> CapsView:
        caps = self.docket.caps
        return CapsView(
            pages_taken=self.docket.taken,
            pages_max=caps.pages_max,
            pages_per_rank_max=caps.pages_per_rank_max,
            pauses_per_guest_and_hour_max=self.manners().stops.pauses_per_hour_max,
        )

    def top(self, at_ns: int) -> TopView:
        """What moves, the case that moved last first."""
        unfinished = self.docket.unfinished
        newest = sorted(unfinished, key=lambda case: case.moved_at_ns, reverse=True)
        return TopView(
            at=at_ns / NS,
            status=self.status(),
            open=len(unfinished),
            under_way=tuple(map(_view, newest[:UNDER_WAY_SHOWN])),
        )

    def _hot_pages(self) -> tuple[HotPage, ...]:
        """Pages with errors but no case, nearest to their threshold first."""
        threshold = self.diagnosis.policy.serd.settings.n
        return tuple(
            HotPage(mfn=mfn, errors=errors, threshold=threshold)
            for mfn, errors in self.diagnosis.policy.serd.hottest(HOT_PAGES)
            if errors < threshold
        )

    def _pauses_view(self) -> PausesView:
        if not self._pauses:
            return PausesView()
        return PausesView(count=len(self._pauses), p50=median(self._pauses), max=max(self._pauses))

    def beat(self, late_seconds: float) -> Beat:
        """How things stand, for whoever cannot learn it by counting."""
        docket = self.docket
        return Beat(
            late_seconds=late_seconds,
            pages_tracked=len(self.diagnosis.policy.serd),
            dimm_pages=docket.taken_of,
            oldest_open_ns=min((case.opened_at_ns for case in docket.unfinished), default=0),
            oldest_parked_ns=min((case.moved_at_ns for case in docket.parked), default=0),
        )

    def glance(self, mode: str, at_ns: int) -> Glance:
        """What the page shows: the newest cases, and every DIMM that is there or had errors."""
        docket, taken = self.docket, dict(self.docket.taken_of)
        newest = sorted(docket.cases, key=lambda case: case.moved_at_ns, reverse=True)
        labels = sorted({*docket.modules, *taken, *self._errors})
        return Glance(
            at_ns=at_ns,
            mode=mode,
            status=self.status(),
            cases=tuple(map(_view, newest[:CASES_SHOWN])),
            dimms=tuple(
                DimmLine(dimm, docket.modules.get(dimm, ""), self._errors[dimm], taken.get(dimm, 0))
                for dimm in labels
            ),
            pages_per_rank_max=docket.caps.pages_per_rank_max,
            pages_taken=docket.taken,
            pages_max=docket.caps.pages_max,
        )

    def cases(self) -> CasesView:
        return CasesView(cases=tuple(_view(case) for case in self.docket.cases))

    async def case(self, case_id: str) -> CaseView | None:
        """One case with its history, read from the journal; None for an id that nobody knows."""
        case = self.docket.find(case_id)
        if case is None:
            return None
        steps = await self.steps(case_id)
        history = tuple(
            CaseStep(at=at / NS, state=state, detail=why or _what_for(case, state))
            for at, state, why in steps
        )
        return _view(case).model_copy(update={"history": history})


def _hot_place(hot: Hot) -> HotPlace:
    return HotPlace(**asdict(hot.place), errors=hot.errors, threshold=hot.threshold)


def worn_dimms(ranks: Iterable[Rank]) -> tuple[WornDimm, ...]:
    """The DIMMs to replace, each once."""
    numbers: dict[str, list[int]] = {}
    for rank in ranks:
        of_dimm = numbers.setdefault(rank.dimm, [])
        of_dimm += [] if rank.number is None else [rank.number]
    return tuple(WornDimm(dimm=dimm, ranks=tuple(worn)) for dimm, worn in numbers.items())


def _what_for(case: Case, state: str) -> str:
    return case.verdict if state == State.OPEN else ""


def _view(case: Case) -> CaseView:
    return CaseView(
        id=case.id,
        mfn=case.mfn,
        state=case.state,
        rest=case.rest,
        use=case.use,
        owner=case.owner,
        rung=case.rung,
        reason=case.why or case.verdict,
        reason_word=case.reason,
        dimm=case.dimm,
        rank_of_dimm=case.rank,
        origin=case.origin,
        opened_at=case.opened_at_ns / NS,
        moved_at=case.moved_at_ns / NS,
    )
