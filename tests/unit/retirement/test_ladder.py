"""Every row of the ladder, from what is said of the page and its guest."""

import pytest

from agent.contract.frames import DomId
from agent.contract.hypercall import PageUse
from agent.contract.toolstack import HERE
from agent.retirement.ladder import LADDER, Rung, Terms, rungs_for, why_none
from agent.retirement.outcome import Guest, Held
from agent.retirement.reason import Reason

OWNER = DomId(7)
ANY = Terms()
TO_PEER = Terms(migrate_to="hv-2")


def held(use: PageUse, *mappers: int, guest: Guest | None = None) -> Held:
    return Held(use, OWNER, tuple(map(DomId, mappers)), guest or Guest("db"))


@pytest.mark.parametrize(
    ("use", "rungs"),
    [
        (PageUse.HVM, (Rung.SWAP, Rung.EXCHANGE, Rung.SAVE_RESTORE)),
        (PageUse.PV, (Rung.EXCHANGE, Rung.SAVE_RESTORE)),
        (PageUse.PAGE_TABLE, (Rung.EXCHANGE, Rung.SAVE_RESTORE)),
        (PageUse.SHADOW, (Rung.DROP_SHADOWS, Rung.SAVE_RESTORE)),
        (PageUse.HVM_STATE, (Rung.SAVE_RESTORE,)),
    ],
)
def test_the_gentlest_way_comes_first(use: PageUse, rungs: tuple[Rung, ...]) -> None:
    assert rungs_for(held(use), ANY) == rungs


def test_what_is_gentlest_is_the_operators_to_say() -> None:
    """A live migration here stops a guest for less than a save and a restore do."""
    terms = Terms((Rung.MIGRATE, Rung.SAVE_RESTORE), HERE)
    guest = Guest("db", may_leave=True)
    assert rungs_for(held(PageUse.PV, guest=guest), terms) == terms.rungs


@pytest.mark.parametrize("use", LADDER)
def test_a_page_that_others_map_is_waited_for_before_its_guest_is_saved(use: PageUse) -> None:
    assert rungs_for(held(use, 9), ANY) == (Rung.WAIT, Rung.SAVE_RESTORE)


@pytest.mark.parametrize("use", LADDER)
def test_the_last_rung_is_to_migrate_where_there_is_room(use: PageUse) -> None:
    roomy = held(use, guest=Guest("db", may_leave=True))
    assert rungs_for(roomy, TO_PEER)[-1] is Rung.MIGRATE
    assert Rung.MIGRATE not in rungs_for(held(use), TO_PEER)


def test_a_guest_with_a_device_migrates_only_here_where_the_device_is() -> None:
    with_device = held(PageUse.PV, guest=Guest("db", devices=("nic",), may_leave=True))
    assert Rung.MIGRATE not in rungs_for(with_device, TO_PEER)
    assert Rung.MIGRATE in rungs_for(with_device, Terms(migrate_to=HERE))


def test_what_the_operator_forbids_is_not_climbed() -> None:
    terms = Terms((Rung.SAVE_RESTORE,))
    assert rungs_for(held(PageUse.HVM), terms) == (Rung.SAVE_RESTORE,)


@pytest.mark.parametrize(
    ("use", "reason"),
    [
        (PageUse.DOM0, Reason.DOM0),
        (PageUse.SHARED, Reason.SHARED),
        (PageUse.XEN_HEAP, Reason.XEN_HEAP),
        (PageUse.UNKNOWN, Reason.USE_UNKNOWN),
    ],
)
def test_a_page_that_nobody_may_touch_has_no_rungs_but_a_reason(
    use: PageUse, reason: Reason
) -> None:
    assert rungs_for(held(use, 9), ANY) == ()
    assert why_none(held(use, 9)) is reason


def test_nor_is_a_dead_guest_asked_to_let_go_of_a_device() -> None:
    """What it does not let go of stays in the way of the swap, however often that is begun."""
    dead = Guest("db", is_alive=False, devices=("nic",))
    assert rungs_for(held(PageUse.HVM, guest=dead), TO_PEER) == ()


def test_of_a_dead_guest_nothing_is_asked() -> None:
    dead = Guest("db", is_alive=False, may_leave=True)
    assert rungs_for(held(PageUse.HVM, guest=dead), TO_PEER) == (Rung.SWAP,)
    assert rungs_for(held(PageUse.PV, 9, guest=dead), TO_PEER) == (Rung.WAIT,)
    assert rungs_for(held(PageUse.PV, guest=dead), TO_PEER) == ()
    assert why_none(held(PageUse.PV, guest=dead)) is Reason.NOT_ALIVE


def test_without_an_owner_there_is_nobody_to_stop() -> None:
    assert rungs_for(Held(PageUse.PV, None), ANY) == ()
