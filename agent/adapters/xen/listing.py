"""What `xl` prints of domains and of the host, read. Pure.

`xl list` knows how a domain is and how much memory it has, `xl list -l` what kind it is, its uuid
and its devices, so one guest is read from both. The uuid is what stays when a guest is restored or
migrated: name and id may be another's by then.

Where this is from: `xl`'s man page; the table and the JSON were read as a 4.17.7 printed them. The
JSON leaves out what has its default, so a device on bus 0 has no bus there.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from agent.contract.codec import one_line
from agent.contract.errors import PeerError
from agent.contract.frames import DOM0, DomId
from agent.contract.toolstack import DomainInfo, DomainState, GuestKind, Paging

PAGES_OF_MEBIBYTE = 256

_ROW = re.compile(
    r"^(?P<name>.*\S)\s+(?P<domid>\d+)\s+(?P<mebibytes>\d+)\s+\d+\s+(?P<state>[a-z?-]{6})\s+[\d.]+\s*$"
)
_DEVICE = re.compile(r"^pci-([0-9a-f]{4})-([0-9a-f]{2})-([0-9a-f]{2})\.([0-7])$")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of `xl list`."""

    domid: DomId
    name: str
    mebibytes: int
    letters: str

    @property
    def state(self) -> DomainState:
        paused, shut_down, why, dying = tuple(self.letters[2:])
        if dying == "d":
            return DomainState.DYING
        if shut_down == "s" or why in SHUT_DOWN:
            return SHUT_DOWN.get(why, DomainState.DYING)
        return DomainState.SUSPENDED if paused == "p" else DomainState.RUNNING

    @property
    def is_paused(self) -> bool:
        return self.letters[2] == "p"


@dataclass(frozen=True, slots=True)
class Guest:
    """A domain that is no dom0. `is_paused`: by somebody, or because it is being built."""

    info: DomainInfo
    uuid: UUID
    is_paused: bool

    @property
    def is_alive(self) -> bool:
        """False if it has ended, or is being built: all of it may be in an image."""
        return not self.is_paused and self.info.state is not DomainState.DYING

    @property
    def bytes(self) -> int:
        return self.info.pages << 12


class _Pci(BaseModel):
    domain: int = 0
    bus: int = 0
    dev: int = 0
    func: int = 0

    @property
    def name(self) -> str:
        return f"pci-{self.domain:04x}-{self.bus:02x}-{self.dev:02x}.{self.func}"


class _Identity(BaseModel):
    type: GuestKind
    name: str = ""
    uuid: UUID


class _Configuration(BaseModel):
    c_info: _Identity
    pcidevs: Annotated[tuple[_Pci, ...], Field(max_length=1024)] = ()


class _Entry(BaseModel):
    domid: int
    config: dict[str, object]


_ENTRIES = TypeAdapter(tuple[_Entry, ...])

# Six letters at six places: running, blocked, paused, shut down, why, dying. What has shut down for
# another reason than these has ended, and somebody is about to clear it away.
SHUT_DOWN: dict[str, DomainState] = {
    "s": DomainState.SUSPENDED,
    "c": DomainState.CRASHED,
    "w": DomainState.CRASHED,  # its watchdog has
}
PAGING = {GuestKind.PV: Paging.PV, GuestKind.PVH: Paging.HAP, GuestKind.HVM: Paging.HAP}


def rows(text: str) -> tuple[Row, ...]:
    """Every line of `xl list` that is one; the heading is none."""
    found = (_ROW.match(line) for line in text.splitlines())
    return tuple(
        Row(DomId(int(row["domid"])), row["name"], int(row["mebibytes"]), row["state"])
        for row in found
        if row is not None
    )


def guests(table: str, details: str) -> tuple[Guest, ...]:
    """All domains but dom0 that both listings know. One that was not made by `xl` has no details;
    it cannot be saved by `xl` either, and is not told.

    Raises:
        PeerError: if `details` is not what `xl list -l` prints.
    """
    known = _configurations(details)
    return tuple(
        _guest(row, known[row.domid])
        for row in rows(table)
        if row.domid in known and row.domid != DOM0
    )


def free_pages(info: str) -> int:
    """From what `xl info` prints.

    Raises:
        PeerError: if it does not say.
    """
    try:
        return int(facts(info)["free_memory"]) * PAGES_OF_MEBIBYTE
    except (KeyError, ValueError):
        raise PeerError("xl info does not say how much memory is free") from None


def facts(info: str) -> Mapping[str, str]:
    """The lines of `xl info`, by their names."""
    pairs = (line.partition(":") for line in info.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def address_of(device: str) -> str | None:
    """Where the PCI device of that name is, as `xl` wants it: `0000:03:00.0`."""
    found = _DEVICE.match(device)
    return f"{found[1]}:{found[2]}:{found[3]}.{found[4]}" if found else None


def _configurations(details: str) -> dict[int, _Configuration]:
    try:
        entries = _ENTRIES.validate_python(json.loads(details or "[]"))
    except (ValueError, RecursionError) as error:
        why = one_line(error) if isinstance(error, ValidationError) else "not JSON"
        raise PeerError(f"xl list -l cannot be read: {why}") from None
    return dict(_readable(entries))


def _readable(entries: Iterable[_Entry]) -> Iterable[tuple[int, _Configuration]]:
    """Those that say what a guest must have; what `xl` knows of dom0 need not."""
    for entry in entries:
        try:
            yield entry.domid, _Configuration.model_validate(entry.config)
        except ValidationError:
            continue


def _guest(row: Row, known: _Configuration) -> Guest:
    info = DomainInfo(
        domid=row.domid,
        name=row.name,
        kind=known.c_info.type,
        state=row.state,
        pages=row.mebibytes * PAGES_OF_MEBIBYTE,
        paging=PAGING[known.c_info.type],
        devices=tuple(device.name for device in known.pcidevs),
    )
    return Guest(info, known.c_info.uuid, row.is_paused)
