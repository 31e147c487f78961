"""Real processes: another DIMM in an old slot, an agent that only looks, and hours for stops."""

import json
import time

import pytest

from agent.contract.status import Rest
from emulator.demo.asking import ask
from emulator.demo.judge import disagreements
from emulator.edges.truth import ControlCall, HostDo, HostRequest, Truth
from tests.support.line import Line, resting


async def test_what_is_retired_stays_so_over_a_reboot_but_not_on_another_dimm(line: Line) -> None:
    line.start_emulator()
    line.start_agent()
    before = await line.found(resting(Rest.RETIRED, 3))
    dropped, *kept = [case for case in before.cases if case.rest is Rest.RETIRED]
    assert dropped.dimm is not None
    wanted = HostRequest(do=HostDo.REBOOT, replace_dimm=dropped.dimm)
    await ask(line.folder / "control.sock", ControlCall.HOST, Truth, wanted)
    stays = sum(case.dimm != dropped.dimm for case in kept)
    after = await line.found(
        lambda seen: seen.truth.past.boots == 1 and seen.status.cases[Rest.RETIRED] == stays,
    )
    assert disagreements(after) == []
    there = {frame.mfn: frame.state for frame in after.frames}
    assert there[dropped.mfn] != "offlined"
    gone = {case.mfn for case in before.cases if case.dimm == dropped.dimm}
    assert {case.mfn for case in after.cases if case.rest is Rest.RETURNED} == gone
    assert {fields["reason"] for fields in line.told("case_dropped")} == {"dimm_replaced"}
    assert [fields["dimm"] for fields in line.told("dimm_replaced")] == [dropped.dimm]


async def test_an_agent_that_observes_changes_nothing_until_it_is_to_enforce(line: Line) -> None:
    line.agent_keys = {"retirement": {"mode": "observe"}}
    line.start_emulator()
    line.start_agent()
    seen = await line.found(lambda seen: seen.status.cases[Rest.OBSERVED] >= 3)
    assert seen.truth.marked == ()
    assert all("would offline it" in case.reason for case in seen.cases)
    line.stop_agent()
    line.agent_keys = {}
    line.start_agent()
    enforced = await line.found(resting(Rest.RETIRED, 3))
    assert disagreements(enforced) == []


async def test_outside_its_window_no_guest_is_stopped(line: Line) -> None:
    closed = time.gmtime(time.time() + 7200)
    begin, end = (f"{(closed.tm_hour + hours) % 24:02}:00" for hours in (0, 2))
    window = json.dumps([{"begin": begin, "end": end}])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAGEWARDEN_RETIREMENT__WINDOWS", window)
        line.start_emulator()
        line.start_agent()
    seen = await line.found(lambda seen: seen.status.cases[Rest.RETIRED] == 2)
    seen = await line.found(lambda seen: "postponed" in {case.state for case in seen.cases})
    (postponed,) = [case for case in seen.cases if case.state == "postponed"]
    assert "retirement.windows" in postponed.reason
    assert seen.status.guest_pauses_seconds.count == 0
