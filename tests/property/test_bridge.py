"""A bridge that dies at any step, again and again, brings every error over exactly once.

The log is a real file that grows and is rotated meanwhile.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.adapters.sources import file
from agent.adapters.sources.file import FileSource
from agent.adapters.spool import Spool
from agent.diagnosis.admission import Admission
from agent.telemetry import window
from tests.support.books import HOST
from tests.support.bridging import a_host, address, block, error
from tests.support.effort import EXAMPLES
from tests.support.mortal import Mortal

Work = Callable[[Spool], object]

OTHER = "2026-03-02T00:00:00Z hv-1 kernel: eth0: link is up\n"


class World(Mortal):
    """A host whose log grows and is rotated."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.log = folder / "kern.log"
        self._generations = 0
        super().__init__(folder, patch, f"file:{self.log}")
        patch.setattr(FileSource, "_look", self.looking(FileSource._look))

    def write(self, text: str) -> None:
        with self.log.open("a") as log:
            log.write(text)

    def rotate(self, *, by_copy: bool) -> None:
        """As logrotate does, which never cuts a line."""
        if not self.log.exists() or not self.log.read_text().endswith("\n"):
            return
        for number in range(self._generations, 0, -1):
            self._name(number).rename(self._name(number + 1))
        self._generations += 1
        if by_copy:
            shutil.copy2(self.log, self._name(1))
            os.truncate(self.log, 0)
        else:
            self.log.rename(self._name(1))
        os.utime(self._name(1), (self._generations, self._generations))

    def _name(self, number: int) -> Path:
        return self.log.with_name(f"kern.log.{number}")


@contextmanager
def a_world() -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(file, "POLL_SECONDS", 0.0)
        patch.setattr(file, "LINGER_SECONDS", 0.0)
        patch.setattr(window, "LINES_MAX", 24)
        patch.setattr(window, "LINES_BEHIND", 12)
        yield World(Path(folder), patch)


def test_death_at_each_step_in_turn_doubles_and_loses_nothing() -> None:
    """Two errors and a block; a new world for each step, as far as there are steps."""
    for steps in range(1, 60):
        with a_world() as world:
            world.write(error(1) + block(2) + OTHER)
            world.live(steps)
            world.write(error(3))
            world.end()
            assert world.bus.addresses == {address(number): 1 for number in (1, 2, 3)}, steps


Act = tuple[str, int]

acts = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 900)),
        st.tuples(st.just("live"), st.integers(1, 70)),
        st.tuples(st.just("deaf life"), st.integers(1, 70)),
        st.tuples(st.sampled_from(["rename", "copy"]), st.just(0)),
    ),
    max_size=14,
)


def text_of(kind: str, number: int) -> str:
    texts = {"error": error, "block": block}
    return texts[kind](number) if kind in texts else OTHER


@settings(max_examples=EXAMPLES)
@given(kinds=st.lists(st.sampled_from(["error", "block", "other"]), max_size=25), acts=acts)
def test_whatever_happens_to_log_and_bridge_each_error_arrives_once(
    kinds: Sequence[str], acts: Sequence[Act]
) -> None:
    text = "".join(text_of(kind, number) for number, kind in enumerate(kinds, 1))
    errors = [number for number, kind in enumerate(kinds, 1) if kind != "other"]
    with a_world() as world:
        world.write(OTHER)
        world.end()  # a first life reads the log as it is then, whatever it has been before
        for act, amount in acts:
            if act == "write":
                world.write(text[:amount])
                text = text[amount:]
            elif act in {"rename", "copy"}:
                world.rotate(by_copy=act == "copy")
            else:
                world.bus.is_applying = act == "live"
                world.live(amount)
        world.write(text)
        world.end()
    assert world.bus.addresses == {address(number): 1 for number in errors}


def test_boots_that_come_together_are_told_one_after_the_other() -> None:
    """An agent that remembers a single boot has to be heard of each before it forgets it."""
    with a_world() as world:
        world.bus.admission = Admission(HOST, boots_max=1)
        world.bus.is_there = world.bus.is_applying = False
        for day in range(1, 7):
            began = datetime(2026, 3, day, tzinfo=UTC)
            a_host(world.log.parent / "root", UUID(int=day), began)
            world.write(error(day, f"2026-03-{day:02}"))
            world.live(60)
        world.bus.is_there = True
        world.live(200)
        world.end()
    assert world.bus.addresses == {address(number): 1 for number in range(1, 7)}
    assert world.bus.boots == {UUID(int=day) for day in range(1, 7)}
