"""A recording as this host's own: one contract `Ereport` in JSON a line, as `decode --json` prints.

It is read twice. First for the frames it names: they are dealt out in turn, so that a third of them
is free, a third belongs to an HVM guest and a third to a PV guest, and each rung of the ladder has
work. Then for the records, which are published under this host's name, boot and numbers, with their
times, counts and coordinates as recorded. A frame that this host does not have is published all the
same: to refuse it is the agent's business.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import TextIO
from uuid import UUID

from pydantic import ValidationError

from agent.contract.codec import from_ereports, one_line
from agent.contract.columns import Batch
from agent.contract.ereport import BATCH_MAX, Ereport
from agent.contract.frames import Mfn, mfn_of
from agent.contract.toolstack import GuestKind
from emulator.errors import EmulatorError
from emulator.xen.layout import GuestSpec, Layout

_LINE_BYTES_MAX = 1 << 16


@dataclass(frozen=True, slots=True)
class Recording:
    """A file of ereports; reading it raises an EmulatorError that names the line."""

    path: Path

    def frames(self) -> list[Mfn]:
        """Each located frame once, in the order of its first error."""
        located = (e.address for e in self.ereports() if e.address is not None)
        return list(dict.fromkeys(map(mfn_of, located)))

    def batches(self, host: str, boot_id: UUID) -> Iterator[Batch]:
        """All records, numbered from 0."""
        ours = self._numbered(host, boot_id)
        while part := list(islice(ours, BATCH_MAX)):
            yield from_ereports(part)

    def ereports(self) -> Iterator[Ereport]:
        try:
            with self.path.open(encoding="utf-8") as file:
                yield from self._parsed(file)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise EmulatorError(f"{self.path}: cannot be read: {reason}") from None

    def _parsed(self, file: TextIO) -> Iterator[Ereport]:
        for number in count(1):
            line = file.readline(_LINE_BYTES_MAX)
            if not line:
                return
            if line.strip():
                yield self._parse(line, number)

    def _parse(self, line: str, number: int) -> Ereport:
        try:
            return Ereport.model_validate_json(line)
        except ValidationError as error:
            raise EmulatorError(f"{self.path}:{number}: {one_line(error)}") from None

    def _numbered(self, host: str, boot_id: UUID) -> Iterator[Ereport]:
        for seq, ereport in enumerate(self.ereports()):
            yield ereport.model_copy(update={"host": host, "boot_id": boot_id, "seq": seq})


def dealt(layout: Layout, frames: Sequence[Mfn]) -> Layout:
    """`layout` with the recording's frames dealt in turn: free, HVM, PV, free, …

    The rest of each guest is put beside them, so that the free ones stay free. Frames of Xen, of
    dom0 and beyond the host stay what they are.

    Raises:
        EmulatorError: without a guest of each kind, or without room for them.
    """
    reserved = layout.behind(layout.xen_heap_frames + layout.dom0_frames)
    usable = [m for m in frames if reserved <= m < layout.frames and not layout.is_placed(m)]
    named = frozenset(usable)
    others = map(Mfn, range(reserved, layout.frames))
    rest = (mfn for mfn in others if mfn not in named and not layout.is_placed(mfn))
    hands = {
        _first(layout, GuestKind.HVM): usable[1::3],
        _first(layout, GuestKind.PV): usable[2::3],
    }
    guests = tuple(_seated(spec, hands.get(spec.name, []), rest) for spec in layout.guests)
    return replace(layout, guests=guests)


def _first(layout: Layout, kind: GuestKind) -> str:
    for guest in layout.guests:
        if guest.kind is kind:
            return guest.name
    raise EmulatorError(
        f"--replay: needs a guest of kind {kind} to deal pages to; add one to guests"
    )


def _seated(spec: GuestSpec, hand: list[Mfn], rest: Iterator[Mfn]) -> GuestSpec:
    pages = max(spec.pages, len(hand))
    at = (*hand, *islice(rest, pages - len(hand)))
    if len(at) < pages:
        raise EmulatorError(f"--replay: host.memory has no room for guest {spec.name}")
    return replace(spec, pages=pages, at=at)
