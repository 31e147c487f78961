"""Four tests that every way through the ladder inherits, judged from the host's truth.

Each step done twice; each step failing, in each way; the power going off at each line; an answer
lost, or never on its way. A *world* below is a host and what the operator allows on it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from agent.contract.hypercall import PageUse
from agent.contract.toolstack import HERE, DomainState, ToolOutcome
from agent.retirement.ladder import Rung, Terms
from agent.retirement.states import State
from tests.support.driving import Bench, ListLog, cases_of, quick
from tests.support.host import LATE, LOST, UNHEARD, Host, Page, Power, PowerCut, Trouble, a_host

ANY = Terms()


@dataclass(frozen=True)
class World:
    make: Callable[[], Host]
    terms: Terms = ANY
    rest: State = State.RETIRED

    def bench(self, power: Power | None = None) -> Bench:
        power = power or Power()
        host = self.make()
        host.power = power
        return Bench(host, quick(self.terms), ListLog(power))


def only(*rungs: Rung, to: str = "") -> Terms:
    return Terms(rungs, to)


def with_peer(host: Host) -> Host:
    host.peers["hv-2"] = 1000
    return host


def crashed(host: Host) -> Host:
    host.guests[7].state = DomainState.CRASHED
    return host


WORLDS: dict[str, World] = {
    "a free page": World(lambda: a_host(Page(PageUse.FREE, None))),
    "a page of dom0": World(lambda: a_host(Page(PageUse.DOM0, 0)), rest=State.PARKED),
    "Xen's heap": World(lambda: a_host(Page(PageUse.XEN_HEAP, None)), rest=State.UNRETIRABLE),
    "a shared page": World(lambda: a_host(Page(PageUse.SHARED)), rest=State.PARKED),
    "a broken page": World(lambda: a_host(Page(is_broken=True)), rest=State.PARKED),
    "swap": World(lambda: a_host(Page(PageUse.HVM))),
    "exchange": World(lambda: a_host(Page())),
    "exchange of a page table": World(lambda: a_host(Page(PageUse.PAGE_TABLE))),
    "exchange of three": World(lambda: a_host(Page(), Page(), Page(PageUse.PAGE_TABLE))),
    "drop shadows": World(lambda: a_host(Page(PageUse.SHADOW), Page(PageUse.SHADOW))),
    "save and restore": World(lambda: a_host(Page(PageUse.HVM_STATE), Page(PageUse.HVM_STATE))),
    "save and exchange": World(lambda: a_host(Page(), Page(PageUse.HVM_STATE), Page())),
    "migrate here": World(lambda: a_host(Page(), Page()), only(Rung.MIGRATE, to=HERE)),
    "migrate to a peer": World(
        lambda: with_peer(a_host(Page(), Page())), only(Rung.MIGRATE, to="hv-2")
    ),
    "mapped by others": World(lambda: a_host(Page(mappers=(9,))), rest=State.PARKED),
    "a device, and a swap": World(lambda: a_host(Page(PageUse.HVM), devices=("nic",))),
    "devices, and an exchange": World(lambda: a_host(Page(), Page(), devices=("nic", "gpu"))),
    "a device, and a save": World(lambda: a_host(Page(PageUse.HVM_STATE), devices=("nic",))),
    "a device, and a migration here": World(
        lambda: a_host(Page(), devices=("nic",)), only(Rung.MIGRATE, to=HERE)
    ),
    "a crashed guest": World(lambda: crashed(a_host(Page(PageUse.HVM)))),
    "a crashed guest with a device": World(
        lambda: crashed(a_host(Page(PageUse.HVM), Page(), devices=("nic",))), rest=State.PARKED
    ),
    "a device, and all kinds": World(
        lambda: a_host(
            Page(PageUse.HVM), Page(), Page(PageUse.SHADOW), Page(PageUse.HVM_STATE),
            devices=("nic",),
        )
    ),
}  # fmt: skip

EVERY_WORLD = pytest.mark.parametrize("name", WORLDS)


def judge(bench: Bench, after: str = "") -> None:
    """From the host's truth: nobody stands still or lacks a device, no retired page is used."""
    assert bench.host.stopped == [], after
    assert bench.host.without_device == [], after
    assert bench.host.harm == [], after
    retired = [case.mfn for case in bench.docket.cases if case.state is State.RETIRED]
    assert all(bench.host.is_offlined(mfn) for mfn in retired), after


@EVERY_WORLD
async def test_every_way_leads_to_rest(name: str) -> None:
    bench = WORLDS[name].bench()
    await bench.settle(*cases_of(bench.host))
    judge(bench)
    assert bench.rests == {WORLDS[name].rest}


@EVERY_WORLD
async def test_each_step_may_be_done_twice(name: str) -> None:
    bench = WORLDS[name].bench()
    bench.twice = True
    await bench.settle(*cases_of(bench.host))
    judge(bench)
    assert bench.rests == {WORLDS[name].rest}


async def commands_of(world: World) -> list[str]:
    """The calls that this world's way is made of."""
    bench = world.bench()
    await bench.settle(*cases_of(bench.host))
    return list(dict.fromkeys(call for call in bench.host.calls if call != "domains"))


@pytest.mark.parametrize("trouble", [*ToolOutcome, LOST, UNHEARD])
@EVERY_WORLD
async def test_each_step_may_fail_in_each_way(name: str, trouble: Trouble) -> None:
    for call in await commands_of(WORLDS[name]):
        bench = WORLDS[name].bench()
        bench.host.trouble[call] = [trouble]
        await bench.settle(*cases_of(bench.host))
        judge(bench, f"{call}: {trouble}")


@pytest.mark.parametrize("then", [ToolOutcome.REFUSED, ToolOutcome.FAILED, ToolOutcome.TRY_AGAIN])
@EVERY_WORLD
async def test_a_lost_answer_may_be_followed_by_a_no(name: str, then: ToolOutcome) -> None:
    """The first try was carried out; the second is refused for that very reason."""
    for call in await commands_of(WORLDS[name]):
        bench = WORLDS[name].bench()
        bench.host.trouble[call] = [LOST, then]
        await bench.settle(*cases_of(bench.host))
        judge(bench, f"{call}: lost, then {then}")


@pytest.mark.parametrize("then", [ToolOutcome.DONE, ToolOutcome.REFUSED])
@EVERY_WORLD
async def test_each_step_may_be_carried_out_late(name: str, then: ToolOutcome) -> None:
    """When nobody waits for it any more, and all that followed is over."""
    for call in await commands_of(WORLDS[name]):
        bench = WORLDS[name].bench()
        bench.host.trouble[call] = [LATE, then]
        await bench.settle(*cases_of(bench.host), until=bench.all_settled)
        judge(bench, f"{call}: late, then {then}")


@EVERY_WORLD
async def test_the_power_may_go_off_at_each_line(name: str) -> None:
    """Before each call, after it, before each commit, and after it."""
    world = WORLDS[name]
    whole = world.bench()
    await whole.settle(*cases_of(whole.host))
    for line in range(whole.log.power.lines):
        power = Power(off_at=line)
        bench = world.bench(power)
        bench.log.commits.append(cases_of(bench.host))
        try:
            await bench.settle(*cases_of(bench.host))
        except* PowerCut:
            await bench.live_again()
        judge(bench, f"power cut at line {line}")
        assert bench.rests == {world.rest}, f"power cut at line {line}"
