"""Scrubbing: who leaves dirt, who wipes it, and how much of it each node still has."""

import numpy as np
import pytest

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageUse
from emulator.machine.content import Content
from emulator.xen import scrub
from emulator.xen.frametable import FrameTable, Tenant
from tests.support.heap import GUEST, frames
from tests.support.xen import HVM_GUEST, Xen

XEN = Tenant(PageUse.XEN_HEAP)


class Host:
    """64 frames on two nodes. Frames 24 to 39, eight on each, were a guest's and are free."""

    def __init__(self) -> None:
        self.memory = Content(64)
        self.table = FrameTable(64, 2, self.memory.scrub)
        self.mfns = np.arange(24, 40)
        self.occupy(GUEST)

    def occupy(self, tenant: Tenant) -> None:
        """`tenant` comes, writes and goes."""
        self.table.allocate(self.mfns, tenant)
        self.memory.write(self.mfns, self.mfns.astype(np.uint64))
        self.table.release(self.mfns)

    @property
    def holds(self) -> list[int]:
        """What is in the frames, those that hold nothing left out."""
        return [word for word in self.memory.read(self.mfns).tolist() if word]

    @property
    def unscrubbed(self) -> tuple[int, ...]:
        return self.table.scrubber.unscrubbed


@pytest.fixture
def host() -> Host:
    return Host()


def test_what_a_domain_frees_is_dirty_and_counted_on_its_node(host: Host) -> None:
    assert (host.unscrubbed, len(host.holds)) == ((8, 8), 16)


def test_what_xen_frees_is_not_dirty(host: Host) -> None:
    host.table.scrubber.rest()
    host.occupy(XEN)
    assert host.unscrubbed == (0, 0)


def test_idle_cpus_wipe_some_pages_of_each_node(host: Host) -> None:
    host.table.scrubber.idle(3)
    assert (host.unscrubbed, host.holds) == ((5, 5), [*range(27, 32), *range(35, 40)])


def test_in_the_end_nothing_is_dirty_and_all_cpus_halt(host: Host) -> None:
    host.table.scrubber.rest()
    assert (host.unscrubbed, host.holds, host.table.scrubber.busy_nodes()) == ((0, 0), [], [])


def test_a_node_with_dirty_pages_is_busy(host: Host) -> None:
    host.table.allocate(np.arange(24, 32), GUEST)
    assert host.table.scrubber.busy_nodes() == [1]


def test_whoever_is_given_a_dirty_page_finds_it_wiped(host: Host) -> None:
    host.table.allocate(frames(30, 31, 32), GUEST)
    assert (host.unscrubbed, host.holds) == ((6, 7), [*range(24, 30), *range(33, 40)])


def test_what_the_next_domain_wrote_is_not_wiped(host: Host) -> None:
    """The frames still wait in the queue; but they are not free."""
    host.table.allocate(host.mfns, GUEST)
    host.memory.write(host.mfns, host.mfns.astype(np.uint64))
    host.table.scrubber.rest()
    assert host.holds == list(range(24, 40))


def test_a_page_that_is_freed_again_and_again_waits_once(host: Host) -> None:
    for _ in range(10):
        host.occupy(GUEST)
    assert sum(len(mfns) for queue in host.table.scrubber._queues for mfns in queue) == 16


def test_a_page_that_is_freed_again_is_wiped_again(host: Host) -> None:
    host.table.scrubber.idle(3)
    host.occupy(GUEST)
    host.table.scrubber.rest()
    assert (host.unscrubbed, host.holds) == ((0, 0), [])


def test_a_page_that_was_offlined_keeps_what_is_in_it(host: Host) -> None:
    host.table.offline(Mfn(30))
    host.table.scrubber.rest()
    assert (host.unscrubbed, host.holds) == ((0, 0), [30])


def test_more_than_a_portion_is_wiped_portion_by_portion(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrub, "PORTION", 3)
    host.table.scrubber.idle(7)
    assert host.unscrubbed == (1, 1)


def test_the_check_notices_dirt_on_a_page_in_use(host: Host) -> None:
    host.table.allocate(frames(1), GUEST)
    host.table.scrubber.soil(frames(1))
    assert host.table.check() == ["a dirty frame is not free"]


def test_the_check_notices_dirt_that_is_not_counted(host: Host) -> None:
    host.table.scrubber._uncount(frames(24))
    assert host.table.check() == ["more frames are dirty than are counted"]


def test_scrubbing_costs_a_large_host_nothing_until_something_is_freed() -> None:
    """1 TiB: the queues hold what was freed, and no step looks at anything else."""
    table = FrameTable(1 << 28, 2)
    table.allocate(frames(1 << 27), Tenant(PageUse.PV, DomId(1)))
    table.release(frames(1 << 27))
    table.scrubber.rest()
    assert table.scrubber.unscrubbed == (0, 0)


def test_what_a_dead_guest_wrote_is_wiped_from_the_hosts_memory() -> None:
    xen = Xen().host
    mfns = xen.domains[HVM_GUEST].p2m.copy()
    xen.destroy(xen.domains[HVM_GUEST])
    xen.table.scrubber.rest()
    assert not xen.memory.read(mfns).any()
