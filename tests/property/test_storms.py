"""Whatever is stuck, and however many: the commands that are given in an hour are bounded."""

import asyncio

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.contract.hypercall import PageUse
from agent.contract.toolstack import HERE, ToolOutcome
from agent.retirement.ladder import Terms
from agent.retirement.manners import Manners
from tests.property.test_retirement import CALLS
from tests.simulation.loop import run_virtual
from tests.support.driving import Bench, cases_of
from tests.support.host import UNHEARD, Domain, Host, Page, Trouble, a_host

HOUR_SECONDS = 3600.0
NS = 1_000_000_000

# A page that is watched is looked at once a minute, with three calls. What is given again and again
# by itself comes every five minutes in the end, or, while a guest waits for it, every five seconds,
# with a question where the guest lives now.
CALLS_A_PAGE = 3 * 60 + 60
CALLS_A_GUEST = 2 * 720 + 60
USES = (PageUse.FREE, PageUse.HVM, PageUse.PV, PageUse.SHADOW, PageUse.HVM_STATE, PageUse.SHARED)


class Always(list[Trouble]):
    """Trouble that does not end."""

    def pop(self, _: object = None) -> Trouble:
        return self[0]


def stuck(uses: list[PageUse], trouble: dict[str, Trouble], guests: int) -> Host:
    """A host whose pages nobody can help."""
    owners = [7 + at % guests for at in range(len(uses))]
    pages = (
        Page(use, None if use is PageUse.FREE else owner)
        for use, owner in zip(uses, owners, strict=True)
    )
    host = a_host(*pages, devices=("nic",))
    for domid in range(8, 7 + guests):
        host.guests[domid] = Domain(f"guest-{domid}")
    host.trouble = {call: Always([answer]) for call, answer in trouble.items()}
    return host


async def an_hour(host: Host) -> None:
    """The driver, with the manners of the shipped configuration."""
    loop = asyncio.get_running_loop()
    manners = Manners(terms=Terms(migrate_to=HERE))
    bench = Bench(host, manners, clock=lambda: round(loop.time() * NS))
    driver = bench.driver()
    for case in cases_of(host):
        bench.docket.put(case)
        driver.submit(case)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(driver.run())
        await asyncio.sleep(HOUR_SECONDS)
        running.cancel()


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(USES), min_size=1, max_size=12),
    st.dictionaries(st.sampled_from(CALLS), st.sampled_from([UNHEARD, *ToolOutcome])),
    st.integers(1, 3),
)
@example([PageUse.SHADOW], {"attach": ToolOutcome.TRY_AGAIN}, 1)  # as near as any comes
def test_stuck_cases_are_no_storm(
    uses: list[PageUse], trouble: dict[str, Trouble], guests: int
) -> None:
    host = stuck(uses, trouble, guests)
    run_virtual(an_hour(host))
    assert len(host.calls) <= len(uses) * CALLS_A_PAGE + guests * CALLS_A_GUEST
