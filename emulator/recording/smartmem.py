"""SmartMem's CSV: a row an error, as Huawei's fleet collected them, under the columns of its files.

Carries address, DIMM, place and kind, and the time to the second. It has no column for a count, and
so a row stands for one error, whatever was counted. An address of 0 is none.
"""

from emulator.recording.record import Machine, Record

COLUMNS = (
    *("BankId", "BankgroupId", "Capacity", "ChannelId", "ColumnId", "CpuId", "DimmId"),
    *("FrequencyMHz", "LogTime", "Manufacturer", "MaxSpeedMHz", "McaBank", "MciAddr", "Model"),
    *("PN", "RankId", "RetryRdErrLog", "RetryRdErrLogParity", "RowId", "burst_info", "deviceID"),
    *("error_type_full_name", "memory_type", "region"),
)


def head() -> str:
    return ",".join(COLUMNS) + "\n"


def text(record: Record, machine: Machine, _number: int) -> str:
    place = record.place
    known: dict[str, object] = {
        "ChannelId": record.channel,
        "CpuId": record.socket,
        "DimmId": "" if record.slot is None else record.slot,
        "LogTime": record.seconds,
        "McaBank": machine.bank_of(record),
        "MciAddr": record.address or 0,
        "error_type_full_name": _type_of(record),
        "memory_type": "DDR5",
    }
    if place is not None:
        known |= {
            "BankId": place.bank,
            "BankgroupId": place.bank_group,
            "RankId": place.rank,
            "RowId": place.row,
            "ColumnId": place.column,
        }
    return ",".join(str(known.get(name, "")) for name in COLUMNS) + "\n"


def _type_of(record: Record) -> str:
    return f"{record.kind.upper()}.{'SCRUB' if record.is_scrub else 'READ'}"
