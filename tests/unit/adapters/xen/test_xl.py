"""One run of a program: what it said, when it is late, and when it is not there."""

import asyncio
import os
from pathlib import Path

import pytest

from agent.adapters.xen.xl import Ran, Xl
from agent.contract.errors import PeerError, Unreachable

DOMAIN = "an image"


def shell(script: str, seconds: float = 5.0) -> Xl:
    return Xl(seconds, seconds, program=("/bin/sh", "-c", script))


async def test_a_question_is_answered_by_what_was_printed() -> None:
    assert await shell("echo so it is; echo not this >&2").ask("list") == "so it is\n"


async def test_an_error_is_told_by_the_last_line() -> None:
    with pytest.raises(PeerError, match=r"^xl list: cannot init xl context$"):
        await shell("echo libxl: deep; echo cannot init xl context >&2; exit 1").ask("list")


async def test_a_question_that_is_late_is_ended(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    with pytest.raises(Unreachable, match=r"no answer in 0\.5 s"):
        await shell(f"echo $$ > {mark}; exec sleep 30", 0.5).ask("list")
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


async def test_a_child_that_stays_keeps_nobody_waiting() -> None:
    """As `xl restore` leaves one behind, with our files still open."""
    ran = await shell("sleep 30 & echo $! ; exit 0").command(DOMAIN, "restore")
    assert ran.code == 0
    process = await asyncio.create_subprocess_exec("kill", ran.out.strip())
    await process.wait()


async def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(Unreachable, match="install xen-utils"):
        await Xl(1.0, 1.0, program=("/nonexistent/xl",)).ask("list")


def test_without_a_word_the_exit_code_is_all_there_is() -> None:
    assert Ran(7, "", " \n").why == "exit code 7"
