"""What must be on a host for it to have pages of a kind, and what to add where it is not.

A fault on a page that nobody can have would wait for ever, so it is refused before anything starts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.contract.toolstack import GuestKind, Paging
from emulator.scenario import GuestSettings, MappingSettings, On


@dataclass(frozen=True, slots=True)
class Need:
    """Whether it is `there`, and `why` not."""

    there: Callable[[Sequence[GuestSettings], Sequence[MappingSettings]], bool]
    why: str


def _some(is_so: Callable[[GuestSettings], object], why: str) -> Need:
    """At least one guest of which that is so."""
    return Need(lambda guests, _: any(is_so(guest) for guest in guests), why)


def _is_pv(guest: GuestSettings) -> bool:
    return guest.kind is GuestKind.PV


NEEDS: dict[On, Need] = {
    On.HVM: _some(
        lambda guest: not (_is_pv(guest) or guest.devices),
        "no guest is of that kind and without a device; add one to guests",
    ),
    On.PV: _some(
        lambda guest: _is_pv(guest) and not guest.devices,
        "no guest is of that kind and without a device; add one to guests",
    ),
    On.BROKEN: _some(lambda guest: not guest.devices, "no guest is without a device; add one"),
    On.PAGE_TABLE: _some(_is_pv, "there is no PV guest; add one to guests"),
    On.SUPERPAGE: _some(
        lambda guest: not _is_pv(guest) and guest.paging is Paging.HAP,
        "no guest has an EPT; add one of kind hvm to guests",
    ),
    On.DEVICE: _some(lambda guest: guest.devices, "no guest has a device; add guests.devices"),
    On.ON_DEMAND: _some(
        lambda guest: guest.populate_on_demand,
        "no guest populates on demand; add guests.populate_on_demand",
    ),
    On.SHADOW: _some(
        lambda guest: not _is_pv(guest), "no guest has a pool; add one of kind hvm to guests"
    ),
    On.HVM_STATE: _some(
        lambda guest: not _is_pv(guest), "there is no HVM guest; add one to guests"
    ),
    On.SHARED: _some(
        lambda guest: guest.shared_memory, "no guest shares memory; add guests.shared_memory"
    ),
    On.SHARED_INFO: _some(lambda _: True, "there is no guest; add one to guests"),
    On.MAPPED: Need(
        lambda guests, mappings: bool(mappings) or any(guest.rings for guest in guests),
        "nobody maps a guest's page; add guests.rings, or [[mappings]]",
    ),
    On.DYING: Need(
        lambda _, mappings: any(mapping.outlives_guest for mapping in mappings),
        "no mapping outlives its guest; add [[mappings]] with outlives_guest",
    ),
}
