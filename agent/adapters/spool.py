"""The bridge's memory: how far each source was read, and what of it the agent has not applied yet.

    places    how far each source was read, by the source's name
    boots     the boots of this host that are known, and the next number in each
    parcels   ereports, numbered and packed, until the agent says that it has applied them
    inbox     records of a source that forgets what it hands out, as they were handed out
    about     whose errors these are, and how many were lost

What was read, how far that is, and the numbers it got change in *one* commit: a stop before it has
read nothing, a stop after it has all of it. The parcels are a ring: where a source cannot wait, the
oldest make room, and the hole in the numbers tells the agent. Those that were handed out stay until
they are applied: they may be on their way, and what arrives all the same is not lost.

Blocking: for one thread alone.
"""

import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from uuid import UUID

from agent.adapters.journal_file import connect, lock, transaction
from agent.contract.ereport import BATCH_MAX
from agent.contract.errors import AgentError
from agent.contract.outbox import Parcel
from agent.telemetry.boots import Boot
from agent.telemetry.parcel import parcel_of
from agent.telemetry.record import Decoded

APPLICATION_ID = 0x50475742  # "PGWB"
VERSION = 1

SCHEMA = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value)",
    """CREATE TABLE places (
        source TEXT PRIMARY KEY,
        mark TEXT,
        taken INTEGER NOT NULL)""",
    """CREATE TABLE boots (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        boot_id TEXT NOT NULL UNIQUE,
        began_ns INTEGER,
        next_seq INTEGER NOT NULL)""",
    """CREATE TABLE parcels (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        boot INTEGER NOT NULL REFERENCES boots,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        at_ns INTEGER NOT NULL,
        payload BLOB NOT NULL)""",
    "CREATE INDEX parcels_of_boot ON parcels (boot, last)",
    """CREATE TABLE inbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ns INTEGER NOT NULL,
        record BLOB NOT NULL)""",
)

FIXES = {
    sqlite3.SQLITE_FULL: "free space on its disk, or lower --keep-max",
    sqlite3.SQLITE_READONLY: "make file and directory writable for the bridge's user",
    sqlite3.SQLITE_CANTOPEN: "see that the directory is there and the user may write in it",
    sqlite3.SQLITE_PERM: "make file and directory writable for the bridge's user",
    sqlite3.SQLITE_NOTADB: "give --state a directory of its own",
    sqlite3.SQLITE_CORRUPT: "move it away for a look; a new one reads the sources anew",
    sqlite3.SQLITE_IOERR: "check the disk (dmesg)",
    sqlite3.SQLITE_BUSY: "end the program that holds a write lock on it",
}
OTHERS = "in use by another bridge; stop that one, or give --state another directory"


@dataclass(frozen=True, slots=True)
class Place:
    """How far a source was read: up to `mark`, and `taken` outcomes beyond it."""

    mark: str | None = None
    taken: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """An error, and the boot that it happened in."""

    boot_id: UUID
    decoded: Decoded


@dataclass(frozen=True, slots=True)
class Kept:
    """A parcel that is not applied. `id` grows; `at_ns` is when it was written down."""

    id: int
    boot_id: UUID
    at_ns: int
    parcel: Parcel


@dataclass(frozen=True, slots=True)
class Received:
    """A record as its source handed it out, and when."""

    id: int
    at_ns: int
    record: bytes


