"""What was committed is there afterwards, all of it, whatever happened in between."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from agent.adapters import journal as journal_module
from agent.adapters import journal_store
from agent.adapters.journal import Journal, JournalLimits
from agent.adapters.journal_file import connect
from agent.adapters.journal_schema import APPLICATION_ID, MIGRATIONS
from agent.contract.columns import Batch
from agent.contract.errors import AgentError
from agent.contract.frames import Mfn
from agent.contract.requests import Wish
from agent.contract.status import Rest
from agent.retirement.reason import Reason, told
from agent.retirement.request import Pages, Request
from agent.retirement.states import State
from tests.support.batches import a_batch
from tests.support.cases import a_case

DAY_NS = 86_400 * 10**9


class Calendar:
    """A clock that a test turns."""

    now_ns = 1

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@asynccontextmanager
async def a_journal(
    path: Path, calendar: Calendar | None = None, **limits: int
) -> AsyncIterator[Journal]:
    journal = await Journal.open(path, JournalLimits(**limits), calendar or Calendar())
    try:
        yield journal
    finally:
        await journal.close()


async def tail_of(journal: Journal) -> list[Batch]:
    return [batch async for batch in (await journal.recover()).tail]


async def first_seqs(journal: Journal) -> list[int]:
    return [int(batch.seq[0]) for batch in await tail_of(journal)]


async def test_a_new_journal_holds_nothing(path: Path) -> None:
    async with a_journal(path) as journal:
        recovered = await journal.recover()
        assert (recovered.snapshot, recovered.cases) == (None, ())
        assert [batch async for batch in recovered.tail] == []


async def test_what_was_committed_is_recovered_equal(path: Path) -> None:
    batches = [a_batch([0, 1, 5], dimms=["A", None, "B"]), a_batch([7], mfns=[None])]
    case = a_case(dimm="A")
    async with a_journal(path) as journal:
        await journal.commit([batches[0]], [case])
        await journal.commit([batches[1]], [])
    async with a_journal(path) as journal:
        recovered = await journal.recover()
        tail = [batch async for batch in recovered.tail]
        assert all(batch.same_as(was) for batch, was in zip(tail, batches, strict=True))
        assert recovered.cases == (case,)


async def test_a_tail_longer_than_one_reading_comes_whole_and_in_order(path: Path) -> None:
    async with a_journal(path) as journal:
        for seq in range(150):
            await journal.commit([a_batch([seq])], [])
        assert await first_seqs(journal) == list(range(150))


async def test_the_tail_begins_after_the_snapshot(path: Path) -> None:
    async with a_journal(path) as journal:
        await journal.commit([a_batch([0])], [])
        await journal.snapshot(lambda: b"after 0", journal.last_batch_id)
        await journal.commit([a_batch([1])], [])
    async with a_journal(path) as journal:
        assert (await journal.recover()).snapshot == b"after 0"
        assert await first_seqs(journal) == [1]


async def test_a_snapshot_taken_in_the_next_life_covers_what_was_recovered(path: Path) -> None:
    async with a_journal(path) as journal:
        await journal.commit([a_batch([0])], [])
    async with a_journal(path) as journal:
        await journal.snapshot(lambda: b"after 0", journal.last_batch_id)
        assert await first_seqs(journal) == []


async def test_a_snapshot_of_many_pieces_comes_back_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "PIECE_BYTES", 2)
    async with a_journal(path) as journal:
        for state in (b"a longer one", b"short"):
            await journal.snapshot(partial(bytes, state), journal.last_batch_id)
            assert (await journal.recover()).snapshot == state
    assert stored(path, "pieces") == 3


async def test_a_snapshot_cut_short_leaves_the_one_before_it(path: Path) -> None:
    async with a_journal(path) as journal:
        await journal.snapshot(lambda: b"whole", 0)
        store = journal._store
        await journal._do(store.begin_snapshot)
        await journal._do(lambda: store.write_piece(0, b"ha"))
    async with a_journal(path) as journal:
        assert (await journal.recover()).snapshot == b"whole"
        await journal.snapshot(lambda: b"anew", 0)
        assert (await journal.recover()).snapshot == b"anew"
    assert stored(path, "pieces") == 1


async def test_commits_go_on_while_a_snapshot_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "PIECE_BYTES", 1)
    async with a_journal(path) as journal:
        writing = asyncio.create_task(journal.snapshot(lambda: b"of a hundred pieces" * 5, 0))
        await asyncio.sleep(0)
        await journal.commit([a_batch([0])], [])
        assert not writing.done()
        await writing
        assert await first_seqs(journal) == [0]


async def test_a_case_is_as_its_last_step_left_it(path: Path) -> None:
    async with a_journal(path) as journal:
        await journal.commit([a_batch([0])], [a_case()])
        await journal.save(a_case(State.CONFIRMING))
        await journal.save(a_case(State.RETIRED))
    async with a_journal(path) as journal:
        assert (await journal.recover()).cases == (a_case(State.RETIRED),)


async def test_the_history_of_a_case_is_its_steps_in_order(path: Path) -> None:
    async with a_journal(path) as journal:
        await journal.commit([a_batch([0])], [a_case(), a_case(id="c2")])
        await journal.save(a_case(State.PARKED, moved_at_ns=9, reason=Reason.BROKEN))
        assert await journal.history("c1") == (
            (1, "open", ""),
            (9, "parked", told(Reason.BROKEN, "")),
        )


async def test_the_steps_of_many_cases_are_written_down_together(path: Path) -> None:
    async with a_journal(path) as journal:
        await journal.save(a_case(State.EXCHANGING), a_case(State.RESUMING, id="c2"))
        states = {case.state for case in (await journal.recover()).cases}
        assert states == {State.EXCHANGING, State.RESUMING}


OLDER_CASE = """{"mfn": 1, "opened_at_ns": 1, "moved_at_ns": 1, "verdict": "", "dimm": null,
    "use": "pv", "owner": 7, "rung": "exchange", "rungs": ["save_restore"], "attempts": 0,
    "rounds": 0, "boot": ""}"""


def an_older_case(path: Path, case_id: str, state: str, reason: str) -> None:
    """A step as the first version of the journal held it."""
    body = json.loads(OLDER_CASE) | {"id": case_id, "state": state, "reason": reason}
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "INSERT INTO transitions (case_id, mfn, at_ns, state, body) VALUES (?, 1, 1, ?, ?)",
            (case_id, state, json.dumps(body)),
        )


def a_first_journal(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for statement in MIGRATIONS[0]:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")


async def test_the_cases_of_an_older_journal_are_read_as_what_they_mean_now(path: Path) -> None:
    a_first_journal(path)
    an_older_case(path, "c1", "parked", "dom0 holds it")
    an_older_case(path, "c2", "saving", "")
    an_older_case(path, "c3", "releasing", "half-way")
    async with a_journal(path) as journal:
        parked, saving, releasing = (await journal.recover()).cases
    assert (parked.reason, parked.detail) == (None, "dom0 holds it")
    assert (saving.state, saving.image) == (State.SAVING, "c2")
    assert (releasing.state, releasing.rungs) == (State.BACKING_OUT, ())
    assert releasing.hands_off is Reason.MAY_BE_DAMAGED


async def test_the_snapshot_of_an_older_journal_is_still_there(path: Path) -> None:
    a_first_journal(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO snapshots VALUES (1, 0, ?)", (b"what it came to",))
    async with a_journal(path) as journal:
        assert (await journal.recover()).snapshot == b"what it came to"


async def test_of_a_case_that_never_rests_the_newest_steps_are_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_store, "STEPS_MAX", 3)
    async with a_journal(path) as journal:
        for at in range(10):
            await journal.save(a_case(moved_at_ns=at))
        assert [at for at, _, _ in await journal.history("c1")] == [7, 8, 9]


async def test_a_number_is_never_given_to_two_cases(path: Path) -> None:
    async with a_journal(path) as journal:
        assert (await journal.recover()).next_case_number == 1
        await journal.commit([a_batch([0])], [a_case(id="c9"), a_case(id="c10")])
        assert (await journal.recover()).next_case_number == 11


async def test_old_batches_go_with_the_next_snapshot(path: Path, calendar: Calendar) -> None:
    async with a_journal(path, calendar, age_seconds=86_400) as journal:
        await journal.commit([a_batch([0])], [])
        calendar.now_ns += 2 * DAY_NS
        await journal.commit([a_batch([1])], [])
        await journal.snapshot(lambda: b"", journal.last_batch_id)
    assert stored(path, "batches") == 1


async def test_what_is_too_much_goes_from_the_front(path: Path) -> None:
    async with a_journal(path, bytes_max=500) as journal:
        for seq in range(10):
            await journal.commit([a_batch([seq])], [])
        await journal.snapshot(lambda: b"", journal.last_batch_id)
    assert 0 < stored(path, "batches") < 4


async def test_the_bytes_of_an_earlier_life_count_too(path: Path) -> None:
    async with a_journal(path) as journal:
        for seq in range(10):
            await journal.commit([a_batch([seq])], [])
    async with a_journal(path, bytes_max=500) as journal:
        await journal.snapshot(lambda: b"", journal.last_batch_id)
    assert 0 < stored(path, "batches") < 4


async def test_the_tail_is_never_forgotten(path: Path) -> None:
    """Not even what is committed while a snapshot of the time before is being written."""
    async with a_journal(path, bytes_max=1) as journal:
        await journal.commit([a_batch([0])], [])
        committing = asyncio.create_task(journal.commit([a_batch([1])], []))
        await asyncio.sleep(0)
        await journal.snapshot(lambda: b"after 0", journal.last_batch_id)
        await committing
        assert await first_seqs(journal) == [1]


def test_what_is_forgotten_is_not_overwritten_with_zeroes(path: Path) -> None:
    """Debian's SQLite does, unless it is told not to: every byte is then written twice more."""
    with closing(connect(path)) as db:
        assert db.execute("PRAGMA secure_delete").fetchone() == (0,)


