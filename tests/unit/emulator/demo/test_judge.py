"""The judge: every lie that the agent could tell, and every harm, is a sentence."""

import pytest

from agent.contract.status import Rest
from agent.contract.toolstack import DomainState
from emulator.demo.judge import disagreements, harm, is_at_rest
from emulator.edges.truth import GuestTruth, HostState, PastTruth, Tally, Truth
from emulator.scenario import Expect
from tests.support.evidence import a_case, a_frame, a_guest, a_truth, evidence


def test_an_honest_agent_is_believed() -> None:
    offlined = a_frame("offlined")
    found = evidence(a_truth(marked=(offlined,)), frames=(offlined,), cases=(a_case(Rest.RETIRED),))
    assert disagreements(found) == []


@pytest.mark.parametrize(
    ("rest", "state"),
    [
        (Rest.RETIRED, "in_use"),
        (Rest.RETIRED, "offlining"),
        (Rest.RETIRED, "free"),
        (Rest.PARKED, "free"),
        (Rest.UNRETIRABLE, "offlined"),
    ],
)
def test_a_case_that_claims_what_is_not_so_is_found(rest: Rest, state: str) -> None:
    found = evidence(frames=(a_frame(state),), cases=(a_case(rest),))
    assert any(f"the host has it {state}" in line for line in disagreements(found))


def test_a_page_taken_without_a_case_is_found() -> None:
    found = evidence(a_truth(marked=(a_frame("offlining"),)))
    assert disagreements(found) == [
        "page 0x5 is offlining and no case of the agent's says why",
    ]


def test_a_page_that_xen_itself_took_out_needs_no_case() -> None:
    broken = a_frame("offlining", is_broken=True)
    assert disagreements(evidence(a_truth(marked=(broken,), expect=Expect(broken=1)))) == []


@pytest.mark.parametrize("source_done", [True, False])
def test_xen_is_held_to_what_it_was_to_take_out_once_all_has_happened(source_done: bool) -> None:
    truth = a_truth(expect=Expect(broken=1), source_done=source_done)
    found = ["Xen itself was to take out 1 pages, and took 0"] if source_done else []
    assert disagreements(evidence(truth)) == found


def test_a_guest_that_was_to_be_crashed_may_be() -> None:
    expect = Expect(crashed=("db",))
    truth = a_truth(domain_state=DomainState.CRASHED, expect=expect)
    assert disagreements(evidence(truth)) == []
    assert is_at_rest(evidence(truth), expect, replays=False)


def test_a_guest_that_crashed_all_the_same_is_found() -> None:
    found = evidence(a_truth(domain_state=DomainState.CRASHED))
    assert disagreements(found) == ["guest db is crashed"]


@pytest.mark.parametrize("state", [DomainState.RUNNING, DomainState.SUSPENDED])
def test_a_guest_that_was_to_be_crashed_and_is_not_is_found(state: DomainState) -> None:
    expect = Expect(crashed=("db",))
    found = evidence(a_truth(domain_state=state, expect=expect))
    assert disagreements(found)[-1] == "guest db was to be crashed, and is not"
    assert not is_at_rest(found, expect, replays=False)


@pytest.mark.parametrize(("pauses", "is_so"), [(None, True), (1, True), (0, False)])
def test_guests_that_stood_still_more_often_than_need_be_are_found(
    pauses: int | None, is_so: bool
) -> None:
    found = evidence(a_truth(expect=Expect(pauses=pauses)), pauses=1)
    assert (disagreements(found) == []) is is_so


def test_an_offlined_page_that_a_guest_still_has_is_found() -> None:
    frame = a_frame("offlined", owner=1)
    found = evidence(a_truth(marked=(frame,)), frames=(frame,), cases=(a_case(Rest.RETIRED),))
    assert disagreements(found) == ["page 0x5 is offlined and still belongs to domain 1"]


@pytest.mark.parametrize("guest", [a_guest(corruptions=1), a_guest(wrong_pages=1)])
def test_a_guest_that_came_to_harm_is_found(guest: GuestTruth) -> None:
    truth = a_truth(guest=guest)
    assert disagreements(evidence(truth)) == ["guest db read what it had not written (1 times)"]
    assert harm(truth) == 1


def test_a_guest_left_suspended_is_found() -> None:
    found = evidence(a_truth(domain_state=DomainState.SUSPENDED))
    assert disagreements(found) == ["guest db is suspended"]


def test_a_guest_left_on_disk_is_found() -> None:
    found = evidence(a_truth(domain_state=None))
    assert disagreements(found) == ["the guest of image c1 is on disk and not restored"]


@pytest.mark.parametrize("errors", [3, 5])
def test_an_error_lost_or_counted_twice_is_found(errors: int) -> None:
    assert disagreements(evidence(errors=errors)) == [
        f"the agent counted {errors} errors, the host made 4"
    ]


# Of 10 errors, 1 never left the host, and 2 may or may not have arrived; 4 more were made since.
A_PAST = PastTruth(
    boots=1,
    made=Tally(ereports=0, errors=10),
    unsent=Tally(ereports=0, errors=1),
    unheard=Tally(ereports=0, errors=2),
)


@pytest.mark.parametrize("errors", [11, 12, 13])
def test_what_a_boot_took_with_it_need_not_be_counted(errors: int) -> None:
    assert disagreements(evidence(a_truth(past=A_PAST), errors=errors)) == []


@pytest.mark.parametrize("errors", [10, 14])
def test_an_error_of_an_earlier_boot_lost_or_counted_twice_is_found(errors: int) -> None:
    assert disagreements(evidence(a_truth(past=A_PAST), errors=errors)) == [
        f"the agent counted {errors} errors, the host made 11 to 13"
    ]


def test_a_guest_that_came_to_harm_in_an_earlier_boot_is_not_forgotten() -> None:
    truth = a_truth(past=PastTruth(boots=1, corruptions=3))
    assert disagreements(evidence(truth)) == [
        "guests read what they had not written (3 times) in the past"
    ]
    assert harm(truth) == 3


def test_a_run_is_over_when_all_is_reported_applied_and_settled() -> None:
    expect = Expect(retired=1)
    counts = {"retired": 1, "open": 0}
    assert is_at_rest(evidence(counts=counts), expect, replays=False)


@pytest.mark.parametrize(("corruptions", "is_over"), [(0, False), (1, True)])
def test_a_run_in_which_a_guest_must_come_to_harm_waits_for_it(
    corruptions: int, is_over: bool
) -> None:
    truth = a_truth(guest=a_guest(corruptions=corruptions))
    assert is_at_rest(evidence(truth), Expect(corruptions=True), replays=False) is is_over


@pytest.mark.parametrize(
    ("truth", "counts"),
    [
        (a_truth(source_done=False), {"retired": 1}),
        (a_truth(state=HostState.REBOOTING), {"retired": 1}),
        (a_truth(state=HostState.HUNG), {"retired": 1}),
        (a_truth(outbox=1), {"retired": 1}),
        (a_truth(), {"retired": 1, "open": 1}),
        (a_truth(), {"retired": 0}),
    ],
)
def test_a_run_goes_on_while_anything_is_still_to_come(
    truth: Truth, counts: dict[str, int]
) -> None:
    assert not is_at_rest(evidence(truth, counts=counts), Expect(retired=1), replays=False)
