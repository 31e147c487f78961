"""A process without power does nothing any more, wherever it was."""

import asyncio
import sqlite3
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from agent.adapters.journal_file import transaction
from tests.simulation.loop import run_virtual
from tests.simulation.power import PROCESS, Connection, PowerCut, Process


async def in_process(process: Process, body: Coroutine[Any, Any, None]) -> None:
    """Run `body` as the process' only task, until it ends or the power goes off."""
    token = PROCESS.set(process)
    task = asyncio.create_task(body)
    PROCESS.reset(token)
    await asyncio.wait([task])


@pytest.mark.parametrize("line", range(1, 5))
def test_the_power_goes_off_at_each_await(line: int) -> None:
    done: list[int] = []

    async def body() -> None:
        for number in range(10):
            done.append(number)
            await asyncio.sleep(1)

    async def life() -> Process:
        process = Process(off_at=line)
        await in_process(process, body())
        return process

    assert not run_virtual(life()).is_alive
    assert done == list(range(line - 1))


def test_a_task_that_the_process_started_ends_with_it() -> None:
    done: list[str] = []

    async def child() -> None:
        await asyncio.sleep(10)
        done.append("child")

    async def body() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(child())

    async def life() -> None:
        process = Process()
        asyncio.get_running_loop().call_later(5, process.cut, "the mains")
        await in_process(process, body())
        await asyncio.sleep(100)

    run_virtual(life())
    assert done == []


def test_who_was_cut_off_is_not_heard_on_its_way_out() -> None:
    heard: list[str] = []

    async def life() -> None:
        process = Process(off_at=2)

        def say(word: str) -> None:
            process.heard()
            heard.append(word)

        async def body() -> None:
            try:
                say("hello")
                await asyncio.sleep(1)
            finally:
                say("good-bye")

        await in_process(process, body())

    run_virtual(life())
    assert heard == ["hello"]


@pytest.mark.parametrize(("line", "rows"), [(1, 0), (2, 1), (9, 1)])
def test_a_commit_is_lost_or_kept_as_a_whole(tmp_path: Path, line: int, rows: int) -> None:
    """The first line is before the commit, the second one behind it."""
    path = tmp_path / "a.db"
    process = Process(off_at=line)
    token = PROCESS.set(process)
    db = sqlite3.connect(path, isolation_level=None, factory=Connection)
    db.execute("CREATE TABLE t (n INTEGER)")
    try:
        with transaction(db):
            db.execute("INSERT INTO t VALUES (1)")
    except PowerCut:
        assert line < 3
    PROCESS.reset(token)
    db.close()
    with sqlite3.connect(path) as later:
        assert len(later.execute("SELECT * FROM t").fetchall()) == rows
    later.close()
