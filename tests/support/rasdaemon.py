"""rasdaemon's database for tests: its tables as of 0.6, as far as they matter, and rows in them."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

FIRST = datetime(2024, 3, 1, tzinfo=UTC)


def make(path: Path) -> None:
    """Tables of rasdaemon 0.6, as far as they matter."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "CREATE TABLE mc_event (id INTEGER PRIMARY KEY, timestamp TEXT, err_count INTEGER,"
            " err_type TEXT, err_msg TEXT, label TEXT, address INTEGER, driver_detail TEXT)"
        )
        db.execute(
            "CREATE TABLE mce_record (id INTEGER PRIMARY KEY, timestamp TEXT, status INTEGER,"
            " addr INTEGER, misc INTEGER, mcgcap INTEGER, walltime INTEGER, bank INTEGER,"
            " cpuvendor INTEGER)"
        )


def written(seconds: int) -> str:
    return f"{FIRST + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S +0000}"


def event(path: Path, number: int, seconds: int) -> None:
    """An error at page `number`."""
    row = (written(seconds), 1, "Corrected", "memory read error", "DIMM_A", number << 12, "")
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO mc_event VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", row)


def check(path: Path, number: int, seconds: int) -> None:
    """The machine check of the same error."""
    status = 0x8C00004000010091 - (1 << 64)
    walltime = int((FIRST + timedelta(seconds=seconds)).timestamp())
    row = (written(seconds), status, number << 12, 0x86, 0xF000C16, walltime, 7, 0)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO mce_record VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", row)
