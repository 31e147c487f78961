"""The DRAM: a word a page, and nothing for a page nobody touched."""

import sys
from pathlib import Path

import numpy as np
import pytest

from agent.contract.columns import I64, U64
from agent.contract.frames import Mfn
from emulator.machine.content import TABLE_ENTRIES, Content

HUGE_FRAMES = 134_217_728  # 512 GiB


def frames(*mfns: int) -> I64:
    return np.array(mfns, np.int64)


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def test_memory_is_zero_at_first() -> None:
    assert Content(8).read(frames(0, 7)).tolist() == [0, 0]


def test_what_is_written_is_read_back() -> None:
    memory = Content(8)
    memory.write(frames(1, 6), np.array([11, 66], np.uint64))
    assert memory.read(frames(6, 1)).tolist() == [66, 11]


def test_a_copy_leaves_the_source_as_it_was() -> None:
    memory = Content(8)
    memory.write(frames(1), np.array([11], np.uint64))
    memory.copy(frames(1), frames(2))
    assert memory.read(frames(1, 2)).tolist() == [11, 11]


def test_what_was_read_does_not_change_afterwards() -> None:
    memory = Content(8)
    before = memory.read(frames(1))
    memory.write(frames(1), np.array([11], np.uint64))
    assert before.tolist() == [0]


def test_a_scrubbed_page_holds_nothing() -> None:
    memory = Content(8)
    memory.write(frames(1), np.array([11], np.uint64))
    memory.scrub(Mfn(1))
    assert memory.read(frames(1)).tolist() == [0]


def a_table(*entries: int) -> U64:
    table = np.zeros((1, TABLE_ENTRIES), np.uint64)
    table[0, : len(entries)] = entries
    return table


def test_a_page_table_is_read_back_whole() -> None:
    memory = Content(8)
    memory.write_tables(frames(3), a_table(5, 6))
    assert memory.tables(frames(3, 4))[:, :2].tolist() == [[5, 6], [0, 0]]


def test_no_frames_have_no_tables() -> None:
    assert Content(8).tables(frames()).shape == (0, TABLE_ENTRIES)


def test_a_table_is_copied_with_its_page_and_lives_on_by_itself() -> None:
    memory = Content(8)
    memory.write_tables(frames(3), a_table(5))
    memory.copy(frames(3), frames(4))
    memory.write_tables(frames(3), a_table(6))
    assert memory.tables(frames(4))[0, 0] == 5


def test_a_page_that_is_copied_over_a_table_leaves_none() -> None:
    memory = Content(8)
    memory.write_tables(frames(4), a_table(5))
    memory.copy(frames(3), frames(4))
    assert memory.tables(frames(4))[0, 0] == 0


def test_a_scrubbed_table_is_none() -> None:
    memory = Content(8)
    memory.write_tables(frames(3), a_table(5))
    memory.scrub(frames(3))
    assert memory.tables(frames(3))[0, 0] == 0


def test_a_machine_without_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 frame"):
        Content(0)


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_scattered_writes_do_not_make_a_huge_memory_resident() -> None:
    """With huge pages, 1,000 writes would back all of the gibibyte that stands for 512 GiB."""
    memory = Content(HUGE_FRAMES)
    mfns = np.linspace(0, HUGE_FRAMES - 1, 1000).astype(np.int64)
    before = resident_mib()
    memory.write(mfns, np.ones(1000, np.uint64))
    assert resident_mib() - before < 30
