"""A database of SQLite that somebody else writes, read without getting in his way.

It is opened read-only, and read in pages by `id`: between two pages no lock is held, so that its
writer need not wait for longer than a page takes, and memory does not grow with the table.
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

    Raises:
        AgentError: if the database cannot be read to its end.
    """
    wanted = ", ".join(map(_quoted, ("id", *names)))
    query = f"SELECT {wanted} FROM {_quoted(table)} WHERE id > ? ORDER BY id LIMIT {PAGE_ROWS}"  # noqa: S608 - names are quoted, and ours
    with _connected(path) as connection:
        while page := cast(
            "list[tuple[Cell, ...]]", connection.execute(query, (after,)).fetchall()
        ):
            after = cast("int", page[-1][0])
            yield from (row[1:] for row in page)


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
