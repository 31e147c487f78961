"""From what is configured to what there is: who lives where at the start, and what breaks when."""

from collections.abc import Sequence
from dataclasses import replace

from agent.contract.frames import PAGE_SHIFT
from agent.contract.toolstack import GuestKind
from emulator import presets
from emulator.config import EmulatorConfig, HostSettings, Personality
from emulator.errors import EmulatorError
from emulator.hardware import PlannedFlaw, planned_flaws
from emulator.machine.memory import Geometry
from emulator.needs import NEEDS
from emulator.scenario import FaultSettings, GuestSettings, MappingSettings, Scenario
from emulator.sizes import shown
from emulator.timeline import Event, GuestDo, of_the_host
from emulator.xen.layout import GuestSpec, Layout
from emulator.xen.pages import PLACES_OF_XEN_FRAMES, Place, places_of_xen

# What goes with each guest, about as much as on a real host.
_SHARED_INFO_PAGES = 2  # shared_info, and a frame of the grant table
_POOL_PAGES_MIN = 16
_PAGES_A_POOL_PAGE = 256
_STATE_PAGES = 2
_BUFFER_PAGES = 16

Planned = tuple[float, FaultSettings]


def layout_of(config: EmulatorConfig, scenario: Scenario) -> Layout:
    """The host at its start; a scenario's guests take the place of the configured ones.

    Raises:
        EmulatorError: if they do not fit, or a fault is to be on a kind of page that is not there.
    """
    host = config.host
    guests = scenario.guests or config.guests
    _check_room(config, guests)
    _check_kinds(config, scenario)
    _check_mappings(guests, scenario.mappings)
    _check_timeline(guests, scenario.timeline)
    try:
        return Layout(
            host.memory >> PAGE_SHIFT,
            host.xen_heap >> PAGE_SHIFT,
            host.dom0 >> PAGE_SHIFT,
            tuple(_spec(guest, config.workload.working_set) for guest in guests),
            _places(host),
            host.nodes,
        )
    except ValueError as error:
        raise EmulatorError(f"host and guests: {error}") from None


def planned(*faults: FaultSettings) -> list[Planned]:
    """One entry a page, in the order of time."""
    return sorted(((at, fault) for fault in faults for at in fault.starts()), key=when)


def flaws_of(scenario: Scenario, geometry: Geometry, seed: int) -> list[list[PlannedFlaw]]:
    """What is wrong with the memory, fault by fault.

    Raises:
        EmulatorError: if the memory has no such place.
    """
    if not scenario.memory_faults:
        return []
    preset = presets.load(scenario.preset).model
    return planned_flaws(scenario.memory_faults, geometry, preset, seed)


def when(entry: Planned) -> float:
    return entry[0]


def _spec(guest: GuestSettings, working_set: int) -> GuestSpec:
    is_pv = guest.kind is GuestKind.PV
    pages = guest.memory >> PAGE_SHIFT
    spec = GuestSpec(
        guest.name,
        guest.kind,
        pages,
        paging=guest.paging,
        shared_pages=_SHARED_INFO_PAGES,
        pool_pages=0 if is_pv else _POOL_PAGES_MIN + pages // _PAGES_A_POOL_PAGE,
        state_pages=0 if is_pv else _STATE_PAGES,
        pod_pages=(guest.populate_on_demand or 0) >> PAGE_SHIFT,
        cow_pages=(guest.shared_memory or 0) >> PAGE_SHIFT,
        ring_pages=guest.rings,
        buffer_pages=_BUFFER_PAGES if guest.devices else 0,
        devices=guest.devices,
        keeps_devices=guest.keeps_devices,
    )
    return replace(spec, working_set_pages=min(spec.usable, working_set >> PAGE_SHIFT))


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


def _check_mappings(guests: Sequence[GuestSettings], mappings: Sequence[MappingSettings]) -> None:
    names = {guest.name for guest in guests}
    for mapping in mappings:
        for key, name in {"guest": mapping.guest, "by": mapping.by}.items():
            if name is not None and name not in names:
                raise EmulatorError(f"mappings.{key}: there is no guest {name!r}")


def _check_timeline(guests: Sequence[GuestSettings], timeline: Sequence[Event]) -> None:
    names = {guest.name for guest in guests}
    for event in of_the_host(timeline):
        if event.guest is None:
            continue
        if event.do is GuestDo.START:
            names.add(event.guest)
        elif event.guest not in names:
            raise EmulatorError(f"timeline.guest: there is no guest {event.guest!r} by then")


def _check_kinds(config: EmulatorConfig, scenario: Scenario) -> None:
    guests = scenario.guests or config.guests
    for fault in (*scenario.faults, *config.faults):
        if fault.on.needs_xen and config.host.personality is Personality.THREAD:
            raise EmulatorError(
                f"faults.on: {fault.on.value!r} is only on a host whose personality is xen-4.17"
            )
        need = NEEDS.get(fault.on)
        if need is not None and not need.there(guests, scenario.mappings):
            raise EmulatorError(f"faults.on: {fault.on.value!r}, but {need.why}")
