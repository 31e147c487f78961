"""Flaws in a host that lives: their errors as they fall due, and none before its time.

What nobody was there to see, because the host was down, is passed over: it does not come later.
"""

import numpy as np

from emulator.machine.faults import Flaw
from emulator.machine.memory import Geometry
from emulator.machine.model import Model
from emulator.machine.stream import Chunk, joined, stream


class Flaws:
    """All flaws of one host. Times count from the begin of its world, as `Flaw.begins_ns` does."""

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        self._playing: list[_Playing] = []

    def add(self, flaw: Flaw, model: Model) -> None:
        self._playing.append(_Playing(flaw, model, self._geometry))

    def remove(self, dimms: list[int]) -> None:
        """Those of these DIMMs are gone with them."""
        self._playing = [each for each in self._playing if each.flaw.site.dimm not in dimms]

    @property
    def next_due_ns(self) -> int | None:
        """When the next error falls due; None if there is none any more."""
        due = (each.next_due_ns for each in self._playing)
        return min((at for at in due if at is not None), default=None)

    def due(self, now_ns: int) -> Chunk | None:
        """The errors up to `now_ns`, though not all of a storm at once; None if there are none."""
        found = [each.due(now_ns) for each in self._playing]
        chunks = [chunk for chunk in found if chunk is not None]
        return joined(chunks) if chunks else None

    def pass_over(self, now_ns: int) -> None:
        """Nobody was there until now."""
        while self.due(now_ns) is not None:
            pass


class _Playing:
    """One flaw, and how far it has come."""

    def __init__(self, flaw: Flaw, model: Model, geometry: Geometry) -> None:
        self.flaw = flaw
        self._chunks = stream([flaw], model, geometry)
        self._chunk: Chunk | None = None
        self._at = 0

    @property
    def next_due_ns(self) -> int | None:
        while self._chunk is None or self._at == len(self._chunk):
            self._chunk, self._at = next(self._chunks, None), 0
            if self._chunk is None:
                return None
        return int(self._chunk.time_ns[self._at])

    def due(self, now_ns: int) -> Chunk | None:
        next_ns = self.next_due_ns
        if self._chunk is None or next_ns is None or next_ns > now_ns:
            return None
        first = self._at
        self._at = int(np.searchsorted(self._chunk.time_ns, now_ns, "right"))
        return self._chunk[first : self._at]
