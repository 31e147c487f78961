"""What a glance shows of rows and banks. The rest of it is seen by the tests of the whole line."""

from agent.adapters.health import HealthBoard
from agent.adapters.overview import Overview
from agent.adapters.page import page
from agent.contract.status import HotPlace
from agent.diagnosis.admission import Admission
from agent.diagnosis.diagnosis import Diagnosis
from agent.diagnosis.dram import Dram
from agent.diagnosis.engines import SerdSettings
from agent.diagnosis.policy import Policy
from agent.retirement.caps import Caps
from agent.retirement.docket import Docket
from agent.retirement.manners import Manners
from tests.support.batches import HOST, a_batch

TWO, THREE = SerdSettings(2, 1_000_000, 100), SerdSettings(3, 1_000_000, 100)


async def no_steps(_: str) -> tuple[tuple[int, str, str], ...]:
    return ()


def an_overview(dram: Dram) -> Overview:
    """Three errors: two in row 4242 of a bank, and one in another row of it."""
    diagnosis = Diagnosis(Admission(HOST), Policy(TWO, None, dram))
    batch = a_batch([0, 1, 2], dimms=["A1"] * 3, banks=[(1, 7)] * 3, rows=[4242, 4242, 5])
    diagnosis.take(batch)
    return Overview(
        HOST, "1.2.3", diagnosis, Docket(Caps(10)), HealthBoard(600.0), no_steps, Manners
    )


def test_the_status_tells_of_rows_that_failed_and_then_of_those_that_may() -> None:
    status = an_overview(Dram(TWO, THREE)).status()
    assert status.hot_rows == (
        HotPlace(dimm="A1", rank=1, bank=7, row=4242, errors=2, threshold=2),
        HotPlace(dimm="A1", rank=1, bank=7, row=5, errors=1, threshold=2),
    )


def test_the_status_tells_of_banks_what_their_failed_rows_do_not_explain() -> None:
    (bank,) = an_overview(Dram(TWO, THREE)).status().hot_banks
    assert bank == HotPlace(dimm="A1", rank=1, bank=7, errors=2, threshold=3)


def test_the_page_says_which_rows_are_failing() -> None:
    shown = page(an_overview(Dram(TWO, THREE)).glance("enforce", 0))
    failing = '<th scope="row">A1</th><td>1</td><td>7</td><td>4,242</td><td>2 of 2</td>'
    assert f"{failing}<td>failing</td>" in shown
    assert "<td>5</td><td>1 of 2</td><td>not yet</td>" in shown


def test_the_page_has_no_rows_where_none_are_judged() -> None:
    shown = page(an_overview(Dram()).glance("enforce", 0))
    assert '<h2 id="hottest-rows">Hottest rows</h2>\n<p>None.</p>' in shown
