"""The judges: what must hold, by the world's truth and not by the agent's own story.

Each is a function that yields what it found, in sentences. Some look at every step; some when the
agent has had its time without trouble; some at the end, in the journal as a next agent would.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from agent.adapters.journal_store import JournalLimits, Store
from agent.contract import topics
from agent.contract.case_event import CaseEvent
from agent.contract.codec import decode
from agent.contract.columns import Batch
from agent.contract.frames import PAGE_SHIFT, Mfn
from agent.contract.hypercall import PageUse
from agent.contract.toolstack import DomainState
from agent.retirement.case import Case, Origin
from agent.retirement.docket import CAPPING
from agent.retirement.reason import Reason
from agent.retirement.request import Request
from agent.retirement.states import State
from emulator.xen.frametable import FrameState
from tests.simulation.agent import Keeper
from tests.simulation.bus import Bus
from tests.simulation.host import Host, Made
from tests.simulation.operators import Operators
from tests.simulation.plan import Plan
from tests.simulation.trouble import Kind

# How long a guest may stand still, or lack its device, once nothing keeps the agent from helping.
STILL_SECONDS_MAX = 120.0
BEYOND_HELP = frozenset({PageUse.DOM0, PageUse.XEN_HEAP, PageUse.SHARED, PageUse.UNKNOWN})
MARKED = frozenset({FrameState.OFFLINING, FrameState.OFFLINED})
_NS = 1_000_000_000
HEARD_SECONDS_MAX = 600.0  # between a stop, or a permission to stop, and what is heard or done
MARGIN_NS = 3 * 3600 * _NS  # clocks are stepped: nobody judges what is so near to the window's edge


@dataclass(frozen=True, slots=True)
class Found:
    """`checker` is which of the judges found it."""

    checker: str
    what: str

    def __str__(self) -> str:
        return f"{self.checker}: {self.what}"


@dataclass(slots=True)
class Scene:
    """What the judges may see. `troubled` are the cases that were there before trouble ended."""

    plan: Plan
    host: Host
    keeper: Keeper
    operators: Operators
    bus: Bus
    now: float = 0.0
    troubled: frozenset[str] = frozenset()
    still_since: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def cases(self) -> tuple[Case, ...]:
        return self.keeper.cases

    @property
    def requests(self) -> tuple[Request, ...]:
        agent = self.keeper.agent
        return agent.desk.requests if agent is not None else ()

    @property
    def waiting_requests(self) -> list[Request]:
        """Those that are not over, though none of their pages waits for its guest's hour."""
        postponed = {case.mfn for case in self.cases if case.state is State.POSTPONED}
        return [one for one in self.requests if not (one.is_over or postponed & {*one.under_way})]

    @property
    def is_of_this_boot(self) -> bool:
        """True if the agent knows in which boot the host is."""
        agent = self.keeper.agent
        return agent is not None and agent.driver.docket.boot == str(self.host.boot_id)

    @property
    def before_of_its_own(self) -> list[Mfn]:
        """What was out of use in the boot before because the agent wanted that."""
        made = _by_page(self.host.books.made)
        bad = (mfn for mfn in self.host.before.offlined if mfn not in self.host.before.marked)
        return [mfn for mfn in bad if _fires(made.get(mfn, []), self.plan.n, -MARGIN_NS)]

    @property
    def is_clock_true(self) -> bool:
        """False in a life in which somebody sets it: who goes by the clock goes wrong then."""
        return Kind.CLOCK_STEP not in self.plan.often

    @property
    def own_marks(self) -> list[Mfn]:
        """The marked pages that count against a cap of the agent's. Not what it took on a new DIMM
        before it knew of that: it lets go of such a case, and finds the mark again.
        """
        gone = (case.mfn for case in self.cases if case.state is State.RETURNED or not case.is_ours)
        let_go = set(gone)
        # What others had marked in the boot before was out of use too, whoever wanted it since.
        others = {*self.host.guests.marked, *self.host.before.marked, *self.operators.beyond_cap}
        others |= {mfn for mfn in let_go if self.host.is_replaced(mfn)}
        return [mfn for mfn in self.host.world.hypervisor.offlined() if mfn not in others]

    def state_of(self, mfn: Mfn) -> FrameState:
        return self.host.world.hypervisor.table.state_of(mfn)


Checker = Callable[[Scene], Iterator[str]]


# At every step


def no_guest_is_harmed(scene: Scene) -> Iterator[str]:
    corruptions = scene.host.guests.corruptions()
    if corruptions:
        yield f"guests read or wrote wrong {corruptions} times"


