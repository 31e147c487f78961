"""The pages that are counted, DIMM by DIMM, where the host says which page lies on which."""

from dataclasses import dataclass

import numpy as np

from agent.contract.columns import I64
from agent.contract.hypercall import Interleave


@dataclass(frozen=True, slots=True)
class DimmPages:
    """How many of its pages are counted, and the worst of them: page and errors, most first."""

    tracked: int
    worst: tuple[tuple[int, int], ...]


def by_dimm(mfns: I64, errors: I64, lie: Interleave, worst_max: int) -> dict[str, DimmPages]:
    """Each DIMM that the host has; of pages with as many errors the lower one comes first."""
    place = mfns // lie.pages % len(lie.dimms)
    return {
        dimm: _of_one(mfns[place == at], errors[place == at], worst_max)
        for at, dimm in enumerate(lie.dimms)
    }


def _of_one(mfns: I64, errors: I64, worst_max: int) -> DimmPages:
    best = np.lexsort((mfns, -errors))[:worst_max]
    worst = zip(mfns[best].tolist(), errors[best].tolist(), strict=True)
    return DimmPages(len(mfns), tuple(worst))
