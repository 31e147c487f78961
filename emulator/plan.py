"""From what is configured to what there is: who lives where at the start, and what breaks when."""

from agent.contract.frames import PAGE_SHIFT
from emulator.config import EmulatorConfig, HostSettings, Personality
from emulator.errors import EmulatorError
from emulator.scenario import FaultSettings, GuestSettings, On, Scenario
from emulator.sizes import shown
from emulator.xen.layout import GuestSpec, Layout
from emulator.xen.pages import PLACES_OF_XEN_FRAMES, Place, places_of_xen

Planned = tuple[float, FaultSettings]


def layout_of(config: EmulatorConfig, scenario: Scenario) -> Layout:
    """The host at its start; a scenario's guests take the place of the configured ones.

    Raises:
        EmulatorError: if they do not fit, or a fault is to be on a kind of page that is not there.
    """
    host = config.host
    guests = scenario.guests or config.guests
    _check_room(config, guests)
    _check_kinds(guests, (*scenario.faults, *config.faults))
    return Layout(
        host.memory >> PAGE_SHIFT,
        host.xen_heap >> PAGE_SHIFT,
        host.dom0 >> PAGE_SHIFT,
        tuple(_spec(guest, config.workload.working_set) for guest in guests),
        _places(host),
    )


def planned(*faults: FaultSettings) -> list[Planned]:
    """One entry a page, in the order of time."""
    return sorted(((at, fault) for fault in faults for at in fault.starts()), key=when)


def when(entry: Planned) -> float:
    return entry[0]


def _spec(guest: GuestSettings, working_set: int) -> GuestSpec:
    pages = guest.memory >> PAGE_SHIFT
    working_set_pages = min(pages, working_set >> PAGE_SHIFT)
    return GuestSpec(guest.name, guest.kind, pages, working_set_pages=working_set_pages)


def _places(host: HostSettings) -> tuple[Place, ...]:
    """The design of 2008 knows a heap of Xen's; only real Xen has more at fixed places."""
    if host.personality is Personality.THREAD:
        return ()
    return places_of_xen(host.memory >> PAGE_SHIFT)


def _check_room(config: EmulatorConfig, guests: tuple[GuestSettings, ...]) -> None:
    host = config.host
    needed = host.xen_heap + host.dom0 + sum(guest.memory for guest in guests)
    if host.personality is Personality.XEN_4_17:
        needed += PLACES_OF_XEN_FRAMES << PAGE_SHIFT
    if needed >= host.memory:
        raise EmulatorError(
            f"host.memory: {shown(host.memory)} is too little: Xen, dom0 and the guests take "
            f"{shown(needed)}, and something must stay free"
        )


def _check_kinds(guests: tuple[GuestSettings, ...], faults: tuple[FaultSettings, ...]) -> None:
    missing = {On.HVM, On.PV} - {On.guests_of(guest.kind) for guest in guests}
    for fault in faults:
        if fault.on in missing:
            raise EmulatorError(
                f"faults.on: {fault.on.value!r}, but no guest is of that kind; add one to guests"
            )