def a_retired_page_is_offlined(scene: Scene) -> Iterator[str]:
    if not scene.is_of_this_boot or not scene.host.is_up:
        return
    for case in scene.cases:
        if case.state is State.RETIRED and scene.state_of(case.mfn) is not FrameState.OFFLINED:
            state = scene.state_of(case.mfn).name
            yield f"{case.id} is retired, but page {case.mfn:#x} is {state}"


def the_cap_is_kept(scene: Scene) -> Iterator[str]:
    fraction = scene.keeper.config.retirement.retired_memory_fraction_max
    most = max(1, int(scene.host.nature.layout.frames * fraction))
    marked = len(scene.own_marks)
    if marked > most:
        yield f"{marked} pages are taken, and the cap is {most}"


def the_cap_of_each_rank_is_kept(scene: Scene) -> Iterator[str]:
    """It is for what the agent takes by its own judgement."""
    most = scene.keeper.config.retirement.pages_per_rank_max
    geometry = scene.host.world.firmware.geometry
    judged = [mfn for mfn in scene.own_marks if mfn not in scene.operators.wanted]
    places = geometry.places(np.array(judged, np.int64) << PAGE_SHIFT)
    ranks = zip(geometry.dimm_of(places).tolist(), places.rank.tolist(), strict=True)
    for (dimm, rank), pages in Counter(ranks).items():
        if pages > most:
            yield f"{pages} pages of rank {rank} of DIMM {dimm} are taken, and the cap is {most}"


def no_guest_is_stopped_too_often(scene: Scene) -> Iterator[str]:
    """Within a bit less than an hour: the agent counts a stop when it has heard of it."""
    most = scene.keeper.config.retirement.pauses_per_guest_and_hour_max
    for guest, stops in scene.host.stops.items() if scene.is_clock_true else ():
        times = [stop.at for stop in stops]
        spans = (last - first for first, last in zip(times, times[most:], strict=False))
        if any(span < 3600 - HEARD_SECONDS_MAX for span in spans):
            yield f"{guest} was stopped more than {most} times within an hour"


def guests_are_stopped_in_the_windows(scene: Scene) -> Iterator[str]:
    """Or soon after: what has begun goes to its end."""
    windows = [section.window for section in scene.keeper.config.retirement.windows]
    for guest, stops in scene.host.stops.items() if windows and scene.is_clock_true else ():
        for stop in stops:
            moments = (stop.time_ns, stop.time_ns - round(HEARD_SECONDS_MAX * _NS))
            if not any(window.is_open(at_ns) for window in windows for at_ns in moments):
                yield f"{guest} was stopped outside of every window"


def nobody_stands_still_for_long(scene: Scene) -> Iterator[str]:
    """Nor without a device. Time in which something kept the agent from helping does not count."""
    lacking = dict(_lacking(scene.host))
    scene.still_since = {guest: scene.still_since.get(guest, scene.now) for guest in lacking}
    helped_since = scene.keeper.up_since if scene.keeper.is_up else scene.now
    for guest, why in lacking.items():
        excused = scene.host.excused.get(guest, 0.0), scene.host.excused.get("", 0.0)
        since = max(scene.still_since[guest], helped_since, *excused)
        if scene.now - since > STILL_SECONDS_MAX:
            yield f"{guest} {why} for {scene.now - scene.still_since[guest]:.0f} s"


def _lacking(host: Host) -> Iterator[tuple[str, str]]:
    """The guests that do not have what is theirs, by the truth. A crashed one misses nothing: who
    starts it again gives it what is its own.
    """
    world = host.world
    for domain in world.hypervisor.domains.values():
        if domain.state is DomainState.SUSPENDED:
            yield domain.name, "stands still"
        if domain.has_crashed:
            continue
        for device in world.hypervisor.devices.values():
            if device.home == domain.name and device.name not in domain.devices:
                yield domain.name, f"lacks {device.name}"
    for name in world.toolstack.images_waiting():
        yield host.name_of(name), "is on disk"


def the_agent_runs(scene: Scene) -> Iterator[str]:
    yield from scene.keeper.crashes


ALWAYS: tuple[Checker, ...] = (
    no_guest_is_harmed,
    a_retired_page_is_offlined,
    the_cap_is_kept,
    the_cap_of_each_rank_is_kept,
    no_guest_is_stopped_too_often,
    guests_are_stopped_in_the_windows,
    nobody_stands_still_for_long,
    the_agent_runs,
)


# When there was time enough without trouble


def the_agent_knows_its_host(scene: Scene) -> Iterator[str]:
    if scene.keeper.agent is None:
        yield "the agent does not come up"
    elif not scene.is_of_this_boot:
        yield "the agent has not noticed that the host rebooted"


