"""rasdaemon's rows, of its versions 0.6 to 0.8: what they say, and what counts once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from agent.contract.errors import AgentError
from agent.telemetry import formats
from agent.telemetry.rasdaemon import MAGIC, Cell
from agent.telemetry.record import Decoded, Outcome, Refused
from agent.telemetry.source import Stream
from tests.support.logs import UNSAID, errors

Row = Mapping[str, Cell]
WHEN = "2023-04-15 11:49:42 +0000"
WHEN_NS = 1681559382 * 10**9

EVENT: Row = {
    "id": 1,
    "timestamp": WHEN,
    "err_count": 2,
    "err_type": "Corrected",
    "err_msg": "memory read error",
    "label": "CPU_SrcID#0_Chan#1_DIMM#0",
    "mc": 0,
    "top_layer": 1,
    "middle_layer": 0,
    "lower_layer": -1,
    "address": 0x12345680,
    "grain": 5,
    "syndrome": 0,
    "driver_detail": " rank:1 row:0x1f880 col:0x200",
}
CHECK: Row = {
    "id": 1,
    "timestamp": WHEN,
    "mcgcap": 0xF000C16,
    "mcgstatus": 0,
    "status": 0x8C00008000010091 - (1 << 64),
    "addr": 0x12345680,
    "misc": 0x40584E86,
    "ip": 0,
    "tsc": 0,
    "walltime": 1681559382,
    "cpu": 3,
    "cpuid": 0x50654,
    "apicid": 6,
    "socketid": 1,
    "cs": 0,
    "bank": 7,
    "cpuvendor": 0,
    "bank_name": "bank=7",
    "error_msg": "Corrected error, no action required.",
    "mcgstatus_msg": "",
    "mcistatus_msg": "Corrected_error",
    "mcastatus_msg": "MEMORY CONTROLLER RD_CHANNEL1_ERR",
    "user_action": "",
    "mc_location": "",
}
AMDS: Row = dict(CHECK) | {
    "status": 0x9C2041000000011B - (1 << 64),
    "addr": 0x27AAD20C0,
    "misc": 0xD01A001401000000 - (1 << 64),
    "mcgcap": 0x11C,
    "cpuvendor": 2,
    "bank": 17,
    "bank_name": "Unified Memory Controller (bank=17)",
    "mc_location": "memory_channel=1,csrow=2",
}


@dataclass(frozen=True)
class Tables:
    """A database as a test makes it up."""

    tables: Mapping[str, Sequence[Row]]
    fails_after: int | None = None
    head: bytes = field(default=MAGIC)

    def chunks(self) -> Iterator[bytes]:
        yield self.head

    def columns(self, table: str) -> Sequence[str]:
        return list(next(iter(self.tables.get(table, ())), {}))

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
        for at, row in enumerate(self.tables.get(table, ())):
            if at == self.fails_after:
                raise AgentError("the database cannot be read: database is locked")
            yield tuple(row[name] for name in columns)


def of(**tables: Sequence[Row]) -> list[Outcome]:
    return list(formats.decode(Tables(tables), UNSAID))


def decoded(**tables: Sequence[Row]) -> Decoded:
    (outcome,) = of(**tables)
    assert isinstance(outcome, Decoded), outcome
    return outcome


def refused(**tables: Sequence[Row]) -> Refused:
    (outcome,) = of(**tables)
    assert isinstance(outcome, Refused), outcome
    return outcome


def event(**changed: Cell) -> Row:
    return dict(EVENT) | changed


def check(**changed: Cell) -> Row:
    return dict(CHECK) | changed


def without(row: Row, *names: str) -> Row:
    return {name: cell for name, cell in row.items() if name not in names}


def test_an_event_is_read_with_all_that_it_says() -> None:
    assert decoded(mc_event=[EVENT]) == Decoded(
        line=1,
        time_ns=WHEN_NS,
        count=2,
        address=0x12345680,
        dimm="CPU_SrcID#0_Chan#1_DIMM#0",
        rank=1,
        row=0x1F880,
        column=0x200,
        detail="memory read error: rank:1 row:0x1f880 col:0x200",
    )


def test_an_address_above_two_to_the_63_is_negative_in_sqlite() -> None:
    assert decoded(mc_event=[event(address=-64)]).address == (1 << 64) - 64


def test_address_zero_is_no_address() -> None:
    """The daemon itself takes it for page 0, and offlines that."""
    assert decoded(mc_event=[event(address=0)]).address is None


def test_a_count_of_zero_is_kept_and_stands_for_one_error() -> None:
    record = decoded(mc_event=[event(err_count=0)])
    assert (record.count, record.errors) == (0, 1)


@pytest.mark.parametrize("kind", ["Uncorrected", "Deferred", "Fatal"])
def test_all_that_is_not_corrected_is_uncorrected(kind: str) -> None:
    assert decoded(mc_event=[event(err_type=kind)]).kind == "ue"


def test_a_machine_check_is_read_from_its_signed_registers() -> None:
    assert decoded(mce_record=[CHECK]) == Decoded(
        line=1,
        time_ns=WHEN_NS,
        count=2,
        address=0x12345680,
        detail="memory read error: socket:1 channel:1 mca_bank:7",
    )


def test_without_walltime_the_rows_own_date_counts() -> None:
    assert decoded(mce_record=[check(walltime=0)]).time_ns == WHEN_NS


def test_what_rasdaemon_made_of_amds_registers_stands_for_them() -> None:
    record = decoded(mce_record=[AMDS])
    assert (record.kind, record.count, record.address) == ("ce", 0, None)
    assert record.detail == "DRAM ECC error: socket:1 channel:1 csrow:2 mca_bank:17"


def test_a_machine_check_of_something_else_is_refused_by_its_name() -> None:
    cache = check(status=0x9400004000040150 - (1 << 64))
    assert "cache error" in refused(mce_record=[cache]).reason


def test_the_machine_check_and_the_event_of_one_error_are_one() -> None:
    record = decoded(mc_event=[EVENT], mce_record=[CHECK])
    assert (record.count, record.dimm) == (2, "CPU_SrcID#0_Chan#1_DIMM#0")


def test_a_second_between_the_two_makes_no_difference() -> None:
    late = event(timestamp="2023-04-15 11:49:43 +0000")
    assert errors(of(mc_event=[late], mce_record=[CHECK])) == 2
    early = event(timestamp="2023-04-15 11:49:41 +0000")
    assert errors(of(mc_event=[early], mce_record=[CHECK])) == 2


def test_a_machine_check_without_an_address_is_explained_by_its_neighbour() -> None:
    assert errors(of(mc_event=[EVENT], mce_record=[AMDS])) == 2


def test_errors_at_other_addresses_are_other_errors() -> None:
    assert errors(of(mc_event=[EVENT], mce_record=[check(addr=0x777000)])) == 4


def test_as_many_pairs_as_there_are_are_as_many_errors() -> None:
    events = [event(id=number) for number in range(1, 6)]
    checks = [check(id=number) for number in range(1, 6)]
    assert errors(of(mc_event=events, mce_record=checks)) == 10


def test_an_hour_later_it_is_another_error() -> None:
    later = event(timestamp="2023-04-15 12:49:42 +0000")
    assert errors(of(mc_event=[later], mce_record=[CHECK])) == 4


def test_databases_of_0_6_have_fewer_columns() -> None:
    old = without(CHECK, "cpuid", "bank_name", "mc_location")
    assert decoded(mce_record=[old]).count == 2


def test_a_table_without_a_column_that_is_needed_is_refused_and_the_other_is_read() -> None:
    outcomes = of(mc_event=[EVENT], mce_record=[without(CHECK, "status", "addr")])
    assert [type(outcome) for outcome in outcomes] == [Refused, Decoded]
    assert outcomes[0] == Refused(1, "the table mce_record has no column status, addr")


def test_a_database_of_somebody_else_is_refused() -> None:
    assert "not rasdaemon's" in refused(users=[{"id": 1}]).reason


def test_a_table_about_memory_that_is_not_read_is_told() -> None:
    outcomes = of(mc_event=[EVENT], extlog_event=[{"id": 1}])
    assert outcomes[0] == Refused(1, "the table extlog_event is not read")
    assert errors(outcomes) == 2


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (event(address="0x12345"), "mc_event: address is not a whole number"),
        (event(err_count=2.5), "mc_event: err_count is not a whole number"),
        (event(timestamp="yesterday"), "no time"),
        (event(err_count=-1), "count must be"),
        (event(err_type="Info"), "tells of no error"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_by_its_number(row: Row, why: str) -> None:
    outcome = refused(mc_event=[dict(row) | {"id": 7}])
    assert (outcome.line, why in outcome.reason) == (7, True)


def test_what_was_read_before_the_database_failed_is_not_lost() -> None:
    rows = [event(id=number, address=number << 12) for number in (1, 2, 3)]
    outcomes = list(formats.decode(Tables({"mc_event": rows}, fails_after=2), UNSAID))
    assert errors(outcomes) == 4
    assert outcomes[-1] == Refused(1, "the database cannot be read: database is locked")


def test_a_pipe_cannot_be_asked_for_rows() -> None:
    (outcome,) = formats.decode(Stream(MAGIC), UNSAID)
    assert isinstance(outcome, Refused)
    assert "pipe" in outcome.reason
