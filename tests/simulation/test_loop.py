"""Virtual time: days pass in no time, and twice the same way."""

import asyncio
import time

import pytest

from tests.simulation.loop import Asleep, VirtualLoop, run_virtual


def test_a_week_takes_no_time() -> None:
    async def week() -> float:
        for _ in range(7):
            await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    began = time.perf_counter()
    assert run_virtual(week()) == 7 * 86_400
    assert time.perf_counter() - began < 1


def test_timers_go_off_in_their_order_and_at_their_time() -> None:
    heard: list[tuple[float, str]] = []

    async def say(word: str, after: float) -> None:
        await asyncio.sleep(after)
        heard.append((asyncio.get_running_loop().time(), word))

    async def all_of_them() -> None:
        await asyncio.gather(say("late", 3.0), say("early", 1.0), say("between", 2.0))

    run_virtual(all_of_them())
    assert heard == [(1.0, "early"), (2.0, "between"), (3.0, "late")]


def test_no_time_passes_while_somebody_works() -> None:
    async def work() -> float:
        asyncio.get_running_loop().call_later(5.0, lambda: None)
        for _ in range(1000):
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    assert run_virtual(work()) == 0.0


def test_a_leap_makes_every_timer_late_and_none_go_off_twice() -> None:
    ticks: list[float] = []

    async def tick() -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1.0)
            ticks.append(loop.time())

    async def life() -> None:
        ticking = asyncio.create_task(tick())
        await asyncio.sleep(1.5)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.leap(3600.0)
        await asyncio.sleep(0.2)
        ticking.cancel()

    run_virtual(life())
    assert ticks == [1.0, 3601.5]


def test_a_process_in_which_nobody_will_ever_wake_is_found_out() -> None:
    async def wait_for_nobody() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Asleep):
        run_virtual(wait_for_nobody())


def test_what_an_executor_would_do_is_done_in_the_loop() -> None:
    async def work() -> tuple[str, float]:
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(None, lambda: "done")
        return answer, loop.time()

    answer, took = run_virtual(work())
    assert answer == "done"
    assert 0 < took < 0.01


def test_a_set_of_tasks_is_walked_in_the_order_in_which_they_were_made() -> None:
    async def names() -> list[str]:
        async def nothing() -> None: ...

        tasks = {asyncio.create_task(nothing(), name=str(n)) for n in range(50)}
        await asyncio.wait(tasks)
        return [task.get_name() for task in tasks]

    assert run_virtual(names()) == [str(n) for n in range(50)]
