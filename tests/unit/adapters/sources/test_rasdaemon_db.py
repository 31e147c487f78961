"""Rows that rasdaemon adds: read when no more come, matched across tables, each error once."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent.adapters.sources import rasdaemon_db
from agent.adapters.sources.rasdaemon_db import DatabaseSource
from agent.telemetry.record import Decoded, Refused
from tests.support.logs import UNSAID
from tests.support.rasdaemon import check, event, make


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ras-mc_event.db"
    make(path)
    return path


def remove(path: Path) -> None:
    path.unlink()


def spoil(path: Path) -> None:
    path.write_text("not a database at all, and long enough to be looked at" * 10)


class Reading:
    """One life, which remembers its place for the next one."""

    def __init__(self, path: Path, settle_seconds: float = 0.0) -> None:
        self.told: list[str] = []
        self.source = DatabaseSource(path, self.told.append, lambda: UNSAID, settle_seconds)
        self.mark: str | None = None

    def pages(self, looks: int = 100) -> list[int]:
        """The pages of all errors that are there by now."""
        found: list[int] = []
        for _ in range(looks):
            piece = self.source._look()
            if piece.begins is not None:
                self.mark = str(piece.begins)
            if piece.items:
                self.mark = str(piece.items[-1].mark)
            outcomes = [row.outcome for row in piece.items]
            found += [(o.address or 0) >> 12 for o in outcomes if isinstance(o, Decoded)]
            if piece.ends:
                break
        return found


async def reading(path: Path, mark: str | None = None, settle_seconds: float = 0.0) -> Reading:
    life = Reading(path, settle_seconds)
    await life.source.begin(mark)
    return life


async def test_new_rows_are_read_as_they_come(path: Path) -> None:
    event(path, 1, 0)
    life = await reading(path)
    first = life.pages()
    event(path, 2, 100)
    assert (first, life.pages()) == ([1], [2])


async def test_an_error_in_both_tables_counts_once(path: Path) -> None:
    check(path, 1, 0)
    event(path, 1, 0)
    assert (await reading(path)).pages() == [1]


async def test_rows_wait_for_their_company(path: Path) -> None:
    """The second row comes a moment later: a piece in between would count the error twice."""
    check(path, 1, 0)
    life = await reading(path, settle_seconds=3600)
    assert life.pages(looks=3) == []


async def test_the_next_life_goes_on_behind_the_last_rows(path: Path) -> None:
    event(path, 1, 0)
    check(path, 2, 50)
    (life := await reading(path)).pages()
    event(path, 3, 100)
    assert (await reading(path, life.mark)).pages() == [3]


async def test_many_rows_are_read_in_parts_that_do_not_tear_pairs(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors come in pairs of rows a second apart, a minute from the next; one table is ahead."""
    monkeypatch.setattr(rasdaemon_db, "ROWS_MAX", 7)
    check(path, 31, 0)
    for number in range(1, 31):
        check(path, number, number * 60)
        event(path, number, number * 60 + 1)
    assert sorted((await reading(path)).pages()) == list(range(1, 32))


async def test_a_storm_without_a_pause_is_read_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rasdaemon_db, "ROWS_MAX", 5)
    for number in range(1, 21):
        event(path, number, 0)
    assert (await reading(path)).pages() == list(range(1, 21))


async def test_rows_that_are_no_errors_move_the_place_too(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO mce_record (timestamp, status, addr) VALUES ('?', 0, 0)")
    (life := await reading(path)).pages()
    event(path, 1, 100)
    assert (await reading(path, life.mark)).pages() == [1]


async def test_a_database_made_anew_is_read_from_its_start(path: Path) -> None:
    event(path, 1, 0)
    event(path, 2, 100)
    life = await reading(path)
    life.pages()
    remove(path)
    make(path)
    event(path, 3, 200)
    assert (life.pages(), len(life.told)) == ([3], 1)


async def test_a_database_made_anew_is_noticed_though_it_has_more_rows(path: Path) -> None:
    event(path, 1, 0)
    (life := await reading(path)).pages()
    remove(path)
    make(path)
    for number in (3, 4):
        event(path, number, 200)
    later = await reading(path, life.mark)
    assert (later.pages(), len(later.told)) == ([3, 4], 1)


async def test_rows_that_were_deleted_behind_us_do_not_matter(path: Path) -> None:
    event(path, 1, 0)
    (life := await reading(path)).pages()
    event(path, 2, 100)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM mc_event WHERE id = 1")
    later = await reading(path, life.mark)
    assert (later.pages(), later.told) == ([2], [])


async def test_a_database_that_is_not_there_yet_is_waited_for(path: Path) -> None:
    remove(path)
    life = await reading(path)
    first = life.pages(looks=3)
    make(path)
    event(path, 1, 0)
    assert (first, life.pages(), len(life.told)) == ([], [1], 1)


async def test_what_is_no_database_is_told_once(path: Path) -> None:
    remove(path)
    spoil(path)
    life = await reading(path)
    life.pages(looks=3)
    assert len(life.told) == 1


async def test_a_table_that_is_not_read_is_told_for_its_new_rows(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE extlog_event (id INTEGER PRIMARY KEY, timestamp TEXT)")
        db.execute("INSERT INTO extlog_event VALUES (1, '2024-03-01 00:00:00 +0000')")
    life = await reading(path)
    (row,) = life.source._look().items
    assert "extlog_event is not read" in str(row.outcome)


async def test_a_table_that_was_emptied_has_no_other_read_again(path: Path) -> None:
    """Somebody prunes one table; what was counted of the other must not be counted twice."""
    check(path, 1, 0)
    event(path, 2, 100)
    (life := await reading(path)).pages()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM mce_record")
    first = life.pages()
    check(path, 3, 200)
    assert (first, life.pages(), len(life.told)) == ([], [3], 1)


async def test_errors_that_never_rest_are_read_before_they_are_many(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row every 5 s is never followed by 6 s of quiet; pairs of rows stay together."""
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    life = await reading(path, settle_seconds=6.0)
    pages: list[int] = []
    for number in range(1, 13):
        check(path, number, number * 5)
        event(path, number, number * 5 + 1)
        pages += life.pages(looks=1)
        now += 5
    assert pages == list(range(1, len(pages) + 1))
    assert len(pages) > 0


async def test_a_row_that_is_too_long_is_refused_and_stops_nothing(path: Path) -> None:
    for number in (1, 2, 3):
        event(path, number, number * 100)
        check(path, number + 10, number * 100 + 50)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE mc_event SET label = hex(zeroblob(100000)) WHERE id = 2")
        db.execute("UPDATE mce_record SET timestamp = hex(zeroblob(100000)) WHERE id = 3")
    life = await reading(path)
    outcomes = [row.outcome for row in life.source._look().items]
    pages = [(o.address or 0) >> 12 for o in outcomes if isinstance(o, Decoded)]
    refused = [(o.line, o.reason) for o in outcomes if isinstance(o, Refused)]
    assert sorted(pages) == [1, 3, 11, 12]
    assert sorted(line for line, _ in refused) == [2, 3]
    assert all("in a row of over 65536 bytes" in reason for _, reason in refused)


async def test_pairs_stay_whole_where_all_pauses_are_alike(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows say whole seconds: in a storm every pause is one, and some lie within a pair."""
    monkeypatch.setattr(rasdaemon_db, "ROWS_MAX", 40)
    for number in range(1, 201):
        check(path, number, number // 4)
        event(path, number, (number + 1) // 4)
    assert sorted((await reading(path)).pages()) == list(range(1, 201))
