"""Flaws to put into simulated hardware, and what comes of them."""

from collections.abc import Sequence
from dataclasses import replace

from emulator import presets
from emulator.machine.faults import Flaw, Mode, Persistence, Site
from emulator.machine.memory import Geometry
from emulator.machine.model import Model
from emulator.machine.stream import Chunk, joined, stream

DDR4 = presets.load("ddr4").model
HOST = presets.load("ddr4").host
SITE = Site(dimm=3, rank=1, bank_group=2, bank=1, row=1234, column=56)


def a_flaw(
    mode: Mode = Mode.ROW,
    errors: int = 1000,
    persistence: Persistence = Persistence.PERMANENT,
    begins_ns: int = 0,
    seed: int = 8412,
    uncorrected_at: int | None = None,
) -> Flaw:
    return Flaw(mode, persistence, SITE, begins_ns, errors, uncorrected_at, seed)


def all_of(
    flaws: Sequence[Flaw],
    model: Model = DDR4,
    geometry: Geometry = HOST,
    until_ns: int = 1 << 62,
) -> Chunk:
    """All their errors in one piece; there must be some."""
    return joined(list(stream(flaws, model, geometry, until_ns)))


def without_scrubber(model: Model) -> Model:
    """All errors are found by programs, so that gaps are as they are drawn."""
    return replace(model, arrivals=replace(model.arrivals, scrub_share={}))
