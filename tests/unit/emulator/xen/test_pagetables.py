"""A PV guest's page tables: built, walked, edited."""

import numpy as np
import pytest

from agent.contract.columns import I64, U64
from agent.contract.frames import Mfn
from emulator.machine.content import Content
from emulator.xen.pagetables import (
    LEVELS,
    NO_EXECUTE,
    PRESENT,
    WRITABLE,
    PageTables,
    attributes_of,
    build,
    entries_of,
    frames_of,
    is_present,
    is_writable,
    link,
    maps_any,
    retarget,
    table_counts,
    tables_needed,
    unmap,
    walk,
)

PAGES = 600
TABLES = PageTables(PAGES)
P2M = np.random.default_rng(8412).permutation(1 << 12)[:PAGES]
ROOT = Mfn(int(P2M[-1]))


@pytest.fixture
def memory() -> Content:
    """The tables of a guest whose pages are scattered."""
    memory = Content(1 << 12)
    build(memory, TABLES, P2M)
    return memory


def own(p2m: I64 = P2M) -> I64:
    """The frames of the tables."""
    return p2m[TABLES.first :]


def found(memory: Content) -> U64:
    return walk(memory, TABLES, ROOT)


@pytest.mark.parametrize(
    ("pages", "counts"),
    [(1, (1, 1, 1, 1)), (512, (1, 1, 1, 1)), (513, (2, 1, 1, 1)), (512 * 512 + 1, (513, 2, 1, 1))],
)
def test_there_are_as_many_tables_as_it_takes(pages: int, counts: tuple[int, ...]) -> None:
    assert (table_counts(pages), tables_needed(pages)) == (counts, sum(counts))


def test_the_tables_are_the_last_pages_with_the_l1s_first() -> None:
    levels = [TABLES.on_level(level).tolist() for level in range(1, LEVELS + 1)]
    assert (TABLES.first, levels) == (595, [[595, 596], [597], [598], [599]])


@pytest.mark.parametrize(
    ("gfn", "level"), [(0, None), (594, None), (595, 1), (596, 1), (597, 2), (598, 3), (599, 4)]
)
def test_each_table_is_of_its_level_and_what_is_no_table_of_none(
    gfn: int, level: int | None
) -> None:
    assert TABLES.level_of(gfn) == level


def test_the_root_is_the_topmost_table() -> None:
    assert TABLES.level_of(TABLES.root) == LEVELS


def test_a_guest_maps_all_of_its_memory(memory: Content) -> None:
    assert np.array_equal(frames_of(found(memory)), P2M)


def test_a_guest_may_write_everywhere_but_to_its_tables(memory: Content) -> None:
    assert np.array_equal(is_writable(found(memory)), np.arange(PAGES) < TABLES.first)


def test_mappings_have_the_attributes_that_the_guest_wants(memory: Content) -> None:
    gfns = np.arange(PAGES)
    assert np.array_equal(attributes_of(found(memory)), TABLES.attributes(gfns))


def test_mappings_differ_in_their_attributes() -> None:
    assert len(np.unique(TABLES.attributes(np.arange(TABLES.first)))) == 2**4


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_a_table_that_moved_without_what_it_said_leads_nowhere(memory: Content, level: int) -> None:
    memory.scrub(P2M[TABLES.on_level(level)])
    assert not is_present(found(memory)).any()


def test_one_lost_l1_takes_its_own_pages_only(memory: Content) -> None:
    memory.scrub(P2M[[595]])
    assert np.array_equal(is_present(found(memory)), np.arange(PAGES) >= 512)


def test_a_walk_from_another_frame_than_the_root_finds_nothing(memory: Content) -> None:
    assert not is_present(walk(memory, TABLES, Mfn(int(P2M[0])))).any()


def test_retargeting_changes_the_frame_and_keeps_every_attribute(memory: Content) -> None:
    before, new = found(memory), np.array([4095, 4094])
    retarget(memory, own(), P2M[[3, 4]], new)
    after = found(memory)
    assert (frames_of(after[[3, 4]]).tolist(), attributes_of(after).tolist()) == (
        new.tolist(),
        attributes_of(before).tolist(),
    )


def test_retargeting_leaves_other_entries_as_they_were(memory: Content) -> None:
    before = found(memory)
    retarget(memory, own(), P2M[[3]], np.array([4095]))
    assert np.flatnonzero(found(memory) != before).tolist() == [3]


def test_the_order_in_which_frames_are_named_does_not_matter(memory: Content) -> None:
    retarget(memory, own(), np.sort(P2M[:9])[::-1], np.arange(9))
    assert frames_of(found(memory)[:9]).tolist() == (8 - np.argsort(np.argsort(P2M[:9]))).tolist()


def test_an_entry_that_is_not_present_is_no_mapping(memory: Content) -> None:
    """It may hold anything, a frame's number too."""
    at = P2M[[595]]
    entries = memory.tables(at)
    entries[0, 3] &= ~np.uint64(PRESENT)
    memory.write_tables(at, entries)
    retarget(memory, at, P2M[[3]], np.array([4095]))
    assert (memory.tables(at) == entries).all()


def test_an_entry_that_real_xens_tool_rewrote_is_the_one_that_was_recorded() -> None:
    """Frame 7ee00 was exchanged for bfc56, and the guest could not write to its page any more."""
    memory, at = Content(1), np.array([0])
    entries = np.zeros((1, 512), np.uint64)
    entries[0, 9] = 0x801000007EE00067
    memory.write_tables(at, entries)
    kept = ~((1 << 40) - 1) | 0x60
    retarget(memory, at, np.array([0x7EE00]), np.array([0xBFC56]), kept)
    assert int(memory.tables(at)[0, 9]) == 0x80100000BFC56065


def test_unmapping_forgets_every_entry_of_a_frame(memory: Content) -> None:
    unmap(memory, own(), P2M[[3, 520]])
    assert np.flatnonzero(found(memory) == 0).tolist() == [3, 520]


def test_linking_maps_pages_as_the_guest_wants_them(memory: Content) -> None:
    before = found(memory)
    unmap(memory, own(), P2M[[3, 520]])
    link(memory, TABLES, P2M, np.array([3, 520]))
    assert np.array_equal(found(memory), before)


def test_a_frame_is_mapped_if_a_table_names_it(memory: Content) -> None:
    unmap(memory, own(), P2M[[3]])
    assert [maps_any(memory, own(), P2M[[gfn]]) for gfn in (3, 4)] == [False, True]


def test_no_frame_has_no_entry() -> None:
    attributes = np.uint64(PRESENT | WRITABLE | NO_EXECUTE)
    assert entries_of(np.array([-1, 0]), attributes).tolist() == [0, int(attributes)]


@pytest.mark.parametrize(
    ("entry", "may_write"),
    [(0, False), (PRESENT, False), (WRITABLE, False), (PRESENT | WRITABLE, True)],
)
def test_only_what_is_present_and_writable_may_be_written(entry: int, may_write: bool) -> None:
    assert is_writable(np.array([entry], np.uint64)).tolist() == [may_write]
