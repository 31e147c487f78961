"""The journal's tables, and how an older file becomes a newer one.

`PRAGMA application_id` says that a file is ours, `user_version` how many of the migrations it has
seen. A file of a newer agent is refused: what it means is not known here.
"""

import sqlite3
from pathlib import Path

from agent.contract.errors import AgentError

APPLICATION_ID = 0x50475744  # "PGWD"

# Ids of batches are never given twice (AUTOINCREMENT), or a snapshot would cover later batches.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE batches (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at_ns INTEGER NOT NULL,
            bytes INTEGER NOT NULL,
            ereports BLOB NOT NULL)""",
        "CREATE INDEX batch_sizes ON batches (bytes)",
        """CREATE TABLE transitions (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            case_id TEXT NOT NULL,
            mfn INTEGER NOT NULL,
            at_ns INTEGER NOT NULL,
            state TEXT NOT NULL,
            body TEXT NOT NULL)""",
        "CREATE INDEX transitions_of_case ON transitions (case_id, id)",
        """CREATE TABLE snapshots (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            batch_id INTEGER NOT NULL,
            state BLOB NOT NULL)""",
        """CREATE TABLE refused (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at_ns INTEGER NOT NULL,
            reason TEXT NOT NULL,
            payload BLOB NOT NULL)""",
    ),
    (
        # A case's reason became a word of a closed list, and what was said in words its detail.
        """UPDATE transitions SET body =
            json_remove(json_set(body, '$.detail', json_extract(body, '$.reason')), '$.reason')""",
        # An image had the name of its case, before one image could be for many.
        """UPDATE transitions SET body = json_set(body, '$.image', case_id)
            WHERE state IN ('saving', 'restoring')""",
        # What is left of `releasing` is its resume; `hands_off` says that nothing more is tried.
        """UPDATE transitions SET state = 'backing_out', body = json_set(body,
            '$.state', 'backing_out', '$.hands_off', 'guest_may_be_damaged', '$.rungs', json('[]'))
            WHERE state = 'releasing'""",
    ),
    (
        # What operators asked for.
        """CREATE TABLE requests (
            id TEXT PRIMARY KEY,
            at_ns INTEGER NOT NULL,
            body TEXT NOT NULL)""",
    ),
    (
        # Whether a guest's first command was given was not told apart: it may have been.
        """UPDATE transitions SET body = json_set(body, '$.begun', json('true')) WHERE
            state IN ('detaching', 'dropping_shadows', 'suspending', 'saving', 'migrating')""",
    ),
    (
        # A snapshot is written in pieces, between commits; it is there when its row says so.
        """CREATE TABLE pieces (
            id INTEGER PRIMARY KEY,
            snapshot INTEGER NOT NULL,
            number INTEGER NOT NULL,
            piece BLOB NOT NULL)""",
        "CREATE UNIQUE INDEX pieces_of_snapshot ON pieces (snapshot, number)",
        "INSERT INTO pieces (snapshot, number, piece) SELECT 1, 0, state FROM snapshots",
        "ALTER TABLE snapshots RENAME TO old_snapshots",
        """CREATE TABLE snapshots (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            batch_id INTEGER NOT NULL,
            snapshot INTEGER NOT NULL,
            pieces INTEGER NOT NULL)""",
        "INSERT INTO snapshots SELECT 1, batch_id, 1, 1 FROM old_snapshots",
        "DROP TABLE old_snapshots",
    ),
)


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring the file up to date, each migration in a transaction of its own.

    Raises:
        AgentError: if the file is another program's, or of a newer agent.
    """
    version = _version(db, path)
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        db.execute("BEGIN IMMEDIATE")
        for statement in statements:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {number}")
        db.execute("COMMIT")


def _version(db: sqlite3.Connection, path: Path) -> int:
    owner, version, tables = (_number(db, query) for query in _IDENTITY)
    if owner != APPLICATION_ID and (owner, version, tables) != (0, 0, 0):
        raise AgentError(
            f"{path}: a database of another program; set journal.path to a file of its own"
        )
    if version > len(MIGRATIONS):
        raise AgentError(
            f"{path}: written by a newer pagewarden (journal version {version}, this one knows "
            f"{len(MIGRATIONS)}); run that one, or set journal.path to a new file"
        )
    return version


_IDENTITY = (
    "PRAGMA application_id",
    "PRAGMA user_version",
    "SELECT count(*) FROM sqlite_schema",
)


def _number(db: sqlite3.Connection, query: str) -> int:
    value: int = db.execute(query).fetchone()[0]
    return value
