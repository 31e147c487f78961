"""What was read, how far that is, and the numbers it got are one: all of it there, or nothing."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from agent.adapters import spool as module
from agent.adapters.spool import Place, Record, Spool
from agent.contract.codec import decode
from agent.contract.ereport import BATCH_MAX
from agent.contract.errors import AgentError
from agent.telemetry.boots import Boot
from agent.telemetry.record import Decoded

HOST = "hv-1"
BOOT, OTHER = UUID(int=1), UUID(int=2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bridge.db"


@contextmanager
def a_spool(path: Path, host: str = HOST) -> Iterator[Spool]:
    with closing(Spool(path, host)) as spool:
        yield spool


def records(count: int, boot_id: UUID = BOOT) -> list[Record]:
    return [Record(boot_id, Decoded(line=1, time_ns=number)) for number in range(count)]


def commit(spool: Spool, new: Sequence[Record], mark: str = "m", keep_max: int = 0) -> int:
    return spool.commit("journal", Place(mark), new, 7, keep_max)


def numbers(spool: Spool) -> list[tuple[UUID, int, int]]:
    return [(kept.boot_id, kept.parcel.first, kept.parcel.last) for kept in spool.waiting(0, 1000)]


def test_numbers_go_on_in_the_next_life(path: Path) -> None:
    with a_spool(path) as spool:
        commit(spool, records(3))
    with a_spool(path) as spool:
        commit(spool, records(2))
        assert numbers(spool) == [(BOOT, 0, 2), (BOOT, 3, 4)]


def test_each_boot_has_its_own_numbers(path: Path) -> None:
    with a_spool(path) as spool:
        commit(spool, [*records(2), *records(1, OTHER), *records(1)])
        assert numbers(spool) == [(BOOT, 0, 1), (OTHER, 0, 0), (BOOT, 2, 2)]


def test_numbers_go_on_after_all_was_applied(path: Path) -> None:
    with a_spool(path) as spool:
        commit(spool, records(3))
        spool.applied(BOOT, 3)
    with a_spool(path) as spool:
        commit(spool, records(1))
        assert numbers(spool) == [(BOOT, 3, 3)]


def test_a_parcel_holds_what_was_read(path: Path) -> None:
    with a_spool(path) as spool:
        commit(spool, records(3))
        (kept,) = spool.waiting(0, 10)
    batch = decode(kept.parcel.payload)
    assert (batch.host, batch.boot_id, batch.time_ns.tolist()) == (HOST, BOOT, [0, 1, 2])


def test_many_records_are_several_parcels(path: Path) -> None:
    with a_spool(path) as spool:
        commit(spool, records(BATCH_MAX + 1))
        assert numbers(spool) == [(BOOT, 0, BATCH_MAX - 1), (BOOT, BATCH_MAX, BATCH_MAX)]


def test_a_place_is_that_of_its_source(path: Path) -> None:
    with a_spool(path) as spool:
        spool.commit("journal", Place("here", 3), (), 7)
    with a_spool(path) as spool:
        assert spool.place("journal") == Place("here", 3)
        assert spool.place("file:/x") == Place()


def test_nothing_is_read_when_what_was_found_cannot_be_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place must not be ahead of the ereports, nor the numbers."""

    def broken(*_: object) -> None:
        raise OSError("no")

    with a_spool(path) as spool:
        commit(spool, records(1), "before")
        monkeypatch.setattr(module, "parcel_of", broken)
        with pytest.raises(OSError, match="no"):
            commit(spool, records(1), "after")
        assert (spool.place("journal").mark, spool.next_seq(BOOT), spool.kept) == ("before", 1, 1)


@pytest.mark.parametrize(("next_seq", "kept"), [(0, 5), (2, 5), (3, 2), (5, 0), (9, 0)])
def test_what_is_applied_goes_a_parcel_at_a_time(path: Path, next_seq: int, kept: int) -> None:
    with a_spool(path) as spool:
        commit(spool, records(3))
        commit(spool, records(2))
        done = spool.applied(BOOT, next_seq)
        assert (spool.kept, done) == (kept, 5 - kept)