def everything_came_to_rest(scene: Scene) -> Iterator[str]:
    for case in scene.cases:
        if not case.state.is_at_rest:
            yield f"{case.id} is still {case.state}: {case.reason}"
    if not scene.host.source.is_idle:
        yield f"{len(scene.host.source.despatch.outbox)} messages are still not applied"


def every_guest_is_whole(scene: Scene) -> Iterator[str]:
    for name, why in _lacking(scene.host):
        yield f"{name} {why}"
    away = scene.host.guests.elsewhere()
    for name in scene.host.guests.names:
        if scene.host.guests.domain(name) is None and name not in away:
            yield f"{name} is gone"
    for guest in scene.host.world.guests:
        if guest.domain.is_running and guest.verify():
            yield f"{guest.domain.name} would read {guest.verify()} pages wrong"


def the_host_is_sound(scene: Scene) -> Iterator[str]:
    yield from scene.host.world.hypervisor.check()


def every_bad_page_has_a_case(scene: Scene) -> Iterator[str]:
    """And no other. What the host took with it when it went down may be missing."""
    known = {case.mfn for case in scene.cases}
    counted = _by_page(one for one in scene.host.books.made if not _is_doubtful(scene, one))
    for mfn, errors in counted.items():
        if mfn not in known and _fires(errors, scene.plan.n, -MARGIN_NS):
            yield f"page {mfn:#x} had {len(errors)} errors, and has no case"


def no_healthy_page_has_a_case(scene: Scene) -> Iterator[str]:
    """By a verdict, that is. Whether others wanted the page is judged by itself."""
    made = _by_page(scene.host.books.made)
    for case in scene.cases:
        if case.origin is Origin.VERDICT and not _fires(
            made.get(case.mfn, []), scene.plan.n, MARGIN_NS
        ):
            yield f"page {case.mfn:#x} had too few errors, and has case {case.id}"


def _is_doubtful(scene: Scene, one: Made) -> bool:
    return scene.host.books.may_be_lost(one.boot_id, one.seq)


def _by_page(made: Iterator[Made] | list[Made]) -> dict[Mfn, list[int]]:
    """When the errors of each page were, an entry each."""
    times: defaultdict[Mfn, list[int]] = defaultdict(list)
    for one in made:
        times[one.mfn] += [one.time_ns] * one.errors
    return {mfn: sorted(at) for mfn, at in times.items()}


def _fires(times_ns: list[int], n: int, slack_ns: int) -> bool:
    window_ns = 24 * 3600 * _NS + slack_ns
    spans = (last - first for first, last in zip(times_ns, times_ns[n - 1 :], strict=False))
    return any(span < window_ns for span in spans)


def nobody_takes_what_nobody_wants(scene: Scene) -> Iterator[str]:
    """A marked page had errors, or an operator asked for it, or somebody marked it in this boot."""
    made = _by_page(scene.host.books.made)
    wanted = scene.operators.wanted | scene.host.guests.marked.keys()
    for mfn in scene.host.world.hypervisor.offlined():
        if mfn not in wanted and not _fires(made.get(mfn, []), scene.plan.n, MARGIN_NS):
            yield f"page {mfn:#x} is marked, and nobody wanted that"


def what_others_mark_has_a_case(scene: Scene) -> Iterator[str]:
    """If it was marked before the agent looked last."""
    known = {case.mfn for case in scene.cases if case.state is not State.RETURNED}
    for mfn, at in scene.host.guests.marked.items():
        is_marked = scene.state_of(mfn) in MARKED
        if at < scene.keeper.life_since and is_marked and mfn not in known:
            yield f"page {mfn:#x} was marked by others, and has no case"


def what_was_retired_stays_so_unless_its_dimm_is_gone(scene: Scene) -> Iterator[str]:
    """From one boot to the next: asked for again, or dropped with its DIMM, and nothing else."""
    cases = {case.mfn: case for case in scene.cases}
    newer = {one.mfn for one in scene.host.books.made if one.boot_id == scene.host.boot_id}
    for mfn in scene.before_of_its_own:
        case, is_replaced = cases.get(mfn), scene.host.is_replaced(mfn)
        is_dropped = case is None or case.state is State.RETURNED
        is_ours = case is None or case.is_ours  # what was dropped with its DIMM may be found again
        if is_dropped and is_ours and not is_replaced and mfn not in scene.operators.given_back:
            yield f"page {mfn:#x} was retired in the boot before, and is forgotten"
        if is_replaced and not is_dropped and mfn not in scene.operators.wanted | newer:
            yield f"page {mfn:#x} lies on a new DIMM, and is {cases[mfn].state} still"


