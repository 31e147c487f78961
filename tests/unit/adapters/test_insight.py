"""What is known of a page is what engine, case and hypervisor say; of a DIMM, what lies on it."""

import numpy as np

from agent.adapters.insight import Insight
from agent.contract.frames import Mfn
from agent.contract.hypercall import HostReply, Interleave, PageUse
from agent.contract.status import CaseView, Rest
from agent.diagnosis.admission import Admission
from agent.diagnosis.diagnosis import Diagnosis
from agent.diagnosis.engines import SerdSettings
from agent.diagnosis.policy import Policy
from agent.retirement.states import State
from tests.support.cases import BOOT, a_case
from tests.support.driving import Bench
from tests.support.host import FIRST, UNHEARD, Host, Page, a_host

HOUR_NS = 3600 * 10**9
HOST = HostReply(
    host="h",
    boot_id=BOOT,
    frames=FIRST + 1000,
    personality="thread",
    interleave=Interleave(dimms=("A", "B")),
)


async def no_story(case_id: str) -> CaseView:
    return CaseView(
        id=case_id, mfn=FIRST, state="retired", rest=Rest.RETIRED, opened_at=1.0, moved_at=1.0
    )


def an_insight(host: Host) -> Insight:
    bench = Bench(host)
    diagnosis = Diagnosis(Admission("h"), Policy(SerdSettings(2, 24 * HOUR_NS, 16), HOST.frames))
    one = np.array([FIRST], np.int64)
    diagnosis.policy.serd.record(one, np.array([HOUR_NS], np.int64), np.ones(1, np.int64))
    return Insight(HOST, diagnosis, bench.docket, bench.driver(), {"A": 5}, no_story)


async def test_a_page_is_told_with_its_count_its_holder_and_what_would_be_done() -> None:
    view = await an_insight(a_host(Page(PageUse.PV))).page(Mfn(FIRST))
    assert view is not None
    assert (view.dimm, view.counted.errors, view.counted.missing) == ("A", 1, 1)
    assert view.host is not None
    assert (view.host.use, view.host.owner) == (PageUse.PV, 7)
    assert view.would is not None
    assert view.would.rungs[0] == "exchange"


async def test_to_ask_why_asks_the_hypervisor_for_nothing() -> None:
    host = a_host(Page(PageUse.PV))
    await an_insight(host).page(Mfn(FIRST))
    assert host.commands == []


async def test_a_hypervisor_that_does_not_answer_leaves_the_rest_told() -> None:
    host = a_host(Page())
    host.trouble["query"] = [UNHEARD]
    view = await an_insight(host).page(Mfn(FIRST))
    assert view is not None
    assert view.silence == "query: no answer"
    assert view.would is None
    assert view.counted.errors == 1


async def test_a_page_beyond_the_memory_is_none() -> None:
    assert await an_insight(a_host(Page())).page(Mfn(HOST.frames)) is None


def test_a_dimm_is_told_with_what_lies_on_it() -> None:
    insight = an_insight(a_host(Page()))
    insight.docket.put(a_case(State.RETIRED, dimm="B", rank=1))
    first, second = insight.dimms().dimms
    assert (first.dimm, first.errors, first.pages_tracked) == ("A", 5, 1)
    assert [(page.mfn, page.errors) for page in first.worst] == [(FIRST, 1)]
    assert (second.dimm, second.pages_retired, second.wear[0].rank) == ("B", 1, 1)