async def test_a_journal_that_forgot_everything_does_not_count_from_the_start_again(
    path: Path,
) -> None:
    """Else the snapshot would seem to cover batches that came after it."""
    async with a_journal(path, bytes_max=1) as journal:
        await journal.commit([a_batch([0])], [])
        await journal.snapshot(lambda: b"after 0", journal.last_batch_id)
    async with a_journal(path) as journal:
        await journal.commit([a_batch([1])], [])
        assert await first_seqs(journal) == [1]


async def test_refused_messages_are_kept_up_to_a_number_and_a_size(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_store, "REFUSED_MAX", 2)
    monkeypatch.setattr(journal_store, "REFUSED_BYTES_MAX", 3)
    async with a_journal(path) as journal:
        for payload in (b"first", b"second", b"third"):
            await journal.keep_refused("not JSON", payload)
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT payload FROM refused ORDER BY id").fetchall()
    assert rows == [(b"sec",), (b"thi",)]


async def test_a_journal_in_use_is_refused(path: Path) -> None:
    async with a_journal(path):
        with pytest.raises(AgentError, match=rf"in use by another agent.*process {os.getpid()}"):
            await Journal.open(path)


async def test_a_closed_journal_may_be_opened_again(path: Path) -> None:
    async with a_journal(path):
        pass
    async with a_journal(path) as journal:
        assert (await journal.recover()).cases == ()


