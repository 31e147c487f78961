"""rasdaemon's database, with the tables of its version 0.8: `mc_event`, and `mce_record` beside it.

One error is a row in each, as on a host with an EDAC driver; behind firmware there is no machine
check, and so no `mce_record`. Carries what `traces.py` does, and the time to the second. Numbers
are signed there, and `grain` is a logarithm.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path

from emulator.recording import edac
from emulator.recording.record import Layout, Machine, Record

_ROWS_AT_ONCE = 10_000
_KINDS = {"ce": "Corrected", "ue": "Uncorrected"}

_MC_EVENT = (
    *(("id", "INTEGER PRIMARY KEY"), ("timestamp", "TEXT"), ("err_count", "INTEGER")),
    *(("err_type", "TEXT"), ("err_msg", "TEXT"), ("label", "TEXT"), ("mc", "INTEGER")),
    *(("top_layer", "INTEGER"), ("middle_layer", "INTEGER"), ("lower_layer", "INTEGER")),
    *(("address", "INTEGER"), ("grain", "INTEGER"), ("syndrome", "INTEGER")),
    ("driver_detail", "TEXT"),
)
_MCE_RECORD = (
    *(("id", "INTEGER PRIMARY KEY"), ("timestamp", "TEXT"), ("mcgcap", "INTEGER")),
    *((name, "INTEGER") for name in ("mcgstatus", "status", "addr", "misc", "ip", "tsc")),
    *((name, "INTEGER") for name in ("walltime", "ppin", "cpu", "cpuid", "apicid", "socketid")),
    *((name, "INTEGER") for name in ("cs", "bank", "cpuvendor", "microcode")),
    *((name, "TEXT") for name in ("bank_name", "error_msg", "mcgstatus_msg", "mcistatus_msg")),
    *((name, "TEXT") for name in ("mcastatus_msg", "user_action", "mc_location")),
)
_TABLES = {"mc_event": _MC_EVENT, "mce_record": _MCE_RECORD}


def write(path: Path, records: Iterable[Record], machine: Machine) -> None:
    """Make the database `path` of them; what is there already is added to."""
    rest = iter(records)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA synchronous = OFF")  # it can be made again
        for table, columns in _TABLES.items():
            fields = ", ".join(f"{name} {kind}" for name, kind in columns)
            database.execute(f"CREATE TABLE IF NOT EXISTS {table} ({fields})")
        while part := list(islice(rest, _ROWS_AT_ONCE)):
            with database:
                _insert(database, "mc_event", [_mc_event(each) for each in part])
                if machine.layout is not Layout.FIRMWARE:
                    _insert(database, "mce_record", [_mce_record(each, machine) for each in part])


def _insert(database: sqlite3.Connection, table: str, rows: list[tuple[object, ...]]) -> None:
    """`id` is for the database to give."""
    marks = ", ".join("?" * len(_TABLES[table][1:]))
    database.executemany(f"INSERT INTO {table} VALUES (NULL, {marks})", rows)  # noqa: S608 - a table of ours


def _mc_event(record: Record) -> tuple[object, ...]:
    return (
        _timestamp(record),
        edac.count_of(record),
        _KINDS[record.kind],
        record.transaction,
        edac.label_of(record),
        *(record.socket, record.channel, -1 if record.slot is None else record.slot, -1),
        _signed(record.address or 0),
        edac.GRAIN.bit_length() - 1,
        0,
        edac.detail_of(record).lstrip(),
    )


def _mce_record(record: Record, machine: Machine) -> tuple[object, ...]:
    return (
        _timestamp(record),
        *(machine.mcgcap, 0, _signed(record.status), _signed(record.bank_address)),
        *(_signed(record.misc), 0, 0, record.seconds, 0),
        *(machine.cpu_of(record), machine.cpuid, machine.apicid_of(record), record.socket),
        *(0, machine.bank_of(record), machine.vendor, machine.microcode),
        *_words(record, machine),
    )


def _words(record: Record, machine: Machine) -> tuple[str, ...]:
    """What it makes of the registers: of AMD's, which it does not keep, where the error was."""
    bank = machine.bank_of(record)
    if machine.layout is not Layout.AMD:
        return (f"bank={bank:x}", "", "", "", "", "", "")
    where = f"memory_channel={record.channel},csrow={record.synd & 7}"
    return (f"Unified Memory Controller (bank={bank})", "", "", "", "", "", where)


def _timestamp(record: Record) -> str:
    return f"{record.instant:%Y-%m-%d %H:%M:%S} +0000"


def _signed(value: int) -> int:
    """As sqlite keeps 64 bits."""
    return value - (1 << 64) if value >> 63 else value
