"""Does the agent tell the truth? Its cases are held against the host's own frame table.

The agent is never asked what is so, only what it says; what is so comes from the emulator. Every
disagreement is a sentence, and a run agrees when there is none.

What a host had reported and nobody had applied when it rebooted is lost with it, if it had not left
the host; if it had, it may have arrived or not. So there is a least and a most that can be right.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from agent.contract.status import CaseView, Rest, StatusView
from agent.contract.toolstack import DomainState
from emulator.edges.truth import FrameTruth, HostState, Tally, Truth
from emulator.scenario import Expect

# Where the frame of a case that rests may be, in truth. A parked page of dom0 cannot be marked: the
# hypercall refuses it, and the case waits for dom0 to let go.
PLACES: dict[Rest, frozenset[str]] = {
    Rest.RETIRED: frozenset({"offlined"}),
    Rest.PARKED: frozenset({"offlining", "in_use"}),
    Rest.UNRETIRABLE: frozenset({"in_use", "free", "absent"}),
    Rest.RETURNED: frozenset({"in_use", "free"}),
    Rest.OBSERVED: frozenset({"in_use", "free"}),
}


_NOT_TAKEN = frozenset({Rest.UNRETIRABLE, Rest.RETURNED, Rest.OBSERVED})

# A dying domain's guest is gone; it only waits for others to let go of its pages.
_WELL = frozenset({DomainState.RUNNING, DomainState.DYING})


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is so (`truth`; `frames`, the state of each case's page) and what is said of it."""

    truth: Truth
    frames: tuple[FrameTruth, ...]
    status: StatusView
    cases: tuple[CaseView, ...]


def disagreements(evidence: Evidence) -> list[str]:
    """Everything that the agent says and is not so, or that came to harm."""
    return [
        *_about_cases(evidence),
        *_about_frames(evidence),
        *_about_guests(evidence.truth),
        *_about_counts(evidence),
        *_about_pauses(evidence),
        *_about_errors_that_were_not_corrected(evidence.truth),
    ]


def _about_cases(evidence: Evidence) -> Iterator[str]:
    frames = {frame.mfn: frame for frame in evidence.frames}
    for case in evidence.cases:
        places = PLACES.get(case.rest)
        state = frames[case.mfn].state
        if places is not None and state not in places:
            yield f"{case.id}: page {case.mfn:#x} is {case.state}, the host has it {state}"


def _about_frames(evidence: Evidence) -> Iterator[str]:
    known = {case.mfn for case in evidence.cases if case.rest not in _NOT_TAKEN}
    for frame in evidence.truth.marked:
        if frame.mfn not in known and not frame.is_broken:
            yield f"page {frame.mfn:#x} is {frame.state} and no case of the agent's says why"
        if frame.state == "offlined" and frame.owner is not None:
            yield f"page {frame.mfn:#x} is offlined and still belongs to domain {frame.owner}"


def _about_guests(truth: Truth) -> Iterator[str]:
    if truth.past.corruptions:
        yield f"guests read what they had not written ({truth.past.corruptions} times) in the past"
    for guest in truth.guests:
        if guest.corruptions or guest.wrong_pages:
            wrong = guest.corruptions + (guest.wrong_pages or 0)
            yield f"guest {guest.name} read what it had not written ({wrong} times)"
        if guest.faults:
            yield f"guest {guest.name} was not let at its own memory ({guest.faults} times)"
    for away in truth.away:
        if away.harm:
            yield f"guest {away.name}, now at {away.peer}, had come to harm ({away.harm} times)"
    for domain in truth.domains:
        must_be = domain.state is DomainState.CRASHED and domain.name in truth.expect.crashed
        if domain.state not in _WELL and not must_be:
            yield f"guest {domain.name} is {domain.state}"
    for image in truth.images:
        yield f"the guest of image {image} is on disk and not restored"


def _about_counts(evidence: Evidence) -> Iterator[str]:
    said, least, most = (
        evidence.status,
        least_reported(evidence.truth),
        most_reported(evidence.truth),
    )
    for name, ours, low, high in (
        ("ereports", said.ereports, least.ereports, most.ereports),
        ("errors", said.errors, least.errors, most.errors),
    ):
        if not low <= ours <= high:
            theirs = f"{low:,}" if low == high else f"{low:,} to {high:,}"
            yield f"the agent counted {ours:,} {name}, the host made {theirs}"


def _about_pauses(evidence: Evidence) -> Iterator[str]:
    pauses, wanted = evidence.status.guest_pauses_seconds.count, evidence.truth.expect.pauses
    if evidence.truth.source_done and wanted not in (None, pauses):
        yield f"guests stood still {pauses} times, and {wanted} would have done"


def _about_errors_that_were_not_corrected(truth: Truth) -> Iterator[str]:
    """What the hardware or mischief was to do, once there is nothing more to come."""
    if not truth.source_done:
        return
    broken = sum(frame.is_broken for frame in truth.marked)
    if broken != truth.expect.broken:
        yield f"Xen itself was to take out {truth.expect.broken} pages, and took {broken}"
    for name in truth.expect.crashed:
        if not _has_crashed(truth, name):
            yield f"guest {name} was to be crashed, and is not"


def _has_crashed(truth: Truth, name: str) -> bool:
    return any(d.name == name and d.state is DomainState.CRASHED for d in truth.domains)


def most_reported(truth: Truth) -> Tally:
    """All that ever left the host, in any of its boots."""
    past, present = truth.past, Tally(ereports=truth.ereports, errors=truth.errors)
    return past.made - past.unsent + present


def least_reported(truth: Truth) -> Tally:
    """All that is known to have arrived, once the present boot's outbox is empty."""
    return most_reported(truth) - truth.past.unheard


def harm(truth: Truth) -> int:
    """How often a guest read what it had not written or met a fault, and how many of its pages are
    wrong now.
    """
    here, away = (guest.harm for guest in truth.guests), (guest.harm for guest in truth.away)
    return truth.past.corruptions + sum(here) + sum(away)


def is_at_rest(evidence: Evidence, expect: Expect, *, replays: bool) -> bool:
    """True when nothing more will happen by itself: all is reported, applied, and settled.

    Where a guest must come to harm, or crash, that too has to have happened.
    """
    truth = evidence.truth
    harmed = harm(truth) > 0 or not expect.corruptions
    harmed = harmed and all(_has_crashed(truth, name) for name in expect.crashed)
    enough = replays or _enough(evidence.status, expect)
    return truth.source_done and is_settled(evidence) and harmed and enough


def is_settled(evidence: Evidence) -> bool:
    """True when the agent has applied all that was reported, and no case of it is under way."""
    said, truth = evidence.status, evidence.truth
    all_applied = truth.outbox == 0 and said.ereports >= least_reported(truth).ereports
    return truth.state is HostState.UP and all_applied and not said.cases.get(Rest.OPEN, 0)


def _enough(said: StatusView, expect: Expect) -> bool:
    wanted = {
        Rest.RETIRED: expect.retired,
        Rest.PARKED: expect.parked,
        Rest.UNRETIRABLE: expect.unretirable,
    }
    return all(said.cases.get(rest, 0) >= count for rest, count in wanted.items())
