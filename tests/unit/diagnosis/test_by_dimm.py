"""Counted pages go to the DIMM that the host says they lie on."""

import numpy as np

from agent.contract.hypercall import Interleave
from agent.diagnosis.by_dimm import DimmPages, by_dimm
from agent.diagnosis.engines import Serd, Standing

LIE = Interleave(dimms=("A", "B"), pages=2)  # 0 1 are A's, 2 3 B's, 4 5 A's …
SECOND = 1_000_000_000


def columns(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(numbers, np.int64)


def test_each_dimm_has_its_pages_and_the_worst_first() -> None:
    found = by_dimm(columns(0, 1, 2, 4), columns(1, 2, 1, 2), LIE, worst_max=2)
    assert found == {"A": DimmPages(3, ((1, 2), (4, 2))), "B": DimmPages(1, ((2, 1),))}


def test_a_dimm_without_counted_pages_is_there_too() -> None:
    assert by_dimm(columns(), columns(), LIE, worst_max=2)["B"] == DimmPages(0, ())


def test_the_standing_of_a_page_is_what_the_engine_would_say() -> None:
    serd = Serd(n=3, window_ns=10 * SECOND, pages_max=16)
    serd.record(columns(7, 7, 9), columns(SECOND, 2 * SECOND, SECOND), columns(1, 1, 3))
    assert serd.standing(7) == Standing(2, fired=False, times_ns=(SECOND, 2 * SECOND))
    assert serd.standing(9) == Standing(3, fired=True, times_ns=(SECOND, SECOND))
    assert serd.standing(8) == Standing(0, fired=False)
    assert dict(zip(*(column.tolist() for column in serd.all()), strict=True)) == {7: 2, 9: 3}
