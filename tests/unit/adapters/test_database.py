"""A database that somebody else writes: read to its end, in pages, and left alone."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.adapters import database
from agent.adapters.database import PAGE_ROWS, TOO_LONG
from agent.contract.errors import AgentError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "odd name #1?.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE mc_event (id INTEGER PRIMARY KEY, label TEXT)")
        connection.execute("CREATE VIEW views AS SELECT * FROM mc_event")
        rows = [(number, f"DIMM {number}") for number in range(1, PAGE_ROWS * 2 + 2)]
        connection.executemany("INSERT INTO mc_event VALUES (?, ?)", rows)
    return path


@pytest.fixture
def writer(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        yield connection


def test_the_columns_of_a_table_are_told(path: Path) -> None:
    assert database.columns(path, "mc_event") == ["id", "label"]


@pytest.mark.parametrize("name", ["mce_record", "views", 'mc_event"'])
def test_what_is_no_table_has_no_columns(path: Path, name: str) -> None:
    assert database.columns(path, name) == []


def test_all_pages_are_read_in_order(path: Path) -> None:
    rows = list(database.rows(path, "mc_event", ("id",)))
    assert rows == [(number,) for number in range(1, PAGE_ROWS * 2 + 2)]


def test_reading_goes_on_behind_a_row(path: Path) -> None:
    rows = list(database.rows(path, "mc_event", ("id", "label"), after=PAGE_ROWS * 2))
    assert rows == [(PAGE_ROWS * 2 + 1, f"DIMM {PAGE_ROWS * 2 + 1}")]


def test_its_writer_can_write_while_it_is_read(path: Path, writer: sqlite3.Connection) -> None:
    """Its writer does not wait: an error that it could not write down would be lost."""
    rows = database.rows(path, "mc_event", ("id",))
    next(rows)
    writer.execute("INSERT INTO mc_event VALUES (9999, 'late')")
    assert list(rows)[-1] == (9999,)


def test_text_that_is_none_is_readable_all_the_same(path: Path, writer: sqlite3.Connection) -> None:
    writer.execute("UPDATE mc_event SET label = CAST(x'ff41' AS TEXT) WHERE id = 1")
    assert next(database.rows(path, "mc_event", ("label",))) == ("\ufffdA",)


def test_a_database_that_stays_locked_is_one_line(
    path: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS_MAX", 0.01)
    writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises(AgentError, match=r"^the database cannot be read: database is locked$"):
        list(database.rows(path, "mc_event", ("id",)))


def test_a_torn_database_is_one_line(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:6000])
    with pytest.raises(AgentError, match=r"^the database cannot be read: .*malformed"):
        list(database.rows(path, "mc_event", ("id",)))


def test_a_row_that_would_fill_the_memory_is_not_held_and_stops_nothing(
    path: Path, writer: sqlite3.Connection
) -> None:
    writer.execute("UPDATE mc_event SET label = hex(zeroblob(100000)) WHERE id IN (1, 700)")
    read = list(database.rows(path, "mc_event", ("id", "label")))
    assert [number for number, _ in read] == list(range(1, PAGE_ROWS * 2 + 2))
    assert [number for number, label in read if label == TOO_LONG] == [1, 700]


def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="unable to open"):
        database.columns(tmp_path / "none.db", "mc_event")
    assert not (tmp_path / "none.db").exists()
