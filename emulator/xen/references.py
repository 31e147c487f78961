"""Who maps a page beside its owner, and why it is not freed before they have let go.

    owner lets go, nobody maps it   ──► freed: FREE, or OFFLINED if it was OFFLINING
    owner lets go, others map it    ──► lingers: still its owner's, though the owner may be gone
    the last of them lets go        ──► freed

A grant and a privileged domain's foreign mapping count alike: what matters is that somebody may
still write to the frame.
"""

from collections import Counter
from collections.abc import Callable
from collections.abc import Set as AbstractSet

import numpy as np

from agent.contract.columns import I64
from agent.contract.frames import DomId, Mfn

Free = Callable[[I64], None]


class References:
    """The mappings of others, on one host. `free` is what becomes of a page nobody wants."""

    def __init__(self, free: Free) -> None:
        self._free = free
        self._mappers: dict[Mfn, Counter[DomId]] = {}
        self._lingering: set[Mfn] = set()

    def mappers(self, mfn: Mfn) -> tuple[DomId, ...]:
        """The domains that map this frame beside its owner, each once."""
        return tuple(sorted(self._mappers.get(mfn, ())))

    @property
    def mapped(self) -> AbstractSet[Mfn]:
        """Every frame that somebody maps beside its owner."""
        return self._mappers.keys()

    @property
    def lingering(self) -> AbstractSet[Mfn]:
        """Frames that their owner let go of and others have not."""
        return self._lingering

    def map(self, mfn: Mfn, mapper: DomId) -> None:
        self._mappers.setdefault(mfn, Counter())[mapper] += 1

    def unmap(self, mfn: Mfn, mapper: DomId) -> None:
        """One mapping fewer.

        Raises:
            ValueError: if `mapper` has none of this frame: it would take a reference too many.
        """
        mappers = self._mappers.get(mfn, Counter[DomId]())
        if not mappers[mapper]:
            raise ValueError(f"domain {mapper} does not map frame {mfn:#x}")
        mappers[mapper] -= 1
        self._mappers[mfn] = +mappers
        if not self._mappers[mfn]:
            self._let_go(mfn)

    def release(self, mfns: I64) -> None:
        """The owner of these frames lets go of them. What nobody else maps is freed by that."""
        held = np.array([mfn for mfn in mfns.tolist() if mfn in self._mappers], np.int64)
        self._lingering.update(map(Mfn, held.tolist()))
        self._free(mfns[~np.isin(mfns, held)])

    def _let_go(self, mfn: Mfn) -> None:
        del self._mappers[mfn]
        if mfn in self._lingering:
            self._lingering.remove(mfn)
            self._free(np.array([mfn], np.int64))
