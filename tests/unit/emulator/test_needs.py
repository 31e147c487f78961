"""A fault on a kind of page that the host cannot have is refused, with what to add."""

import pytest

from agent.contract.toolstack import GuestKind
from emulator.config import EmulatorConfig
from emulator.errors import EmulatorError
from emulator.needs import NEEDS
from emulator.plan import layout_of
from emulator.scenario import FaultSettings, GuestSettings, MappingSettings, On, Scenario


def planned(on: On, *guests: GuestSettings, mappings: tuple[MappingSettings, ...] = ()) -> None:
    scenario = Scenario(
        title="A fault.", guests=guests, faults=(FaultSettings(on=on),), mappings=mappings
    )
    layout_of(EmulatorConfig(guests=()), scenario)


@pytest.mark.parametrize("on", NEEDS)
def test_a_host_without_guests_has_no_page_of_a_guest(on: On) -> None:
    with pytest.raises(EmulatorError, match=f"faults.on: '{on}', but .*; add "):
        planned(on)


PV = GuestSettings(name="db", kind=GuestKind.PV)
HVM = GuestSettings(name="web", kind=GuestKind.HVM)


@pytest.mark.parametrize(
    ("on", "guest", "lacks"),
    [
        (On.PV, HVM, "no guest is of that kind"),
        (On.HVM, PV, "no guest is of that kind"),
        (On.PV, PV.model_copy(update={"devices": ("nic",)}), "without a device"),
        (On.PAGE_TABLE, HVM, "no PV guest"),
        (On.SUPERPAGE, PV, "no guest has an EPT"),
        (On.SHADOW, PV, "no guest has a pool"),
        (On.DEVICE, PV, "add guests.devices"),
        (On.MAPPED, PV, "add guests.rings"),
    ],
)
def test_a_guest_of_another_kind_is_not_enough(on: On, guest: GuestSettings, lacks: str) -> None:
    with pytest.raises(EmulatorError, match=lacks):
        planned(on, guest)


def test_a_mapping_makes_a_page_that_is_mapped() -> None:
    planned(On.MAPPED, PV, mappings=(MappingSettings(guest="db"),))


def test_a_mapping_of_a_guest_that_is_not_there_is_refused() -> None:
    with pytest.raises(EmulatorError, match=r"mappings\.guest: there is no guest 'mail'"):
        planned(On.FREE, PV, mappings=(MappingSettings(guest="mail"),))


def test_what_only_real_xen_has_is_refused_on_another_host() -> None:
    with pytest.raises(EmulatorError, match=r"only on a host whose personality is xen-4\.17"):
        planned(On.XEN_IMAGE, PV)


def test_a_guest_whose_parts_do_not_fit_its_memory_is_refused_in_one_line() -> None:
    tight = GuestSettings(name="db", kind=GuestKind.PV, memory=64 << 10, rings=64)
    with pytest.raises(EmulatorError, match="guest db: its rings"):
        planned(On.FREE, tight)