def every_request_is_answered(scene: Scene) -> Iterator[str]:
    """It is over, and each of its pages came true or has a reason why not."""
    known = {request.id: request for request in scene.requests}
    for asked in scene.operators.asked:
        if asked.is_taken and asked.ask.id not in known:
            yield f"request {asked.ask.id} is forgotten"
    for request in scene.waiting_requests:
        yield f"request {request.id} still has {request.left} pages left"
    for request in known.values():
        if request.is_over and sum(pages for _, pages in request.came) != request.pages.count:
            yield f"request {request.id} does not tell of each of its pages once"
        for (rest, reason), _ in request.came:
            if rest is not request.wish.granted and reason is None:
                yield f"request {request.id} was not fulfilled, and nobody says why"


def what_was_granted_is_so(scene: Scene) -> Iterator[str]:
    """Of requests of this boot, unless somebody wanted some of these pages otherwise later."""
    taken = [asked for asked in scene.operators.asked if asked.is_taken]
    known = {request.id: request for request in scene.requests}
    for number, asked in enumerate(taken):
        request = known.get(asked.ask.id)
        later = frozenset[int]().union(*(other.pages for other in taken[number + 1 :]))
        # Of the boot that the agent knew: the host may have been in its next one.
        if request is None or request.boot != str(scene.host.boot_id) or asked.pages & later:
            continue
        granted = sum(n for (rest, _), n in request.came if rest is request.wish.granted)
        states = [scene.state_of(Mfn(mfn)) for mfn in asked.pages]
        offlined = states.count(FrameState.OFFLINED)
        if request.takes and granted > offlined:
            yield f"request {request.id} says {granted} pages are retired, and {offlined} are"
        others = scene.host.guests.marked.keys() | {one.mfn for one in scene.host.books.made}
        marked = sum(state in MARKED for state in states)
        if not (request.takes or asked.pages & others) and granted > len(states) - marked:
            yield f"request {request.id} says {granted} pages are back, and {marked} are marked"


def nobody_is_overruled_by_nobody(scene: Scene) -> Iterator[str]:
    """Where that is the reason, somebody wanted the opposite, or the page had errors."""
    for asked in scene.operators.asked:
        agent = scene.keeper.agent
        request = agent.desk.find(asked.ask.id) if agent is not None else None
        if request is None or all(
            reason is not Reason.OVERRULED for (_, reason), _ in request.came
        ):
            continue
        other = scene.operators.given_back if request.takes else scene.operators.wanted
        newer = (m.mfn for m in scene.host.books.made if m.time_ns > request.asked_at_ns)
        if not asked.pages & (other | {*newer}) and scene.is_clock_true:
            yield f"request {request.id} was overruled, and by nobody"


def the_bus_tells_where_cases_are(scene: Scene) -> Iterator[str]:
    """What is retained there is where each case is; a closed one is not there any more."""
    prefix = topics.case(scene.keeper.config.host, "")
    told = {
        topic.removeprefix(prefix): CaseEvent.model_validate_json(message.payload).state
        for topic, message in scene.bus.retained.items()
        if topic.startswith(prefix)
    }
    there = {c.id: c.state.value for c in scene.cases if c.state is not State.RETURNED}
    for case_id in sorted(told.keys() | there.keys()):
        if told.get(case_id) != there.get(case_id):
            yield f"{case_id} is {there.get(case_id)}, and {told.get(case_id)} on the bus"


def unretirable_is_what_the_host_refuses(scene: Scene) -> Iterator[str]:
    for case in scene.cases:
        is_capped = case.reason in CAPPING
        is_refused = is_capped or case.mfn in scene.host.refused
        if case.state is State.UNRETIRABLE and not is_refused:
            yield f"{case.id} is unretirable, and nobody refused page {case.mfn:#x}"


def a_parked_page_is_held(scene: Scene) -> Iterator[str]:
    """What has left by itself is found out, since parked pages are watched."""
    for case in scene.cases:
        is_watched, truth = case.state in {State.PARKED, State.FOUND}, scene.state_of(case.mfn)
        if is_watched and truth in {FrameState.OFFLINED, FrameState.FREE}:
            yield f"{case.id} is {case.state}, but page {case.mfn:#x} is {truth.name}"


