"""A database of SQLite that somebody else writes, read without getting in his way.

It is opened read-only, and read in pages by `id`: between two pages no lock is held, so that its
writer need not wait for longer than a page takes, and memory does not grow with the table, nor
with what one of its rows may hold.
"""

import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast
from urllib.parse import quote

from agent.contract.errors import AgentError
from agent.telemetry.rasdaemon import Cell

PAGE_ROWS = 1000
LOCK_SECONDS_MAX = 5.0
ROW_BYTES_MAX = 64 * 1024
TOO_LONG = f"in a row of over {ROW_BYTES_MAX} bytes"


def columns(path: Path, table: str) -> list[str]:
    """The names of the table's columns; none if there is no such table.

    Raises:
        AgentError: if the database cannot be read.
    """
    with _connected(path) as connection:
        is_there = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        if not connection.execute(is_there, (table,)).fetchone():
            return []
        return [str(row[1]) for row in connection.execute(f"PRAGMA table_info({_quoted(table)})")]


def rows(
    path: Path, table: str, names: Sequence[str], after: int = 0
) -> Iterator[tuple[Cell, ...]]:
    """These columns of all rows whose `id` is above `after`, in the order of `id`.

    A row of over `ROW_BYTES_MAX` is its `id`, and `TOO_LONG` in all other columns.

    Raises:
        AgentError: if the database cannot be read to its end.
    """
    with _connected(path) as connection:
        while page := _page(connection, table, ("id", *names), after, PAGE_ROWS):
            after = cast("int", page[-1][0])
            yield from (row[1:] for row in page)


def _page(
    connection: sqlite3.Connection, table: str, names: Sequence[str], after: int, rows_max: int
) -> list[tuple[Cell, ...]]:
    """The next rows; where one of them is too long, the first half of them."""
    wanted = ", ".join(map(_quoted, names))
    query = f"SELECT {wanted} FROM {_quoted(table)} WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608 - names are quoted, and ours
    try:
        found = connection.execute(query, (after, rows_max)).fetchall()
    except sqlite3.DataError:
        if rows_max > 1:
            return _page(connection, table, names, after, rows_max // 2)
        (number, *_) = _page(connection, table, ("id",), after, 1)[0]
        found = [tuple(number if name == "id" else TOO_LONG for name in names)]
    return cast("list[tuple[Cell, ...]]", found)


@contextmanager
def _connected(path: Path) -> Generator[sqlite3.Connection]:
    try:
        uri = f"file:{quote(str(path))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS_MAX)) as connection:
            connection.text_factory = _text
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, ROW_BYTES_MAX)
            yield connection
    except sqlite3.Error as error:
        raise AgentError(f"the database cannot be read: {error}") from None


def _text(some: bytes) -> str:
    return some.decode(errors="replace")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