async def test_a_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (x)")
        with pytest.raises(AgentError, match=r"another program; set journal\.path"):
            await Journal.open(path)
        assert other.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]
        assert other.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("Dear diary, " * 100)
    with pytest.raises(AgentError, match=r"journal\.db: file is not a database"):
        asyncio.run(Journal.open(path))


async def test_a_journal_of_a_newer_agent_is_refused(path: Path) -> None:
    async with a_journal(path):
        pass
    with closing(sqlite3.connect(path)) as newer:
        newer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(AgentError, match="written by a newer pagewarden"):
        await Journal.open(path)


async def test_a_directory_that_is_not_there_is_named_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match=r"nowhere/journal\.db.*see that the directory is there"):
        await Journal.open(tmp_path / "nowhere" / "journal.db")


async def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(path: Path) -> None:
    async with a_journal(path) as journal:
        await journal.commit([a_batch([0])], [])
        await journal._do(lambda: journal._store._db.execute("PRAGMA max_page_count = 1"))
        with pytest.raises(AgentError, match="free space on its disk") as full:
            await journal.commit([a_batch(range(1, 1000))], [a_case()])
        assert "\n" not in str(full.value)
        assert await first_seqs(journal) == [0]
        assert (await journal.recover()).cases == ()


async def test_a_commit_that_fails_in_the_middle_leaves_the_journal_usable(path: Path) -> None:
    async with a_journal(path) as journal:
        with pytest.raises(AttributeError):
            await journal.commit([a_batch([0])], [None])  # type: ignore[list-item] # breaks half-way
        await journal.commit([a_batch([1])], [])
        assert await first_seqs(journal) == [1]


def test_what_was_committed_survives_kill_9(path: Path) -> None:
    """A process commits and says so, again and again, until it is killed in the middle."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMITTING, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    said = [int(process.stdout.readline()) for _ in range(20)]
    process.kill()
    said += [int(line) for line in process.stdout]
    process.wait()
    process.stdout.close()
    assert stored(path, "batches") >= len(said)
    assert stored(path, "batches") == stored(path, "transitions")


COMMITTING = """
import asyncio, sys
from pathlib import Path
from agent.adapters.journal import Journal
from tests.support.batches import a_batch
from tests.support.cases import a_case

async def main():
    journal = await Journal.open(Path(sys.argv[1]))
    for seq in range(100_000):
        await journal.commit([a_batch([seq])], [a_case(id=f"c{seq}")])
        print(seq, flush=True)

asyncio.run(main())
"""


def stored(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as db:
        number: int = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return number


def a_request(**changes: object) -> Request:
    request = Request("r1", Wish.EVACUATE, "DIMM A", Pages(1, 9, 1, 8), 5, "boot")
    return replace(request, **changes)  # type: ignore[arg-type] # names of fields, checked at run time


async def test_a_request_is_as_it_was_written_last(path: Path) -> None:
    came = (((Rest.PARKED, Reason.DOM0), 2), ((None, Reason.HOST_REBOOTED), 1))
    later = a_request(fed=7, under_way=(Mfn(1), Mfn(9)), came=came)
    async with a_journal(path) as journal:
        await journal.save_request(a_request())
        await journal.save_request(a_request(id="r2"))
        await journal.save_request(later, a_case())
    async with a_journal(path) as journal:
        assert await journal.requests() == (later, a_request(id="r2"))
        assert (await journal.recover()).cases == (a_case(),)


async def test_old_requests_are_let_go_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_store, "REQUESTS_MAX", 2)
    async with a_journal(path) as journal:
        for name in ("r1", "r2", "r3"):
            await journal.save_request(a_request(id=name))
        assert [request.id for request in await journal.requests()] == ["r2", "r3"]