def who_was_not_disturbed_succeeds(scene: Scene) -> Iterator[str]:
    """A page that went bad when all trouble was over is retired, unless nothing could help it."""
    for case in scene.cases:
        is_done = case.state in {State.RETIRED, State.RETURNED, State.POSTPONED, State.FOUND}
        if case.id in scene.troubled or is_done:
            continue
        if case.reason is Reason.XEN_HEAP and case.mfn in scene.host.refused:
            continue  # it was Xen's then, whosever it is now
        if case.reason not in CAPPING and _could_be_helped(scene, case.mfn):
            yield f"{case.id} is {case.state} for no reason but its own: {case.why}"


def _could_be_helped(scene: Scene, mfn: Mfn) -> bool:
    """True if one of the rungs takes it out of use: by the truth, and not by what was tried."""
    hypervisor = scene.host.world.hypervisor
    if hypervisor.table.use_of(mfn) in BEYOND_HELP:
        return False
    domain = hypervisor.domains.get(hypervisor.table.holder_of(mfn))
    devices = () if domain is None else map(hypervisor.devices.__getitem__, domain.devices)
    return domain is not None and all(device.may_leave for device in devices)


AT_REST: tuple[Checker, ...] = (
    the_agent_knows_its_host,
    everything_came_to_rest,
    every_guest_is_whole,
    the_host_is_sound,
    every_bad_page_has_a_case,
    no_healthy_page_has_a_case,
    nobody_takes_what_nobody_wants,
    what_others_mark_has_a_case,
    what_was_retired_stays_so_unless_its_dimm_is_gone,
    every_request_is_answered,
    what_was_granted_is_so,
    nobody_is_overruled_by_nobody,
    the_bus_tells_where_cases_are,
    unretirable_is_what_the_host_refuses,
    a_parked_page_is_held,
    who_was_not_disturbed_succeeds,
)


# At the end, when the agent has stopped


def every_ereport_is_accounted_once(scene: Scene) -> Iterator[str]:
    """The journal's sum is what the host made, less what the host itself took with it."""
    with_journal = _batches(scene)
    seen = Counter((b.boot_id, seq) for b in with_journal for seq in b.seq.tolist())
    for (boot_id, seq), times in seen.items():
        if times > 1:
            yield f"ereport {seq} of boot {boot_id} is in the journal {times} times"
    made = {(one.boot_id, one.seq): one for one in scene.host.books.made}
    for key in seen.keys() - made.keys():
        yield f"ereport {key} is in the journal, and nobody made it"
    missing = [one for key, one in made.items() if key not in seen]
    lost = [one for one in missing if not _is_doubtful(scene, one)]
    if lost:
        yield f"{len(lost)} ereports are not in the journal, the first is {lost[0].seq}"


def _batches(scene: Scene) -> list[Batch]:
    store = Store(scene.keeper.path, JournalLimits())
    try:
        return [decode(blob) for _, blob in store.batches_after(0, 1 << 30)]
    finally:
        store.close()


def the_journal_tells_the_same(scene: Scene) -> Iterator[str]:
    """A next agent would know of every case what this one knew."""
    store = Store(scene.keeper.path, JournalLimits())
    try:
        kept = {case.id: case for case in store.cases()}
    finally:
        store.close()
    for case in scene.cases:
        if case.id not in kept:
            yield f"{case.id} is not in the journal"
        elif kept[case.id].state is not case.state:
            yield f"{case.id} is {case.state}, and {kept[case.id].state} in the journal"


def each_page_has_one_case(scene: Scene) -> Iterator[str]:
    """That is not closed: whatever asked for it, and however often."""
    store = Store(scene.keeper.path, JournalLimits())
    try:
        cases = Counter(case.mfn for case in store.cases() if case.state is not State.RETURNED)
    finally:
        store.close()
    for mfn, number in cases.items():
        if number > 1:
            yield f"page {mfn:#x} has {number} cases"


def the_counts_are_right(scene: Scene) -> Iterator[str]:
    agent = scene.keeper.agent
    if agent is None:
        return
    batches, totals = _batches(scene), agent.overview.diagnosis.totals
    ereports = sum(len(batch) for batch in batches)
    errors = sum(int(batch.errors.sum()) for batch in batches)
    if (totals.ereports, totals.errors) != (ereports, errors):
        yield f"{totals.ereports} ereports are counted, and {ereports} are in the journal"


AT_THE_END: tuple[Checker, ...] = (
    every_ereport_is_accounted_once,
    the_journal_tells_the_same,
    each_page_has_one_case,
    the_counts_are_right,
)


def judged(scene: Scene, checkers: tuple[Checker, ...]) -> list[Found]:
    """All that these checkers find."""
    return [Found(checker.__name__, what) for checker in checkers for what in checker(scene)]
