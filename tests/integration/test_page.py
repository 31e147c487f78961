"""The agent's own page in a real browser: it shows what there is, renews itself, fits a phone."""

from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from agent.adapters.health import HealthBoard
from agent.adapters.http import PublicServer
from agent.adapters.page import CASES_SHOWN, DimmLine, Glance, page
from agent.contract.status import CaseView, HotPage, HotPlace, Rest, StatusView
from tests.support import chromium
from tests.support.chromium import Tab
from tests.support.needs import missing

STATUS = StatusView(
    host="hv-1.rack-7.example",
    version="1.2.3",
    healthy=True,
    errors=1234,
    hot_pages=(HotPage(mfn=0x1234, errors=1, threshold=2),),
    hot_rows=(
        HotPlace(dimm="CPU0_C1_D0", rank=1, bank=7, row=101_410, errors=4, threshold=4),
        HotPlace(dimm="CPU0_C1_D0", rank=1, bank=7, row=5, errors=1, threshold=4),
    ),
    hot_banks=(HotPlace(dimm="CPU0_C1_D0", rank=1, bank=7, errors=9, threshold=16),),
    cases={"open": 1, "retired": 2},
)
CASE = CaseView(
    id="c1",
    mfn=0xBEEF,
    state="retired",
    rest=Rest.RETIRED,
    use="hvm",
    reason="2_errors_in_24_h <script>document.title='hit'</script>",
    dimm="CPU0_C1_D0",
    opened_at=1.0,
    moved_at=2.0,
)
GLANCE = Glance(
    at_ns=1_767_225_600_000_000_000,
    mode="enforce",
    status=STATUS,
    cases=(CASE,),
    dimms=(DimmLine("CPU0_C1_D0", "PGWD-DDR5-4800/DEADBEEF", 1234, 3),),
    pages_per_rank_max=64,
    pages_taken=3,
    pages_max=1000,
)
LONG = "the toolstack does not answer: /run/pagewarden/toolstack.sock: no answer in 120 s"


class Shown:
    """What the page is made of; a test may change it while somebody looks."""

    glance = GLANCE

    def page(self) -> str:
        return page(self.glance)


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
def url(shown: Shown) -> Iterator[str]:
    server = PublicServer(("127.0.0.1", 0), CollectorRegistry(), HealthBoard(600.0))
    server.show(shown.page)
    yield f"http://127.0.0.1:{server.port}/"
    server.close()


@pytest.fixture
async def tab(url: str, tmp_path: Path) -> AsyncGenerator[Tab]:
    if chromium.PROGRAM is None:
        missing("chromium")
    async with chromium.tab(tmp_path) as opened:
        await opened.go(url)
        yield opened


async def test_the_page_shows_host_dimms_pages_and_cases(tab: Tab) -> None:
    text = await tab.said("document.body.innerText")
    for word in (
        "hv-1.rack-7.example",
        "DEADBEEF",
        "0x1234",
        "0xbeef",
        "1,234",
        "101,410",
        "enforce",
    ):
        assert word in text


async def test_what_others_have_written_is_text_and_no_script(tab: Tab) -> None:
    assert await tab.said("document.title") == "hv-1.rack-7.example: pagewarden"
    assert "<script>document" in await tab.said("document.body.innerText")


async def test_it_renews_itself_and_tells_of_its_health(tab: Tab, shown: Shown) -> None:
    await tab.said("window.before = document.getElementById('health')")
    shown.glance = replace(
        GLANCE, mode="observe", status=STATUS.model_copy(update={"ailments": (LONG,)})
    )
    await tab.until("document.querySelector('main').innerText.includes('observe')")
    assert await tab.said("document.getElementById('health').textContent") == f"ailing: {LONG}"
    assert await tab.said("window.before.isConnected"), "a live region must stay to be heard"


async def test_it_needs_nothing_from_elsewhere_and_complains_of_nothing(tab: Tab, url: str) -> None:
    await tab.said("renew()")
    asked = {event["request"]["url"] for event in tab.told("Network.requestWillBeSent")}
    assert asked <= {url, f"{url}favicon.ico"}
    assert tab.told("Runtime.exceptionThrown") == []


@pytest.mark.parametrize("width", [390, 1280])
async def test_it_is_no_wider_than_what_one_looks_at_it_with(
    tab: Tab, shown: Shown, width: int
) -> None:
    many = tuple(replace_case(number) for number in range(CASES_SHOWN))
    shown.glance = replace(
        GLANCE, cases=many, status=STATUS.model_copy(update={"ailments": (LONG * 3,)})
    )
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    await tab.do("Emulation.setDeviceMetricsOverride", **size)
    await tab.do("Page.reload")
    await tab.until("document.body.innerText.includes('c49')")
    assert await tab.said("document.documentElement.scrollWidth") <= width


def replace_case(number: int) -> CaseView:
    return CASE.model_copy(update={"id": f"c{number}", "reason": LONG})


async def test_a_screen_reader_finds_its_way(tab: Tab) -> None:
    """Headings, a status, and tables whose cells have headings in both directions."""
    tree = (await tab.do("Accessibility.getFullAXTree"))["nodes"]
    roles = [node["role"]["value"] for node in tree if not node["ignored"]]
    names = {
        node["name"]["value"]
        for node in tree
        if not node["ignored"] and node["role"]["value"] == "heading"
    }
    assert names == {
        "hv-1.rack-7.example",
        "DIMMs",
        "Pages nearest to their threshold",
        "Hottest rows",
        "Hottest banks",
        "Cases",
    }
    assert {"banner", "main", "status", "region", "table", "columnheader", "rowheader"} <= {*roles}
    assert await tab.said("document.documentElement.lang") == "en"
