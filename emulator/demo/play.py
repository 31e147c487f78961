"""One run from start to verdict: watch until everything rests, let the world stand still, judge."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from agent.contract.status import Rest
from emulator.demo.asking import Asking
from emulator.demo.judge import Evidence, disagreements, harm, is_at_rest, is_settled
from emulator.demo.operator import operate
from emulator.demo.stage import Stage, last_words
from emulator.errors import EmulatorError
from emulator.timeline import Event

LOOK_SECONDS = 0.2
START_SECONDS_MAX = 20.0
APPLY_SECONDS_MAX = 20.0
LOOKS_AT_REST = 3  # one after another, before a run is over

Watch = Callable[[Evidence], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How a run goes: for at most `seconds`, while `operator` asks of the agent what a scenario
    says. It is over once all rests, or with `enough` not before somebody has seen enough.
    """

    seconds: float | None
    operator: tuple[Event, ...] = ()
    replays: bool = False
    enough: asyncio.Event | None = None

    def is_over(self, looks_at_rest: int) -> bool:
        if self.enough is not None:
            return self.enough.is_set()
        return looks_at_rest >= LOOKS_AT_REST


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a run; `ended_by_itself` is false when its time was up first."""

    evidence: Evidence
    disagreements: tuple[str, ...]
    ended_by_itself: bool

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader must know besides the figures."""
        early = () if self.ended_by_itself else ("stopped before all of it had come to rest",)
        return (*early, *self.disagreements)

    @property
    def truth_agrees(self) -> bool:
        return not self.disagreements

    def summary(self) -> dict[str, object]:
        """What `--json` prints last."""
        status, truth = self.evidence.status, self.evidence.truth
        pauses = status.guest_pauses_seconds
        return {
            "ereports": status.ereports,
            "cases": {rest.value: status.cases.get(rest, 0) for rest in _ORDER},
            "guest_pauses_seconds": {
                "count": pauses.count,
                "p50": round(pauses.p50, 6),
                "max": round(pauses.max, 6),
            },
            "guest_corruptions": harm(truth),
            "truth_agrees": self.truth_agrees,
        }


_ORDER = (Rest.RETIRED, Rest.PARKED, Rest.UNRETIRABLE, Rest.OPEN)


async def play(
    stage: Stage,
    watch: Watch,
    conduct: Conduct,
) -> Verdict:
    """Watch the run to its end; then say whether the agent told the truth.

    Meanwhile the operator asks of the agent what the scenario says.
    """
    asking = Asking(stage.agent_socket, stage.control_socket)
    await _started(stage)
    ended_by_itself = True
    try:
        async with (
            asyncio.timeout(conduct.seconds),
            _operating(stage, conduct.operator) as operating,
        ):
            await _rested(asking, stage, watch, operating, conduct)
    except TimeoutError:
        ended_by_itself = False
    await asking.quiesce()
    evidence = await _settled(asking, stage)
    watch(evidence)
    if conduct.enough is not None:  # nobody asked it to end by itself
        ended_by_itself = is_at_rest(evidence, evidence.truth.expect, replays=conduct.replays)
    return Verdict(evidence, tuple(disagreements(evidence)), ended_by_itself)


async def _started(stage: Stage) -> None:
    """Return once the agent answers."""
    try:
        async with asyncio.timeout(START_SECONDS_MAX):
            while not stage.agent_socket.exists():
                _check(stage)
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        words = last_words(stage.folder / "agent.log")
        raise EmulatorError(f"the agent did not start: {words}") from None


@asynccontextmanager
async def _operating(stage: Stage, events: Sequence[Event]) -> AsyncGenerator[asyncio.Task[None]]:
    """The operator at work."""
    operating = asyncio.create_task(operate(stage.agent_socket, events), name="operator")
    try:
        yield operating
    finally:
        operating.cancel()
        await asyncio.wait({operating})


async def _rested(
    asking: Asking, stage: Stage, watch: Watch, operating: asyncio.Task[None], conduct: Conduct
) -> None:
    looks = 0
    while not conduct.is_over(looks):
        evidence = await _evidence(asking, stage)
        watch(evidence)
        if operating.done():
            operating.result()  # what it could not do ends the run
        at_rest = is_at_rest(evidence, evidence.truth.expect, replays=conduct.replays)
        at_rest = at_rest and operating.done()
        looks = looks + 1 if at_rest else 0
        await asyncio.sleep(LOOK_SECONDS)


async def _settled(asking: Asking, stage: Stage) -> Evidence:
    """What is so and what is said once the agent has taken everything there is, and acted on it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(APPLY_SECONDS_MAX):
            while True:
                if is_settled(await _evidence(asking, stage)):
                    break
                await asyncio.sleep(LOOK_SECONDS)
    return await _evidence(asking, stage)


async def _evidence(asking: Asking, stage: Stage) -> Evidence:
    """Between two boots of the host the agent does not answer: ask until it does.

    Raises:
        EmulatorError: if it does not for `START_SECONDS_MAX`.
    """
    deadline = asyncio.get_running_loop().time() + START_SECONDS_MAX
    while True:
        _check(stage)
        try:
            return await asking.evidence()
        except EmulatorError:
            if asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(LOOK_SECONDS)


def _check(stage: Stage) -> None:
    if stage.agent.returncode is not None:
        raise EmulatorError(f"the agent ended: {last_words(stage.folder / 'agent.log')}")
