"""Page tables that move together, and with pages that they map, name each other where they are."""

import pytest

from emulator.xen.moving import Move
from emulator.xen.pagetables import FRAME_MASK, retarget
from tests.support.hosts import FIRST, L1, L2, L3, L4, PLAIN, PV, frame_of, frames_of, host_of, pend

TOGETHER = [(PLAIN, L1), (L1, L2), (L3, L4), (PLAIN, L1, L2, L3, L4)]


@pytest.mark.parametrize("gfns", TOGETHER, ids=str)
def test_tables_that_move_with_what_they_name_lead_to_where_it_is(gfns: tuple[int, ...]) -> None:
    host = host_of(PV)
    domain = host.domains[FIRST]
    assert host.move(domain, pend(host, FIRST, *gfns)) is Move.DONE
    assert (host.check(), host.guests[FIRST].verify()) == ([], 0)


def test_a_guest_that_is_led_through_a_table_it_has_left_is_told_of() -> None:
    """The old table still leads to the right pages, until somebody else writes to its frame."""
    host = host_of(PV)
    domain = host.domains[FIRST]
    left = frames_of(domain, [L3])
    host.move(domain, pend(host, FIRST, L3))
    retarget(host.memory, frames_of(domain, [L4]), frames_of(domain, [L3]), left, ~FRAME_MASK)
    assert host.guests[FIRST].verify() == 0
    assert host.check() == ["domain 1 is led through frames that are not its tables"]
    assert frame_of(domain, L3) != left[0]
