"""Faults: when errors fall due, and that the seed alone decides it."""

import math

import numpy as np
import pytest
from numpy.random import Generator

from agent.contract.frames import Mfn, mfn_of
from emulator.machine import queue as module
from emulator.machine.queue import Errors, Fault, Faults

ADDRESS = 0x1234C0
PAGE = Mfn(0x123)


def seeded() -> Generator:
    return np.random.default_rng(8412)


def with_faults(*faults: Fault) -> Faults:
    machine = Faults()
    for fault in faults:
        machine.add(fault, now=0.0)
    return machine


def errors_in(due: list[Errors]) -> int:
    return sum(errors.count for errors in due)


def test_errors_come_at_about_the_rate_of_the_fault() -> None:
    """1,000 are expected, give or take 32; 5 times that would be a one in a million chance."""
    due = with_faults(Fault(ADDRESS, 10.0)).due(100.0, seeded())
    assert errors_in(due) == pytest.approx(1000, abs=160)


def test_errors_name_the_address_of_their_fault() -> None:
    due = with_faults(Fault(ADDRESS, 10.0)).due(10.0, seeded())
    assert [errors.address for errors in due] == [ADDRESS]


def test_how_often_one_asks_changes_nothing() -> None:
    faults = (Fault(ADDRESS, 3.0), Fault(0x999000, 5.0))
    rng, often = seeded(), with_faults(*faults)
    asked_often = [e for now in range(101) for e in often.due(float(now), rng)]
    once = with_faults(*faults).due(100.0, seeded())
    assert {e.address: e.count for e in once} == {
        fault.address: errors_in([e for e in asked_often if e.address == fault.address])
        for fault in faults
    }


def test_nothing_is_due_before_its_time() -> None:
    rng, machine = seeded(), with_faults(Fault(ADDRESS, 1.0))
    machine.due(0.0, rng)
    first = machine.next_due()
    assert first is not None
    assert machine.due(math.nextafter(first, 0.0), rng) == []


def test_an_error_is_due_exactly_when_next_due_says() -> None:
    rng, machine = seeded(), with_faults(Fault(ADDRESS, 1.0))
    machine.due(0.0, rng)
    first = machine.next_due()
    assert first is not None
    assert machine.due(first, rng) == [Errors(ADDRESS, 1)]


def test_a_transient_fault_shows_once() -> None:
    machine = with_faults(Fault(ADDRESS, 10.0, errors_max=1))
    assert errors_in(machine.due(1000.0, seeded())) == 1


def test_a_spent_fault_leaves_nothing_to_wait_for() -> None:
    machine = with_faults(Fault(ADDRESS, 10.0, errors_max=3))
    machine.due(1000.0, seeded())
    assert machine.next_due() is None


def test_a_fault_begins_when_it_is_added() -> None:
    machine = Faults()
    machine.add(Fault(ADDRESS, 1000.0), now=50.0)
    assert machine.due(49.9, seeded()) == []


def test_a_fault_does_not_err_at_the_moment_it_is_added() -> None:
    assert with_faults(Fault(ADDRESS, 1.0)).due(0.0, seeded()) == []


def test_a_silent_page_makes_no_errors() -> None:
    machine = with_faults(Fault(ADDRESS, 10.0))
    machine.silence(PAGE)
    assert machine.due(100.0, seeded()) == []


def test_a_silent_page_gives_nothing_to_wait_for() -> None:
    machine = with_faults(Fault(ADDRESS, 10.0))
    machine.silence(PAGE)
    assert machine.next_due() is None


def test_silence_is_for_one_page_alone() -> None:
    machine = with_faults(Fault(ADDRESS, 10.0), Fault(ADDRESS + 4096, 10.0))
    machine.silence(PAGE)
    assert [errors.address for errors in machine.due(100.0, seeded())] == [ADDRESS + 4096]


def test_silencing_page_after_page_leaves_the_others_in_their_order() -> None:
    machine = with_faults(*(Fault(page << 12, 1.0) for page in range(16)))
    machine.due(0.0, seeded())
    gaps = seeded().exponential(1.0, 16)
    for silent, page in enumerate(np.argsort(gaps)):
        assert machine.next_due() == np.sort(gaps)[silent]
        machine.silence(Mfn(int(page)))


def test_a_fault_added_to_a_silent_page_is_silent_too() -> None:
    machine = Faults()
    machine.silence(PAGE)
    machine.add(Fault(ADDRESS, 10.0), now=0.0)
    assert machine.due(100.0, seeded()) == []


def test_a_page_that_is_read_again_errs_again() -> None:
    machine = with_faults(Fault(ADDRESS, 10.0))
    machine.silence(PAGE)
    machine.wake(PAGE, now=100.0)
    assert errors_in(machine.due(200.0, seeded())) > 0


def test_nothing_is_made_up_for_the_time_of_silence() -> None:
    machine = with_faults(Fault(ADDRESS, 10.0))
    machine.silence(PAGE)
    machine.wake(PAGE, now=100.0)
    assert machine.due(99.9, seeded()) == []


def test_silencing_twice_loses_no_fault() -> None:
    machine = with_faults(Fault(ADDRESS, 10.0))
    machine.silence(PAGE)
    machine.silence(PAGE)
    machine.wake(PAGE, now=0.0)
    assert len(machine) == 1


def test_a_storm_is_handed_out_in_bounded_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DUE_MAX", 10)
    machine = with_faults(Fault(ADDRESS, 1000.0))
    assert errors_in(machine.due(1.0, seeded())) == 10


def test_what_a_bounded_portion_left_stays_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DUE_MAX", 10)
    rng, machine = seeded(), with_faults(Fault(ADDRESS, 1000.0, errors_max=15))
    machine.due(10.0, rng)
    assert errors_in(machine.due(10.0, rng)) == 5


def test_a_machine_has_a_bounded_number_of_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FAULTS_MAX", 1)
    machine = with_faults(Fault(ADDRESS, 1.0))
    with pytest.raises(ValueError, match="at most 1 faults"):
        machine.add(Fault(ADDRESS, 1.0), now=0.0)


def test_spent_faults_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FAULTS_MAX", 1)
    machine = with_faults(Fault(ADDRESS, 10.0, errors_max=1))
    machine.due(1000.0, seeded())
    machine.add(Fault(0, 10.0), now=1000.0)
    assert len(machine) == 1


@pytest.mark.parametrize(
    ("address", "errors_per_second", "errors_max", "complaint"),
    [
        (-1, 1.0, None, "address must be at least 0"),
        (0, 0.0, None, "errors_per_second must be above 0"),
        (0, math.nan, None, "errors_per_second must be above 0"),
        (0, 1.0, 0, "errors_max must be at least 1"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(
    address: int, errors_per_second: float, errors_max: int | None, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        Fault(address, errors_per_second, errors_max)


def test_a_place_that_is_whole_again_has_no_fault_however_it_is_read() -> None:
    machine = with_faults(Fault(ADDRESS, 10.0))
    machine.remove(mfn_of(ADDRESS))
    machine.wake(mfn_of(ADDRESS), now=1.0)
    assert (len(machine), machine.due(1000.0, seeded())) == (0, [])