def test_a_mark_of_one_boot_says_nothing_of_another(path: Path) -> None:
    with a_spool(path) as spool:
        commit(spool, [*records(2), *records(2, OTHER)])
        spool.applied(OTHER, 2)
        assert numbers(spool) == [(BOOT, 0, 1)]


def test_the_oldest_make_room_and_are_counted_in_every_life(path: Path) -> None:
    with a_spool(path) as spool:
        commit(spool, records(3))
        gone = commit(spool, records(3), keep_max=5)
        assert (gone, spool.lost, numbers(spool)) == (3, 3, [(BOOT, 3, 5)])
    with a_spool(path) as spool:
        assert (spool.kept, spool.lost) == (3, 3)


def test_what_was_handed_out_does_not_make_room(path: Path) -> None:
    """It may be on its way: it would be counted as lost, and arrive all the same."""
    with a_spool(path) as spool:
        commit(spool, records(3))
        spool.waiting(0, 1)
        commit(spool, records(4))
        gone = commit(spool, records(2), keep_max=5)
        assert (gone, numbers(spool)) == (4, [(BOOT, 0, 2), (BOOT, 7, 8)])


def test_what_an_earlier_life_may_have_sent_does_not_make_room(path: Path) -> None:
    with a_spool(path) as spool:
        commit(spool, records(3))
    with a_spool(path) as spool:
        assert (commit(spool, records(3), keep_max=3), spool.lost) == (0, 0)


def test_boots_that_are_known_come_in_their_order(path: Path) -> None:
    first, second = Boot(BOOT, 1_000), Boot(OTHER, 2_000)
    with a_spool(path) as spool:
        spool.know(first)
    with a_spool(path) as spool:
        assert spool.know(second) == (first, second)


def test_a_boot_began_when_it_was_first_said_to(path: Path) -> None:
    """Clocks are set; what was numbered in a boot stays there."""
    with a_spool(path) as spool:
        spool.know(Boot(BOOT, 1_000))
        assert spool.know(Boot(BOOT, 1_500)) == (Boot(BOOT, 1_000),)


def test_what_a_source_forgets_is_there_until_its_place_is_behind_it(path: Path) -> None:
    with a_spool(path) as spool:
        spool.receive("device", [b"a", b"b"], 7)
        spool.commit("device", Place("1"), (), 8)
        spool.receive("device", [b"c"], 9)
        assert [(each.record, each.at_ns) for each in spool.received(0, 9)] == [
            (b"b", 7),
            (b"c", 9),
        ]


def test_what_came_in_never_gets_a_number_twice(path: Path) -> None:
    """A place is such a number: a record with one from before would be passed over."""
    with a_spool(path) as spool:
        spool.receive("device", [b"a"], 7)
        spool.commit("device", Place("1"), (), 8)
        spool.receive("device", [], 8)
    with a_spool(path) as spool:
        spool.receive("device", [b"b"], 9)
        assert [each.id for each in spool.received(1, 9)] == [2]


def test_one_bridge_at_a_time(path: Path) -> None:
    with a_spool(path), pytest.raises(AgentError, match="another bridge"):
        Spool(path, HOST)


def test_two_hosts_are_not_mixed(path: Path) -> None:
    with a_spool(path):
        pass
    with pytest.raises(AgentError, match="read for host hv-1, not hv-2"):
        Spool(path, "hv-2")


def test_a_refused_file_is_let_go(path: Path) -> None:
    with a_spool(path):
        pass
    with pytest.raises(AgentError):
        Spool(path, "hv-2")
    with a_spool(path):
        pass


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE TABLE theirs (x)", "another program"),
        (f"PRAGMA application_id = {module.APPLICATION_ID}; PRAGMA user_version = 99", "newer"),
    ],
)
def test_a_file_that_is_not_ours_is_left_alone(path: Path, statement: str, said: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(statement)
    with pytest.raises(AgentError, match=said):
        Spool(path, HOST)
