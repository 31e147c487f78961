"""What a scenario has happen besides faults, on a host that lives."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from emulator.edges.host import Script
from emulator.edges.truth import HostState, Truth
from emulator.scenario import Scenario
from tests.support.emulated import PATIENCE_SECONDS, a_config, running


def a_script(sockets: Path, *events: Mapping[str, object]) -> Script:
    guests = [{"name": "a", "kind": "hvm", "memory": "8 MiB"}, {"name": "b", "kind": "pv"}]
    fields = {"title": "Things happen.", "guests": guests, "timeline": events}
    return Script(a_config(sockets), Scenario.model_validate(fields))


async def lived(script: Script, is_so: Callable[[Truth], bool]) -> Truth:
    """The truth once it is so."""
    async with running(script) as doors, asyncio.timeout(PATIENCE_SECONDS):
        while not is_so(truth := await doors.truth()):
            await asyncio.sleep(0.01)
        return truth


def names(truth: Truth) -> set[str]:
    return {domain.name for domain in truth.domains}


async def test_guests_are_started_and_stopped(tmp_path: Path) -> None:
    events = (
        {"at": "100 ms", "guest": "c", "do": "start", "memory": "4 MiB"},
        {"at": "200 ms", "guest": "a", "do": "stop"},
    )
    truth = await lived(a_script(tmp_path, *events), lambda t: t.source_done)
    assert names(truth) == {"b", "c"}


async def test_a_guest_that_is_rebooted_is_another_domain(tmp_path: Path) -> None:
    script = a_script(tmp_path, {"at": "100 ms", "guest": "b", "do": "reboot"})
    truth = await lived(script, lambda t: t.source_done)
    (domid,) = (domain.domid for domain in truth.domains if domain.name == "b")
    assert (names(truth), domid > 2) == ({"a", "b"}, True)


async def test_the_host_itself_is_rebooted(tmp_path: Path) -> None:
    script = a_script(tmp_path, {"at": "100 ms", "host": "reboot"})
    truth = await lived(script, lambda t: t.past.boots == 1 and t.state is HostState.UP)
    assert truth.past.ended == "its scenario reboots it"


async def test_trouble_begins_at_its_time(tmp_path: Path) -> None:
    rule = {"call": "save", "do": "fail"}
    script = a_script(tmp_path, {"at": "100 ms", "mischief": rule})
    truth = await lived(script, lambda t: bool(t.mischief))
    assert [(r.rule.call, r.rule.do) for r in truth.mischief] == [("save", "fail")]


async def test_nothing_is_over_while_there_is_something_to_come(tmp_path: Path) -> None:
    later = {"at": "1 h", "guest": "a", "do": "stop"}
    async with running(a_script(tmp_path, later)) as doors:
        assert not (await doors.truth()).source_done
