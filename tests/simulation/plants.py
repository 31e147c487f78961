"""Bugs that are planted on purpose, to see whether the judges find them.

A simulator that finds nothing says nothing until one knows what it would find. Each of these is a
mistake that somebody could make in the agent, patched in for the length of a life. If one is not
found within `PLANT_LIVES`, it is the simulator that is too weak.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest import mock

import numpy as np

from agent import app
from agent.adapters.journal import Journal
from agent.checkup import Checkup
from agent.contract.columns import Batch
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageReply, PageStatus
from agent.contract.toolstack import ResumePath, ToolCall, ToolReply
from agent.diagnosis.admission import Admission, Admitted, Stranger
from agent.diagnosis.engines import SerdSettings
from agent.diagnosis.numbering import Numbering
from agent.herald import Herald
from agent.pipeline import Delivery, Pipeline
from agent.retirement import advance, answers, batch, docket, hearing, ladder, request
from agent.retirement.acts import Acts
from agent.retirement.adoption import Adoption
from agent.retirement.caps import Caps, StopCaps
from agent.retirement.case import Case
from agent.retirement.docket import Docket
from agent.retirement.driver import Driver
from agent.retirement.hindsight import Hindsight
from agent.retirement.ladder import Rung, Terms
from agent.retirement.outcome import (
    Done,
    Failed,
    Guest,
    Held,
    NoAnswer,
    Offlined,
    Outcome,
    Refused,
    TryAgain,
)
from agent.retirement.reason import Reason
from agent.retirement.request import Fate, Request
from agent.retirement.states import State
from agent.retirement.steps import Steps
from agent.retirement.table import TRANSITIONS
from tests.simulation.life import Outcome as Lived
from tests.simulation.life import live
from tests.simulation.plan import plan_of
from tests.simulation.ports import SimToolstack

Patch = Any  # what `mock.patch` returns: its type is private


def _acknowledges_before_the_commit() -> Patch:
    take = Pipeline.take

    async def hasty(self: Pipeline, *deliveries: Delivery) -> None:
        for delivery in deliveries:
            await delivery.acknowledge()
        await take(self, *deliveries)

    return mock.patch.object(Pipeline, "take", hasty)


def _writes_only_what_is_at_rest() -> Patch:
    """The state that names a command is not on the disk when the command is given."""
    begun, write = Steps._begun, Steps._write

    async def hasty(self: Steps, members: Sequence[Case]) -> Sequence[Case]:
        with mock.patch.object(self, "log", SavesNothing()):
            return await begun(self, members)

    async def lazy(self: Steps, moved: Sequence[batch.Move]) -> None:
        await write(self, [move for move in moved if move[1].state.is_at_rest])

    return mock.patch.multiple(Steps, _begun=hasty, _write=lazy)


class SavesNothing:
    async def save(self, *_: Case) -> None:
        pass


def _resumes_by_the_fast_path() -> Patch:
    async def fast(self: SimToolstack, domid: DomId) -> ToolReply:
        tools = self._host.world.toolstack
        return await self._do(ToolCall.RESUME, domid, lambda: tools.resume(domid, ResumePath.FAST))

    return mock.patch.object(SimToolstack, "resume", fast)


def _confirms_without_a_query() -> Patch:
    return mock.patch.object(Acts, "_query", _always(Offlined()))


def _takes_pending_for_offlined() -> Patch:
    to_query = answers.to_query

    def hopeful(page: PageReply, guest: Guest) -> Outcome:
        is_marked = page.status is PageStatus.OFFLINE_PENDING
        return Offlined() if is_marked else to_query(page, guest)

    return mock.patch.object(answers, "to_query", hopeful)


def _forgets_to_attach_the_device() -> Patch:
    return mock.patch.object(Acts, "_attach", _always(Done()))


def _attaches_only_after_success() -> Patch:
    moved_to = advance.moved_to

    def at_once(one: Case, target: State, now_ns: int) -> Case:
        one = replace(one, detached=()) if target is State.PARKED else one
        return moved_to(one, target, now_ns)

    return mock.patch.object(advance, "moved_to", at_once)


def _asks_the_old_domain_for_its_device() -> Patch:
    async def owner(self: Acts, one: Case) -> DomId | None:
        return one.owner

    return mock.patch.object(Acts, "_home", owner)


def _leaves_stopped_guests_after_a_crash() -> Patch:
    async def none(_: Driver) -> None:
        """Nothing is picked up: what was under way stays as it is."""

    return mock.patch.object(Driver, "recover", none)


def _gives_up_a_resume_that_failed() -> Patch:
    row = TRANSITIONS[State.RESUMING] | {Failed: State.CONFIRMING, Refused: State.CONFIRMING}
    row |= {TryAgain: State.CONFIRMING}
    return mock.patch.dict(TRANSITIONS, {State.RESUMING: row})


def _takes_a_lost_answer_for_a_refusal() -> Patch:
    return _translated(lambda: Refused(Reason.NO_ANSWER))


def _takes_a_lost_answer_for_done() -> Patch:
    return _translated(Done, State.SUSPENDING, State.RESUMING, State.BACKING_OUT, State.RESTORING)


def _counts_duplicates() -> Patch:
    admit = Admission.admit

    def generous(self: Admission, found: Batch) -> Admitted | Stranger:
        admitted = admit(self, found)
        if isinstance(admitted, Stranger):
            return admitted
        return replace(admitted, batch=found, duplicates=0)

    return mock.patch.object(Admission, "admit", generous)


def _says_applied_across_a_gap() -> Patch:
    return mock.patch.object(Numbering, "frontier", property(lambda self: self.next_seq))


def _counts_a_record_as_one_error() -> Patch:
    return mock.patch.object(Batch, "errors", property(lambda self: np.ones(len(self), np.int64)))


def _fires_one_error_early() -> Patch:
    def early(n: int, window_ns: int, pages_max: int) -> SerdSettings:
        return SerdSettings(n - 1, window_ns, pages_max)

    return mock.patch.object(app, "SerdSettings", early)


def _forgets_what_came_after_the_snapshot() -> Patch:
    async def nothing(self: Journal, last_id: int) -> AsyncIterator[Batch]:
        for batch_of_nobody in list[Batch]():
            yield batch_of_nobody

    return mock.patch.object(Journal, "_tail", nothing)


def _retires_what_was_refused() -> Patch:
    row = TRANSITIONS[State.OPEN] | {Refused: State.RETIRED}
    return mock.patch.dict(TRANSITIONS, {State.OPEN: row})


def _ignores_the_cap() -> Patch:
    return mock.patch.object(Caps, "refusal", return_value=None)


def _does_not_notice_a_reboot() -> Patch:
    async def look(self: Checkup) -> None:
        await self.acts.hypervisor.host()

    return mock.patch.object(Checkup, "_boot", look)


def _believes_that_marks_survive_a_reboot() -> Patch:
    def as_it_was(one: Case, boot: str, now_ns: int) -> Case:
        return replace(one, boot=boot)

    return mock.patch.object(docket, "reopened", as_it_was)


def _climbs_one_rung_only() -> Patch:
    rungs_for = ladder.rungs_for

    def first(held: Held, terms: Terms) -> tuple[Rung, ...]:
        return rungs_for(held, terms)[:1]

    return mock.patch.object(hearing, "rungs_for", first)


def _does_not_watch_what_is_parked() -> Patch:
    async def blind(self: Driver) -> None:
        """Nothing."""

    return mock.patch.object(Driver, "_watch", blind)


def _ignores_the_cap_of_a_rank() -> Patch:
    return mock.patch.object(Caps, "is_worn", return_value=False)


def _stops_guests_at_any_hour() -> Patch:
    refusal = StopCaps.refusal

    def blind(self: StopCaps, now_ns: int, paused_at_ns: Iterable[int]) -> Reason | None:
        return refusal(replace(self, windows=()), now_ns, paused_at_ns)

    return mock.patch.object(StopCaps, "refusal", blind)


def _stops_guests_as_often_as_it_likes() -> Patch:
    refusal = StopCaps.refusal

    def restless(self: StopCaps, now_ns: int, paused_at_ns: Iterable[int]) -> Reason | None:
        return refusal(self, now_ns, ())

    return mock.patch.object(StopCaps, "refusal", restless)


def _counts_no_pause() -> Patch:

    def nothing(one: Case, outcome: Outcome, now_ns: int) -> Case:
        return one

    return mock.patch.object(advance, "paused", nothing)


def _takes_a_new_dimm_for_the_old_one() -> Patch:
    return mock.patch.object(Case, "is_of_another", return_value=False)


def _takes_every_dimm_for_a_new_one() -> Patch:
    def another(self: Case, module: str) -> bool:
        return bool(module)

    return mock.patch.object(Case, "is_of_another", another)


def _takes_again_what_was_given_back() -> Patch:
    return mock.patch.object(Docket, "open_missed", Docket.open)


def _overlooks_what_others_have_marked() -> Patch:
    async def blind(_: Adoption) -> None:
        """Nothing is found."""

    return mock.patch.multiple(Adoption, once=blind, run=blind)


def _asks_in_every_boot_for_what_others_marked_once() -> Patch:
    return mock.patch.object(Case, "is_ours", True)


def _forgets_requests_in_a_restart() -> Patch:
    async def none(self: Journal) -> tuple[Request, ...]:
        return ()

    return mock.patch.object(Journal, "requests", none)


def _leaves_what_is_to_come_back_half_way() -> Patch:
    return mock.patch.object(Docket, "recall", return_value=None)


def _forgets_what_may_come_late() -> Patch:
    async def nothing(_: Hindsight) -> tuple[Case, ...]:
        return ()

    return mock.patch.object(Hindsight, "look_at_given_back", nothing)


def _says_that_all_was_granted() -> Patch:
    def granted(one: Request, mfn: Mfn, known: Docket) -> Fate:
        return one.wish.granted, None

    return mock.patch.object(request, "fate_of", granted)


def _opens_a_case_for_each_request() -> Patch:
    return mock.patch.object(Docket, "_is_new", return_value=True)


def _tells_the_bus_only_once() -> Patch:
    """What a broker forgot is not told again."""
    return mock.patch.object(Herald, "_tell_all", return_value=None)


PLANTS: dict[str, Callable[[], Patch]] = {
    plant.__name__.removeprefix("_").replace("_", "-"): plant
    for plant in (
        _acknowledges_before_the_commit,
        _writes_only_what_is_at_rest,
        _resumes_by_the_fast_path,
        _confirms_without_a_query,
        _takes_pending_for_offlined,
        _forgets_to_attach_the_device,
        _attaches_only_after_success,
        _asks_the_old_domain_for_its_device,
        _leaves_stopped_guests_after_a_crash,
        _gives_up_a_resume_that_failed,
        _takes_a_lost_answer_for_a_refusal,
        _takes_a_lost_answer_for_done,
        _counts_duplicates,
        _says_applied_across_a_gap,
        _counts_a_record_as_one_error,
        _fires_one_error_early,
        _forgets_what_came_after_the_snapshot,
        _retires_what_was_refused,
        _ignores_the_cap,
        _does_not_notice_a_reboot,
        _believes_that_marks_survive_a_reboot,
        _does_not_watch_what_is_parked,
        _climbs_one_rung_only,
        _ignores_the_cap_of_a_rank,
        _stops_guests_at_any_hour,
        _stops_guests_as_often_as_it_likes,
        _counts_no_pause,
        _takes_a_new_dimm_for_the_old_one,
        _takes_every_dimm_for_a_new_one,
        _takes_again_what_was_given_back,
        _overlooks_what_others_have_marked,
        _asks_in_every_boot_for_what_others_marked_once,
        _forgets_requests_in_a_restart,
        _leaves_what_is_to_come_back_half_way,
        _forgets_what_may_come_late,
        _says_that_all_was_granted,
        _opens_a_case_for_each_request,
        _tells_the_bus_only_once,
    )
}


def _always(outcome: Outcome) -> Callable[[Acts, Case], Awaitable[Outcome]]:
    async def say(self: Acts, one: Case) -> Outcome:
        return outcome

    return say


def _translated(into: Callable[[], Outcome], *states: State) -> Patch:
    """No answer counts as `into`, in these states or in all."""
    give = Acts.give

    async def sure(self: Acts, cases: Sequence[Case]) -> tuple[Outcome, ...]:
        outcomes = await give(self, cases)
        if states and cases[0].state not in states:
            return outcomes
        return tuple(into() if isinstance(one, NoAnswer) else one for one in outcomes)

    return mock.patch.object(Acts, "give", sure)


@dataclass(frozen=True, slots=True)
class Hunt:
    """What came of looking for a planted bug: the first life that found it, if one did."""

    name: str
    seed: int | None
    checker: str = ""
    what: str = ""

    def told(self) -> str:
        found = "NOT FOUND" if self.seed is None else f"seed {self.seed:<4} {self.checker}"
        return f"{self.name:<42} {found}"

    def for_machines(self) -> dict[str, object]:
        return {"plant": self.name, "seed": self.seed, "checker": self.checker, "what": self.what}


def hunt(name: str, lives: int) -> Hunt:
    """Live with the bug `name` until a judge finds it, for so many lives at most."""
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        for begin in range(0, lives, 20):
            seeds = range(begin, min(begin + 20, lives))
            for seed, lived in zip(seeds, pool.map(partial(_planted, name), seeds), strict=True):
                if lived.found:
                    found = lived.found[0]
                    return Hunt(name, seed, found.checker, found.what)
    return Hunt(name, None)


def _planted(name: str, seed: int) -> Lived:
    with planted(name):
        return live(plan_of(seed))


@contextmanager
def planted(name: str) -> Iterator[None]:
    """As long as this lasts, the agent has that bug."""
    with PLANTS[name]():
        yield
