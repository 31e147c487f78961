"""The stream of errors: in order, complete, and the same for the same seed however it is taken."""

from dataclasses import fields, replace

import numpy as np
import pytest

from agent.contract.columns import Kind
from emulator.machine import stream as module
from emulator.machine.faults import Flaw, Mode, Persistence
from emulator.machine.model import DAY_NS, SECOND_NS, YEAR_NS, flaws_in
from emulator.machine.stream import Chunk, Transaction, joined, stream
from tests.support.flaws import DDR4, HOST, a_flaw, all_of, without_scrubber

ROUND_NS = DDR4.arrivals.scrub_period_ns


def bytes_of(chunk: Chunk) -> list[bytes]:
    return [getattr(chunk, f.name).tobytes() for f in fields(chunk)]


def some_flaws(seed: int = 8412) -> list[Flaw]:
    """A bad year: some hundreds of flaws, and a storm of 200,000 errors among them."""
    flaws = flaws_in(DDR4, HOST, 400, YEAR_NS, seed, scale=10.0)
    return [*flaws, a_flaw(errors=200_000, begins_ns=100 * DAY_NS)]


def test_the_same_seed_is_the_same_stream_byte_for_byte() -> None:
    assert bytes_of(all_of(some_flaws())) == bytes_of(all_of(some_flaws()))


def test_another_seed_is_another_stream() -> None:
    assert bytes_of(all_of(some_flaws())) != bytes_of(all_of(some_flaws(seed=1)))


@pytest.mark.parametrize("errors", [1000, 10_000_000])
def test_how_much_is_taken_at_once_changes_nothing(
    errors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = bytes_of(all_of(some_flaws()))
    monkeypatch.setattr(module, "CHUNK_MAX", errors)
    chunks = list(stream(some_flaws(), DDR4, HOST))
    assert (max(map(len, chunks)) <= errors, bytes_of(joined(chunks))) == (True, usual)


@pytest.mark.parametrize("errors", [1, 100_000])
def test_how_much_is_gathered_at_once_changes_no_error(
    errors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    flaws = some_flaws()[-60:]
    usual = all_of(flaws)
    monkeypatch.setattr(module, "_GATHERED", errors)
    assert bytes_of(all_of(flaws)) == bytes_of(usual)


def test_a_flaw_does_the_same_in_any_company() -> None:
    alone, others = a_flaw(errors=100_000), some_flaws()
    together = all_of([alone, *others])
    mine = together[together.flaw == 0]
    assert bytes_of(mine) == bytes_of(all_of([alone]))


def test_errors_come_in_the_order_of_time() -> None:
    assert (np.diff(all_of(some_flaws()).time_ns) >= 0).all()


def test_every_flaw_makes_all_its_errors_and_none_before_it_begins() -> None:
    flaws = some_flaws()
    chunk = all_of(flaws)
    assert np.bincount(chunk.flaw).tolist() == [flaw.errors_of_all_kinds for flaw in flaws]
    begins = np.array([flaw.begins_ns for flaw in flaws])
    assert (chunk.time_ns >= begins[chunk.flaw]).all()


def test_a_stream_ends_where_it_is_to_end_and_is_the_same_until_then() -> None:
    whole, cut = all_of(some_flaws()), all_of(some_flaws(), until_ns=YEAR_NS)
    before = int(np.searchsorted(whole.time_ns, YEAR_NS))
    assert before < len(whole)
    assert bytes_of(cut) == bytes_of(whole[:before])


def test_a_flaw_begins_with_an_error_that_a_program_reads() -> None:
    flaws = [a_flaw(Mode.CELL, errors=10, begins_ns=77, seed=seed) for seed in range(30)]
    chunk = all_of(flaws)[: len(flaws)]
    assert set(chunk.time_ns.tolist()) == {77}
    assert set(chunk.transaction.tolist()) == {Transaction.READ}


def test_errors_of_one_moment_keep_the_order_of_their_flaws() -> None:
    flaws = [a_flaw(errors=1, begins_ns=77 - at % 3) for at in range(1000)]
    chunk = all_of(flaws)
    together = zip(chunk.time_ns.tolist(), chunk.flaw.tolist(), strict=True)
    assert list(together) == sorted((flaw.begins_ns, at) for at, flaw in enumerate(flaws))


def test_a_storm_of_many_blocks_has_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times rise across blocks as within them, and each error is there once."""
    monkeypatch.setattr(module, "_BLOCK", 100)
    chunk = all_of([a_flaw(errors=10_050, uncorrected_at=250)])
    assert (np.diff(chunk.time_ns) > 0).all()
    assert np.flatnonzero(chunk.kind == Kind.UE).tolist() == [250]


def test_the_scrubber_finds_an_address_at_its_own_time_of_each_round() -> None:
    chunk = all_of([a_flaw(Mode.CELL, errors=4000)])
    found_ns = chunk.time_ns[chunk.transaction == Transaction.SCRUB]
    assert len(found_ns) > 10
    assert len(set((found_ns % ROUND_NS).tolist())) == 1


def test_the_scrubber_goes_from_the_first_address_to_the_last() -> None:
    chunk = all_of([a_flaw(Mode.LANE, errors=40_000, seed=seed) for seed in range(50)])
    scrubbed = chunk[chunk.transaction == Transaction.SCRUB]
    in_round = scrubbed.time_ns % ROUND_NS / ROUND_NS
    assert np.allclose(in_round, scrubbed.address / HOST.capacity, atol=1e-3)


def test_a_find_of_the_scrubber_is_put_off_by_less_than_a_round() -> None:
    """The quiet before it is as long as without a scrubber, and up to a round longer."""
    flaw = a_flaw(Mode.CELL, errors=4000)
    with_it = all_of([flaw])
    without = all_of([flaw], replace(DDR4, arrivals=replace(DDR4.arrivals, scrub_period_ns=1)))
    longer = np.diff(with_it.time_ns) - np.diff(without.time_ns)
    assert (np.abs(longer - ROUND_NS / 2) <= ROUND_NS / 2 + SECOND_NS).all()
    assert np.count_nonzero(longer) == np.count_nonzero(with_it.transaction[1:])


def test_what_passes_is_one_error_and_never_found_by_the_scrubber() -> None:
    flaw = a_flaw(errors=1, persistence=Persistence.TRANSIENT)
    assert (len(all_of([flaw])), all_of([flaw]).transaction.tolist()) == (1, [Transaction.READ])


def test_without_flaws_there_are_no_errors() -> None:
    assert list(stream([], DDR4, HOST)) == []


def test_without_a_scrubber_nothing_is_scrubbed() -> None:
    assert not all_of([a_flaw(errors=5000)], without_scrubber(DDR4)).transaction.any()