class Spool:
    """The open file. Each method that writes is one transaction, durable when it returns."""

    def __init__(self, path: Path, host: str) -> None:
        self._lock = lock(path, OTHERS)
        try:
            self._db = connect(path, _migrated, FIXES)
            self._host = host
            self._claim(path)
            self.kept = self._number("SELECT coalesce(sum(last - first + 1), 0) FROM parcels")
            self._out = self._number("SELECT coalesce(max(id), 0) FROM parcels")
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    def _claim(self, path: Path) -> None:
        """See that what lies here is of our host: two hosts' numbers must not be mixed."""
        with transaction(self._db):
            self._db.execute("INSERT OR IGNORE INTO about VALUES ('host', ?)", (self._host,))
        owner = self._db.execute("SELECT value FROM about WHERE name = 'host'").fetchone()[0]
        if owner != self._host:
            self._db.close()
            raise AgentError(
                f"{path}: holds what was read for host {owner}, not {self._host}: "
                "correct --host, or give --state another directory"
            )

    @property
    def lost(self) -> int:
        """How many ereports made room for newer ones and never reached the agent."""
        return self._number("SELECT coalesce(max(value), 0) FROM about WHERE name = 'lost'")

    def know(self, boot: Boot) -> tuple[Boot, ...]:
        """All boots that are known, `boot` among them. When it began is not said twice."""
        with transaction(self._db):
            self._db.execute(
                "INSERT INTO boots (boot_id, began_ns, next_seq) VALUES (?1, ?2, 0)"
                " ON CONFLICT (boot_id) DO UPDATE SET began_ns = coalesce(began_ns, ?2)",
                (str(boot.id), boot.began_ns),
            )
        rows = self._db.execute(
            "SELECT boot_id, began_ns FROM boots WHERE began_ns IS NOT NULL ORDER BY began_ns, id"
        )
        return tuple(Boot(UUID(boot_id), began_ns) for boot_id, began_ns in rows)

    def place(self, source: str) -> Place:
        """How far `source` was read; from its beginning, if it never was."""
        row = self._db.execute(
            "SELECT mark, taken FROM places WHERE source = ?", (source,)
        ).fetchone()
        return Place(*row) if row else Place()

    def commit(
        self, source: str, place: Place, records: Sequence[Record], at_ns: int, keep_max: int = 0
    ) -> int:
        """`source` is read up to `place`, and `records` are what was new in it: all or nothing.

        Where more than `keep_max` ereports (0: any number) are kept then that were not handed out,
        the oldest of these go; how many ereports that were.
        """
        with transaction(self._db):
            self._db.execute(
                "INSERT OR REPLACE INTO places VALUES (?, ?, ?)",
                (source, place.mark, place.taken),
            )
            for boot_id, group in groupby(records, key=lambda record: record.boot_id):
                self._append(boot_id, [record.decoded for record in group], at_ns)
            is_over = 0 < keep_max < self.kept + len(records)
            gone = self._make_room(keep_max) if is_over else 0
        self.kept += len(records) - gone
        return gone

    def _append(self, boot_id: UUID, records: Sequence[Decoded], at_ns: int) -> None:
        boot, next_seq = self._boot(boot_id)
        for start in range(0, len(records), BATCH_MAX):
            batch = records[start : start + BATCH_MAX]
            parcel = parcel_of(batch, self._host, boot_id, next_seq)
            next_seq = parcel.last + 1
            self._db.execute(
                "INSERT INTO parcels (boot, first, last, at_ns, payload) VALUES (?, ?, ?, ?, ?)",
                (boot, parcel.first, parcel.last, at_ns, parcel.payload),
            )
        self._db.execute("UPDATE boots SET next_seq = ? WHERE id = ?", (next_seq, boot))

    def _boot(self, boot_id: UUID) -> tuple[int, int]:
        """The row of a boot and its next number; one of which only errors are known is new."""
        self._db.execute(
            "INSERT OR IGNORE INTO boots (boot_id, next_seq) VALUES (?, 0)", (str(boot_id),)
        )
        found: tuple[int, int] = self._db.execute(
            "SELECT id, next_seq FROM boots WHERE boot_id = ?", (str(boot_id),)
        ).fetchone()
        return found

    def _make_room(self, keep_max: int) -> int:
        behind = self._db.execute(
            "SELECT id, last - first + 1 FROM parcels WHERE id > ? ORDER BY id", (self._out,)
        ).fetchall()
        over = sum(ereports for _, ereports in behind) - keep_max
        gone = 0
        for number, ereports in behind:
            if gone >= over:
                break
            self._db.execute("DELETE FROM parcels WHERE id = ?", (number,))
            gone += ereports
        self._db.execute("INSERT OR IGNORE INTO about VALUES ('lost', 0)")
        self._db.execute("UPDATE about SET value = value + ? WHERE name = 'lost'", (gone,))
        return gone

    def waiting(self, after: int, limit: int) -> list[Kept]:
        """The next parcels behind the one with the id `after`, in the order they were made.

        These and all before them are handed out from now on.
        """
        rows = self._db.execute(
            """SELECT parcels.id, boot_id, at_ns, first, last, payload
               FROM parcels JOIN boots ON boots.id = boot
               WHERE parcels.id > ? ORDER BY parcels.id LIMIT ?""",
            (after, limit),
        )
        kept = [
            Kept(number, UUID(boot_id), at_ns, Parcel(first, last, payload))
            for number, boot_id, at_ns, first, last, payload in rows
        ]
        self._out = kept[-1].id if kept else after
        return kept

    def applied(self, boot_id: UUID, next_seq: int) -> int:
        """Let go of all of that boot below `next_seq`; how many ereports that were."""
        of_boot = "boot = (SELECT id FROM boots WHERE boot_id = ?) AND last < ?"
        which = (str(boot_id), next_seq)
        with transaction(self._db):
            done = self._number(
                f"SELECT coalesce(sum(last - first + 1), 0) FROM parcels WHERE {of_boot}",  # noqa: S608 - a constant
                which,
            )
            self._db.execute(f"DELETE FROM parcels WHERE {of_boot}", which)  # noqa: S608 - as above
        self.kept -= done
        return done

    def next_seq(self, boot_id: UUID) -> int:
        """The number that the next ereport of that boot gets."""
        return self._number(
            "SELECT coalesce(max(next_seq), 0) FROM boots WHERE boot_id = ?", (str(boot_id),)
        )

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest ereport that is not applied was written down."""
        row = self._db.execute("SELECT at_ns FROM parcels ORDER BY id LIMIT 1").fetchone()
        return row[0] if row else None

    def receive(self, source: str, records: Iterable[bytes], at_ns: int) -> None:
        """Write down what `source` handed out, before anybody has a look at it."""
        with transaction(self._db):
            self._db.execute(
                """DELETE FROM inbox WHERE id <=
                   (SELECT CAST(mark AS INTEGER) FROM places WHERE source = ?)""",
                (source,),
            )
            self._db.executemany(
                "INSERT INTO inbox (at_ns, record) VALUES (?, ?)",
                [(at_ns, record) for record in records],
            )

    def received(self, after: int, limit: int) -> list[Received]:
        """The next records behind the one with the id `after`."""
        rows = self._db.execute(
            "SELECT id, at_ns, record FROM inbox WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
        )
        return [Received(*row) for row in rows]

    def _number(self, query: str, values: tuple[object, ...] = ()) -> int:
        number: int = self._db.execute(query, values).fetchone()[0]
        return number


def _migrated(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables in a new file; refuse another program's, and a newer bridge's."""
    owner, version, tables = (
        db.execute(query).fetchone()[0]
        for query in (
            "PRAGMA application_id",
            "PRAGMA user_version",
            "SELECT count(*) FROM sqlite_schema",
        )
    )
    if owner != APPLICATION_ID and (owner, version, tables) != (0, 0, 0):
        raise AgentError(f"{path}: a database of another program; give --state another directory")
    if version > VERSION:
        raise AgentError(
            f"{path}: written by a newer pagewarden (version {version}, this one knows {VERSION}); "
            "run that one, or give --state another directory"
        )
    if version < VERSION:
        with transaction(db):
            for statement in SCHEMA:
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {VERSION}")
