"""Claims: what is promised to one domain is out of reach for the others."""

import pytest

from agent.contract.frames import DomId
from agent.contract.hypercall import PageUse
from agent.contract.toolstack import GuestKind
from emulator.xen.claims import Claims
from emulator.xen.frametable import FrameTable, Tenant
from emulator.xen.heap import Heap
from emulator.xen.layout import GuestSpec
from tests.support.xen import PV_GUEST, Xen

ONE, TWO = DomId(1), DomId(2)


def staked(*claims: tuple[DomId, int], free: int = 16) -> Claims:
    found = Claims()
    for domid, pages in claims:
        found.stake(domid, pages, free)
    return found


def test_a_domain_can_claim_what_nobody_else_has() -> None:
    claims = staked((ONE, 10))
    assert (claims.stake(TWO, 7, free=16), claims.stake(TWO, 6, free=16)) == (False, True)


def test_a_claim_that_is_refused_changes_nothing() -> None:
    claims = staked((ONE, 10), (TWO, 3))
    claims.stake(TWO, 7, free=16)
    assert (claims.of(ONE), claims.of(TWO)) == (10, 3)


def test_a_claim_replaces_the_one_before() -> None:
    assert staked((ONE, 10), (ONE, 16)).outstanding == 16


def test_a_claim_of_nothing_is_given_up() -> None:
    assert staked((ONE, 10), (ONE, 0), (TWO, 16)).of(TWO) == 16


def test_a_claim_shrinks_with_what_its_domain_is_given() -> None:
    claims = staked((ONE, 10))
    claims.spend(ONE, 4)
    assert claims.of(ONE) == 6


@pytest.mark.parametrize("domid", [TWO, None])
def test_what_others_are_given_is_not_taken_from_a_claim(domid: DomId | None) -> None:
    claims = staked((ONE, 10))
    claims.spend(domid, 4)
    assert claims.outstanding == 10


def test_the_newest_claim_is_recalled_first() -> None:
    claims = staked((ONE, 10), (TWO, 3))
    claims.recall(11)
    assert (claims.of(ONE), claims.of(TWO)) == (10, 1)


def test_claims_that_are_covered_are_not_recalled() -> None:
    claims = staked((ONE, 10))
    claims.recall(10)
    assert claims.of(ONE) == 10


def test_a_heap_gives_nobody_what_others_claim() -> None:
    table = FrameTable(16)
    table.claims.stake(ONE, 10, table.free)
    assert Heap(table).take(7, Tenant(PageUse.HVM, TWO)) is None


def test_a_heap_gives_a_domain_what_it_claims() -> None:
    table = FrameTable(16)
    table.claims.stake(ONE, 10, table.free)
    mfns = Heap(table).take(12, Tenant(PageUse.HVM, ONE))
    assert mfns is not None
    assert (len(mfns), table.claims.outstanding) == (12, 0)


def test_a_domain_that_is_destroyed_claims_nothing_any_more() -> None:
    host = Xen().host
    host.table.claims.stake(PV_GUEST, 10, host.table.free)
    host.destroy(host.domains[PV_GUEST])
    assert host.table.claims.outstanding == 0


@pytest.mark.parametrize(("nth", "is_made"), [(0, True), (1, False)])
def test_a_domain_is_made_from_what_it_claims_and_not_from_what_another_does(
    nth: int, is_made: bool
) -> None:
    """The next domain is the third."""
    host = Xen().host
    host.table.claims.stake(DomId(3 + nth), host.table.free, host.table.free)
    made = host.create(host.newborn(GuestSpec("new", GuestKind.HVM, 16)))
    assert (made is not None, host.check()) == (is_made, [])
