"""The journal's file: open it, keep others out, and say in one line what is wrong with it.

One agent at a time writes. A lock file beside the database says so, because it ends with the
process however that ends, and because people may still read the database meanwhile.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agent.adapters.journal_schema import migrate
from agent.contract.errors import AgentError

WAL_BYTES_KEPT = 64 << 20  # what the write-ahead log is cut back to after a checkpoint

# What to do about it, by SQLite's primary result code.
FIXES = {
    sqlite3.SQLITE_FULL: "free space on its disk, or lower journal.bytes_max",
    sqlite3.SQLITE_READONLY: "make file and directory writable for the agent's user",
    sqlite3.SQLITE_CANTOPEN: "see that the directory is there and the agent's user may write in it",
    sqlite3.SQLITE_PERM: "make file and directory writable for the agent's user",
    sqlite3.SQLITE_NOTADB: "set journal.path to a file of its own",
    sqlite3.SQLITE_CORRUPT: "move it away for a look; a new one starts with no cases",
    sqlite3.SQLITE_IOERR: "check the disk (dmesg)",
    sqlite3.SQLITE_BUSY: "end the program that holds a write lock on it",
}

OTHERS = "in use by another agent; stop that one, or set journal.path to another file"


@contextmanager
def explained(path: Path, fixes: Mapping[int, str] = FIXES) -> Generator[None, None, None]:
    """Turn SQLite's troubles into one line that names the file and the fix.

    Raises:
        AgentError: instead of any `sqlite3.Error`.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        fix = fixes.get(code, "this is not expected; keep the file and report it")
        raise AgentError(f"{path}: {error}: {fix}") from error


def lock(path: Path, others: str = OTHERS) -> int:
    """Be the only one to use this file; the descriptor holds the lock until it is closed.

    Raises:
        AgentError: saying `others`, if another does, or if the lock file cannot be made.
    """
    beside = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        fix = FIXES[sqlite3.SQLITE_CANTOPEN]
        raise AgentError(f"{beside}: cannot be opened: {error.strerror}: {fix}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        whose = _whose(descriptor)
        os.close(descriptor)
        raise AgentError(f"{path}: {others}{whose}") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _whose(descriptor: int) -> str:
    """Who holds the lock, as far as it said so."""
    said = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
    return f" (it is process {said})" if said.isdecimal() else ""


def connect(
    path: Path,
    migrated: Callable[[sqlite3.Connection, Path], None] = migrate,
    fixes: Mapping[int, str] = FIXES,
) -> sqlite3.Connection:
    """The database, brought up to date by `migrated`; its commits survive a power cut."""
    with explained(path, fixes):
        db = sqlite3.connect(path, isolation_level=None)
        try:
            migrated(db, path)  # before anything is changed: the file may be somebody else's
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA secure_delete = OFF")  # Debian's zeroes what it forgets, at length
            db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")
        except BaseException:
            db.close()
            raise
        return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Generator[None, None, None]:
    """All of it or nothing; on return it is on the disk."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite itself rolls back when the disk is full
            db.execute("ROLLBACK")
        raise
