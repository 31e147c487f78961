"""What firmware makes of a harvest: the place of an address, and no more than is known."""

from dataclasses import replace
from uuid import UUID

import pytest

from agent.contract.columns import UNKNOWN, Batch
from emulator.firmware import Firmware
from emulator.machine.banks import ADDRV, Bank, Registers
from emulator.machine.memory import Geometry

ADDRESS = 0x1234_5640
ONE_SOCKET = Geometry(memory=1 << 30)


def harvested(channel: int = 3) -> Registers:
    bank = Bank()
    bank.log(ADDRESS, channel)
    registers = bank.harvest()
    assert registers is not None
    return registers


def unlocated(registers: Registers) -> Registers:
    return replace(registers, status=registers.status & ~ADDRV)


def reported(geometry: Geometry, *harvests: Registers) -> Batch:
    modules = geometry.modules(1, {})
    return Firmware("hv-1", UUID(int=1), geometry, modules).report(harvests, 7, 1000)


def test_an_address_is_reported_with_its_place() -> None:
    geometry = replace(ONE_SOCKET, dimms_per_channel=2, sockets=2)
    batch = reported(geometry, harvested())
    site = (batch.dimm[0], batch.rank[0], batch.bank[0], batch.row[0], batch.column[0])
    places = geometry.places(batch.address.astype("i8"))
    expected = (geometry.dimm_of(places), places.rank, geometry.bank_of(places), places.row)
    assert [int(each) for each in site] == [int(each[0]) for each in (*expected, places.column)]
    assert (int(batch.address[0]), batch.dimms) == (ADDRESS, geometry.labels)


def test_an_address_that_is_not_valid_is_no_place_and_its_channel_names_the_dimm() -> None:
    batch = reported(ONE_SOCKET, unlocated(harvested(channel=3)))
    assert (batch.located.tolist(), batch.address.tolist()) == ([False], [0])
    for name in ("rank", "bank", "row", "column"):
        assert getattr(batch, name).tolist() == [UNKNOWN], name
    assert batch.dimms[int(batch.dimm[0])] == "CPU0_C3_D0"


@pytest.mark.parametrize(
    "geometry", [replace(ONE_SOCKET, sockets=2), replace(ONE_SOCKET, dimms_per_channel=2)]
)
def test_where_a_channel_is_not_enough_to_name_a_dimm_none_is_named(geometry: Geometry) -> None:
    assert reported(geometry, unlocated(harvested())).dimm.tolist() == [UNKNOWN]


def test_located_and_unlocated_errors_keep_their_order_and_number() -> None:
    batch = reported(ONE_SOCKET, harvested(), unlocated(harvested()), harvested())
    assert (batch.seq.tolist(), batch.located.tolist()) == ([7, 8, 9], [True, False, True])
