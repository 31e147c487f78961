"""Whatever a host answers, in whatever order: in the end guests run, and every case rests."""

import asyncio
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.contract.frames import Mfn
from agent.contract.hypercall import PageStatus, PageUse
from agent.contract.toolstack import HERE, ToolOutcome
from agent.retirement.ladder import Terms
from agent.retirement.states import State
from tests.support.driving import Bench, ListLog, cases_of, quick
from tests.support.host import LATE, LOST, UNHEARD, Domain, Host, Page, Power, PowerCut, a_host

CALLS = (
    *("offline", "query", "swap", "suspend", "exchange", "resume", "save", "restore"),
    *("migrate", "detach", "attach", "drop_shadows"),
)
USES = (PageUse.HVM, PageUse.PV, PageUse.PAGE_TABLE, PageUse.SHADOW, PageUse.HVM_STATE)

# Ends of guests are left out here: whoever is destroyed need not run.
answers = st.sampled_from([LOST, UNHEARD, LATE, *set(ToolOutcome) - {ToolOutcome.NO_SUCH_DOMAIN}])
troubles = st.dictionaries(st.sampled_from(CALLS), st.lists(answers, max_size=6))
pages = st.lists(
    st.builds(
        Page,
        use=st.sampled_from(USES),
        owner=st.sampled_from([7, 7, 8]),
        mappers=st.sampled_from([(), (), (9,)]),
    ),
    min_size=1,
    max_size=5,
)
devices = st.sampled_from([(), (), ("nic",), ("gpu", "nic")])


@st.composite
def hosts(draw: st.DrawFn) -> Host:
    host = a_host(*draw(pages), devices=draw(devices))
    host.guests[8] = Domain("web")
    host.trouble = draw(troubles)
    return host


async def live(host: Host, cuts: list[int], recalls: dict[str, set[int]] | None = None) -> Bench:
    """Drive every page of the host to rest, with the power going off after so many lines.

    Pages are recalled as a call is made: a request, so that the next life knows of it too.
    """
    bench = Bench(host, quick(Terms(migrate_to=HERE)), ListLog(host.power))
    bench.log.commits.append(cases_of(host))
    host.power.off_at = cuts.pop() if cuts else None
    recalled = set[Mfn]()
    for call, mfns in (recalls or {}).items():
        host.when[call] = partial(recall, bench, recalled, mfns)
    begin = bench.settle(*cases_of(host), until=bench.all_settled)
    while True:
        try:
            await begin
        except* PowerCut:
            begin = bench.live_again(*recalled, until=bench.all_settled)
            host.power.off_at = host.power.lines + cuts.pop() if cuts else None
        else:
            return bench


def recall(bench: Bench, recalled: set[Mfn], nths: set[int]) -> None:
    for mfn in {mfn for nth, mfn in enumerate(bench.host.pages) if nth in nths}:
        recalled.add(Mfn(mfn))
        bench.recall(Mfn(mfn))


@settings(max_examples=150)
@given(hosts(), st.lists(st.integers(0, 60), max_size=4))
def test_whatever_happens_every_guest_runs_with_its_devices_and_every_case_rests(
    host: Host, cuts: list[int]
) -> None:
    host.power = Power()
    bench = asyncio.run(live(host, cuts))
    assert (host.stopped, host.without_device, host.harm) == ([], [], [])
    assert bench.rests <= {state for state in State if state.is_at_rest}
    for case in bench.docket.cases:
        assert case.state is not State.RETIRED or host.is_offlined(case.mfn)


recalls = st.dictionaries(
    st.sampled_from([*CALLS, "domains"]), st.sets(st.integers(0, 4)), max_size=4
)


@settings(max_examples=150)
@given(hosts(), st.lists(st.integers(0, 60), max_size=4), recalls)
def test_whatever_happens_a_recalled_page_is_back_and_no_guest_is_harmed(
    host: Host, cuts: list[int], recalls: dict[str, set[int]]
) -> None:
    host.power = Power()
    bench = asyncio.run(live(host, cuts, recalls))
    assert (host.stopped, host.without_device, host.harm) == ([], [], [])
    for case in bench.docket.cases:
        assert not bench.docket.is_recalled(case.mfn)
        if case.state is State.RETURNED:
            assert host.pages[case.mfn].status is PageStatus.ONLINE
