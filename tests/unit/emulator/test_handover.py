"""A page changes its owner: to another guest where one can take it, else its guest moves on."""

from dataclasses import replace

import numpy as np

from agent.contract.frames import DomId, Mfn
from emulator.handover import change_owner
from emulator.xen.frametable import FrameState
from tests.support.hosts import (
    FIRST,
    HVM,
    L1,
    PLAIN,
    PV,
    SECOND,
    fill,
    frame_of,
    host_of,
    mark,
)


def test_another_guest_takes_the_page_with_its_mark() -> None:
    host = host_of(PV, HVM)
    mfn = mark(host, FIRST, PLAIN)
    change_owner(host, mfn)
    assert (host.table.owner_of(mfn), host.table.state_of(mfn)) == (SECOND, FrameState.OFFLINING)
    assert list(host.domains) == [FIRST, SECOND]


def test_nobody_comes_to_harm_by_that() -> None:
    host = host_of(PV, HVM)
    change_owner(host, mark(host, FIRST, PLAIN))
    for guest in host.guests.values():
        guest.run(5000, np.random.default_rng(8412))
    assert [guest.workload.harm + guest.verify() for guest in host.guests.values()] == [0, 0]
    assert host.check() == []


def test_a_guest_that_is_alone_comes_back_as_another_domain() -> None:
    host = host_of(PV)
    mfn = mark(host, FIRST, PLAIN)
    change_owner(host, mfn)
    assert (list(host.domains), host.table.state_of(mfn)) == ([DomId(2)], FrameState.OFFLINED)


def test_so_does_one_whose_page_table_it_is() -> None:
    """No other guest can use it."""
    host = host_of(PV, HVM)
    change_owner(host, frame_of(host.domains[FIRST], L1))
    assert list(host.domains) == [SECOND, DomId(3)]


def test_a_page_that_no_guest_has_stays_where_it_is() -> None:
    host = host_of(PV, HVM)
    free = Mfn(host.table.free_within(0, host.table.frames)[0])
    change_owner(host, free)
    assert host.table.state_of(free) is FrameState.FREE


def test_a_guest_comes_back_with_its_devices() -> None:
    host = host_of(replace(PV, devices=("nic",)))
    change_owner(host, mark(host, FIRST, PLAIN))
    assert host.domains[DomId(2)].devices == ("nic",)


def test_a_guest_that_there_is_no_room_for_any_more_stays() -> None:
    host = host_of(PV)
    fill(host)
    mfn = mark(host, FIRST, PLAIN)
    change_owner(host, mfn)
    assert (list(host.domains), host.table.state_of(mfn)) == ([FIRST], FrameState.OFFLINING)
