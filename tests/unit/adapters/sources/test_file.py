"""Every line of a log once, however it is rotated, and wherever the reader stopped."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.adapters.sources import file as module
from agent.adapters.sources import log_file
from agent.adapters.sources.file import FileSource
from agent.adapters.sources.port import Piece
from agent.contract.errors import AgentError
from agent.telemetry.window import Line


@pytest.fixture(autouse=True)
def nobody_writes_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kern.log"


class Reading:
    """One life of a reader, which may remember its place for the next one."""

    def __init__(self, path: Path) -> None:
        self.told: list[str] = []
        self.source = FileSource(path, self.told.append)
        self.mark: str | None = None
        self.begins = 0

    async def begin(self, mark: str | None) -> bool:
        self.mark = mark
        return await self.source.begin(mark)

    def lines(self) -> list[str]:
        """All that is there by now."""
        return [line.raw.decode() for line in self._all()]

    def _all(self) -> Iterator[Line]:
        while not (piece := self._look()).ends:
            yield from piece.items

    def _look(self) -> Piece[Line]:
        piece = self.source._look()
        if piece.begins is not None:
            self.begins += 1
            self.mark = str(piece.begins)
        if piece.items:
            self.mark = str(piece.items[-1].mark)
        return piece


async def reading(path: Path, mark: str | None = None) -> Reading:
    life = Reading(path)
    await life.begin(mark)
    return life


async def mark_behind_all(path: Path) -> str | None:
    """What a life that read all that is there would leave to the next one."""
    life = await reading(path)
    life.lines()
    return life.mark


def append(path: Path, text: str) -> None:
    with path.open("a", newline="") as log:
        log.write(text)


def rotate(path: Path, name: str = "kern.log.1") -> None:
    """As logrotate does, an hour after the last one."""
    path.rename(path.with_name(name))


async def test_lines_come_whole(path: Path) -> None:
    append(path, "one\ntw")
    life = await reading(path)
    first = life.lines()
    append(path, "o\n")
    assert (first, life.lines()) == (["one\n"], ["two\n"])


async def test_a_file_that_is_not_there_yet_is_waited_for(path: Path) -> None:
    life = await reading(path)
    first = life.lines()
    append(path, "one\n")
    assert (first, life.lines(), len(life.told)) == ([], ["one\n"], 1)


async def test_the_next_life_goes_on_behind_the_last_line(path: Path) -> None:
    append(path, "one\ntwo\n")
    mark = await mark_behind_all(path)
    append(path, "three\n")
    assert (await reading(path, mark)).lines() == ["three\n"]


async def test_any_line_is_a_place_to_go_on_from(path: Path) -> None:
    append(path, "one\ntwo\nthree\n")
    lines = list((await reading(path))._all())
    later = [(await reading(path, str(line.mark))).lines() for line in lines]
    assert later == [["two\n", "three\n"], ["three\n"], []]


async def test_a_renamed_file_is_read_to_its_end_first(path: Path) -> None:
    append(path, "one\n")
    life = await reading(path)
    life.lines()
    rotate(path)
    append(path.with_name("kern.log.1"), "two\n")
    append(path, "three\n")
    assert life.lines() == ["two\n", "three\n"]


async def test_a_file_renamed_while_nobody_read_is_found_by_the_next_life(path: Path) -> None:
    append(path, "one\n")
    mark = await mark_behind_all(path)
    append(path, "two\n")
    rotate(path)
    append(path, "three\n")
    assert (await reading(path, mark)).lines() == ["two\n", "three\n"]


async def test_whole_generations_that_nobody_read_are_read_in_their_order(path: Path) -> None:
    append(path, "one\n")
    mark = await mark_behind_all(path)
    append(path, "two\n")
    rotate(path, "kern.log.2")
    append(path, "three\n")
    rotate(path, "kern.log.1")
    append(path, "four\n")
    assert (await reading(path, mark)).lines() == ["two\n", "three\n", "four\n"]


async def test_a_copy_that_somebody_made_is_not_read(path: Path) -> None:
    append(path, "one\n")
    mark = await mark_behind_all(path)
    rotate(path)
    shutil.copy(path.with_name("kern.log.1"), path.with_name("kern.log.bak"))
    append(path, "two\n")
    assert (await reading(path, mark)).lines() == ["two\n"]


async def test_the_last_line_of_a_file_that_was_left_needs_no_end(path: Path) -> None:
    append(path, "one\ntorn")
    life = await reading(path)
    life.lines()
    rotate(path)
    append(path, "two\n")
    assert life.lines() == ["torn\n", "two\n"]


def copy_and_truncate(path: Path) -> None:
    shutil.copy2(path, path.with_name("kern.log.1"))
    os.truncate(path, 0)


async def test_a_copied_and_emptied_file_loses_nothing(path: Path) -> None:
    append(path, "one\n")
    life = await reading(path)
    life.lines()
    append(path, "two\n")
    copy_and_truncate(path)
    append(path, "three\n")
    assert (life.lines(), life.begins) == (["two\n", "three\n"], 1)


async def test_an_emptied_file_is_seen_though_it_has_grown_past_the_place(path: Path) -> None:
    append(path, "one\n")
    life = await reading(path)
    life.lines()
    copy_and_truncate(path)
    append(path, "something longer\n")
    assert life.lines() == ["something longer\n"]


async def test_a_copied_and_emptied_file_is_found_by_the_next_life(path: Path) -> None:
    append(path, "one\n")
    mark = await mark_behind_all(path)
    append(path, "two\n")
    copy_and_truncate(path)
    append(path, "three and more\n")
    assert (await reading(path, mark)).lines() == ["two\n", "three and more\n"]


async def test_a_file_emptied_without_a_copy_is_told_and_read_from_its_start(path: Path) -> None:
    append(path, "one\n")
    life = await reading(path)
    life.lines()
    os.truncate(path, 0)
    append(path, "two\n")
    assert (life.lines(), life.begins, len(life.told)) == (["two\n"], 2, 1)


async def test_a_place_that_is_gone_is_told_and_the_file_read_from_its_start(path: Path) -> None:
    append(path, "one\n")
    mark = await mark_behind_all(path)
    rotate(path, "elsewhere")
    append(path, "two\n")
    later = Reading(path)
    found = await later.begin(mark)
    assert (found, later.lines(), len(later.told)) == (False, ["two\n"], 1)


async def test_a_line_without_end_is_bounded(path: Path) -> None:
    """A decoder gets its beginning, marked as cut; the rest of it is no line of its own."""
    append(path, "x" * (3 * log_file.CHUNK_BYTES) + "tail\nnext\n")
    first, second = (await reading(path)).lines()
    assert (len(first) < log_file.CHUNK_BYTES, second) == (True, "next\n")


async def test_the_rest_of_a_long_line_is_no_line_in_the_next_life_either(path: Path) -> None:
    append(path, "x" * (3 * log_file.CHUNK_BYTES))
    mark = await mark_behind_all(path)
    append(path, "tail\nnext\n")
    assert (await reading(path, mark)).lines() == ["next\n"]


async def test_lines_end_with_a_newline_and_nothing_else(path: Path) -> None:
    append(path, "one\r\ntwo\x0b\x1c\rmore\n")
    assert (await reading(path)).lines() == ["one\r\n", "two\x0b\x1c\rmore\n"]


async def test_lines_know_their_number_in_every_life(path: Path) -> None:
    append(path, "one\ntwo\n")
    mark = await mark_behind_all(path)
    append(path, "three\n")
    (line,) = (await reading(path, mark))._all()
    assert line.number == 3


async def test_a_pipe_is_refused(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(AgentError, match="not a regular file"):
        await reading(path)


async def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="not a regular file"):
        await reading(tmp_path)


async def test_a_file_has_a_place_before_its_first_line_was_read(path: Path) -> None:
    """Or whoever stops right then would not find it again under another name."""
    append(path, "one\n")
    life = await reading(path)
    life._look()
    rotate(path)
    append(path, "two\n")
    assert (await reading(path, life.mark)).lines() == ["one\n", "two\n"]


async def test_a_renamed_file_is_not_left_before_the_new_one_is_written_to(path: Path) -> None:
    """Its writer may be told of the rotation long after it."""
    append(path, "one\n")
    life = await reading(path)
    life.lines()
    rotate(path)
    append(path, "")
    first = life.lines()
    append(path.with_name("kern.log.1"), "two\n")
    append(path, "three\n")
    assert (first, life.lines()) == ([], ["two\n", "three\n"])


async def test_a_torn_last_line_waits_until_the_next_file_can_be_opened(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(path, "one\ntorn")
    life = await reading(path)
    life.lines()
    rotate(path)
    append(path, "two\n")

    def refuse(_: Path) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    with monkeypatch.context() as patched:
        patched.setattr(module, "LogFile", refuse)
        life._look()
    assert life.lines() == ["torn\n", "two\n"]
