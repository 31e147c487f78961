"""Why something was refused, failed, or is left alone: a closed list, with what to tell people.

A reason is a word that programs may rely on. What a peer said in its own words stands beside it, as
the case's `detail`, and is for people alone.
"""

from enum import StrEnum


class Reason(StrEnum):
    """The hypervisor's words (`contract.hypercall.Refusal`) are among these, spelled alike."""

    # About the page
    DOM0 = "dom0"
    XEN_HEAP = "xen_heap"
    OUT_OF_RANGE = "out_of_range"
    SHARED = "shared"
    BROKEN = "broken"
    USE_UNKNOWN = "use_unknown"
    MAPPED_ELSEWHERE = "mapped_by_another_domain"
    NOT_OWNED_BY_HVM = "not_owned_by_hvm"
    NOT_OFFLINE_PENDING = "not_offline_pending"
    CANNOT_RETURN = "cannot_return"
    COMES_BACK = "comes_back"
    CAME_LATE = "came_late"
    KEEPS_CHANGING = "keeps_changing"
    HELD_OTHERWISE = "held_otherwise"
    # About its guest
    NOT_ALIVE = "guest_crashed_or_dying"
    STOPPED_BY_OTHERS = "guest_stopped_by_others"
    GUEST_LEFT = "guest_left"
    MAY_BE_DAMAGED = "guest_may_be_damaged"
    DEVICE_ASSIGNED = "device_assigned"
    DETACH_REFUSED = "detach_refused"
    DETACH_UNANSWERED = "detach_unanswered"
    # About what may be done at all
    RETIRED_MEMORY_CAP = "retired_memory_cap"
    REPLACE_DIMM = "replace_dimm"
    PAUSES_CAP = "pauses_cap"
    OUTSIDE_WINDOWS = "outside_windows"
    OBSERVING = "observing"
    RUNGS_FORBIDDEN = "rungs_forbidden"
    RUNGS_TRIED = "rungs_tried"
    AGENT_STOPPING = "agent_stopping"
    NOT_TAKEN = "not_taken"
    FOUND_MARKED = "found_marked"
    OVERRULED = "overruled"
    CANCELLED = "cancelled"
    HOST_REBOOTED = "host_rebooted"
    DIMM_REPLACED = "dimm_replaced"
    # A peer's answer that says no more than this
    REFUSED = "refused"
    FAILED = "failed"
    TRY_AGAIN = "try_again"
    NO_FREE_MEMORY = "no_free_memory"
    PEER_FAILED = "another_page_of_this_call_failed"
    NO_ANSWER = "no_answer"


TEXT: dict[Reason, str] = {
    Reason.DOM0: "dom0 holds it and must let go of it by itself: the host needs maintenance",
    Reason.XEN_HEAP: "the hypervisor itself lives there: only a reboot without it helps",
    Reason.OUT_OF_RANGE: "the host has no such page",
    Reason.SHARED: "several guests share it: it leaves when none of them reads it any more",
    Reason.BROKEN: "it had an uncorrected error: to touch it again could end its owner or the host",
    Reason.USE_UNKNOWN: "nobody says what it is used for, and a guess could harm a guest",
    Reason.MAPPED_ELSEWHERE: "another domain maps it and has not let go",
    Reason.NOT_OWNED_BY_HVM: "it is no page that the hypervisor can swap",
    Reason.NOT_OFFLINE_PENDING: "it is not marked any more",
    Reason.CANNOT_RETURN: "this hypervisor might hand it out twice: it comes back with a reboot",
    Reason.COMES_BACK: "whenever it is taken, somebody brings it back online",
    Reason.CAME_LATE: "a request that nobody had answered took it after it was given back",
    Reason.KEEPS_CHANGING: "its use, mappers or devices change faster than it can be helped",
    Reason.HELD_OTHERWISE: "it is held otherwise than when it was asked about: look again",
    Reason.NOT_ALIVE: "its guest has crashed or is dying: it leaves when that is destroyed",
    Reason.STOPPED_BY_OTHERS: "somebody else stopped its guest, and may have a reason",
    Reason.GUEST_LEFT: "its guest is not there any more",
    Reason.MAY_BE_DAMAGED: "its guest may be damaged: look at it; nothing more is tried",
    Reason.DEVICE_ASSIGNED: "its guest has a device that may write to memory at any time",
    Reason.DETACH_REFUSED: "its guest does not give up its device: detach it by hand",
    Reason.DETACH_UNANSWERED: "its guest did not answer when asked to give up its device",
    Reason.RETIRED_MEMORY_CAP: (
        "as much memory is retired as retirement.retired_memory_fraction_max allows: "
        "look for a DIMM to replace"
    ),
    Reason.REPLACE_DIMM: (
        "its rank has lost as many pages as retirement.pages_per_rank_max allows: replace the DIMM"
    ),
    Reason.PAUSES_CAP: (
        "its guest was stopped as often as retirement.pauses_per_guest_and_hour_max allows"
    ),
    Reason.OUTSIDE_WINDOWS: "its guest may be stopped only within retirement.windows",
    Reason.OBSERVING: 'would offline it, but retirement.mode is "observe"',
    Reason.RUNGS_FORBIDDEN: "the configuration allows nothing that would help",
    Reason.RUNGS_TRIED: "everything that could help was tried",
    Reason.AGENT_STOPPING: "the agent is stopping",
    Reason.NOT_TAKEN: "the agent has not taken it: there is nothing to bring back",
    Reason.FOUND_MARKED: (
        "somebody else marked it: it is watched, and no guest is touched before it has errors here "
        "or an operator asks for it"
    ),
    Reason.OVERRULED: "a later request wanted the opposite",
    Reason.CANCELLED: "the request was cancelled before it was their turn",
    Reason.HOST_REBOOTED: "the host rebooted",
    Reason.DIMM_REPLACED: "there is another DIMM in its place now",
    Reason.REFUSED: "refused",
    Reason.FAILED: "failed",
    Reason.TRY_AGAIN: "not now",
    Reason.NO_FREE_MEMORY: "the host has no memory free",
    Reason.PEER_FAILED: "another page of the same call failed",
    Reason.NO_ANSWER: "no answer",
}


def told(reason: Reason | None, detail: str) -> str:
    """Both in one line for people; empty if there is nothing to tell."""
    return ": ".join(filter(None, (TEXT[reason] if reason else "", detail)))
