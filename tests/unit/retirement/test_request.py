"""An operator's request: which pages it means, and what is said to have come of them."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contract.frames import Mfn
from agent.contract.hypercall import HostReply, Interleave
from agent.contract.requests import Ask, Wish
from agent.contract.status import Rest
from agent.retirement.caps import Caps
from agent.retirement.docket import Docket
from agent.retirement.reason import Reason
from agent.retirement.request import (
    Fate,
    Pages,
    Request,
    RequestRefused,
    ended,
    fate_of,
    fed,
    read,
    settled,
    view_of,
)
from agent.retirement.states import State
from tests.support.cases import MFN, a_case

HOST = HostReply(
    host="h",
    boot_id=UUID(int=1),
    frames=0x1000,
    personality="thread",
    interleave=Interleave(dimms=("A", "B", "C")),
)


def a_docket(state: State | None = None, **changes: object) -> Docket:
    docket = Docket(Caps(10))
    if state is not None:
        docket.put(a_case(state, **changes))
    return docket


def a_request(wish: Wish = Wish.OFFLINE, pages: Pages | None = None) -> Request:
    return Request("r", wish, "page 0x1234", pages or Pages(MFN, 1), 0)


@given(
    frames=st.integers(1, 200),
    dimms=st.integers(1, 5),
    run=st.integers(1, 7),
)
def test_every_page_of_the_host_lies_on_one_dimm(frames: int, dimms: int, run: int) -> None:
    lie = Interleave(dimms=tuple(map(str, range(dimms))), pages=run)
    host = HOST.model_copy(update={"frames": frames, "interleave": lie})
    found = list[Mfn]()
    for dimm in lie.dimms:
        ask = Ask(id="r", wish=Wish.EVACUATE, dimm=dimm)
        pages = read(ask, host, a_docket(), 0).pages
        mine = pages.between(0, pages.count)
        assert all(lie.dimm_of(mfn) == dimm for mfn in mine)
        found += mine
    assert sorted(found) == list(range(frames))


@given(start=st.integers(0, 30), room=st.integers(-2, 30))
def test_pages_are_handed_out_a_few_at_a_time(start: int, room: int) -> None:
    pages = Pages(first=5, count=20, run=20, step=20)
    assert (
        pages.between(start, start + room) == tuple(range(5, 25))[start : max(start, start + room)]
    )


@pytest.mark.parametrize(
    ("ask", "complaint"),
    [
        (
            Ask(id="r", wish=Wish.OFFLINE, first=1, last=0x1000),
            "page 0x1000 is beyond the host's memory: its last page is 0xfff",
        ),
        (Ask(id="r", wish=Wish.EVACUATE, dimm="D"), "there is no DIMM 'D'; there are A, B, C"),
        (Ask(id="r", wish=Wish.CANCEL, case="c9"), "there is no case 'c9'"),
        (Ask(id="r", wish=Wish.CANCEL, case="c1"), "case c1 is retired: .*online 0x1234"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_would_be_right(ask: Ask, complaint: str) -> None:
    with pytest.raises(RequestRefused, match=complaint):
        read(ask, HOST, a_docket(State.RETIRED), 0)


def test_a_host_that_does_not_say_where_its_dimms_lie_cannot_lose_one() -> None:
    mute = HOST.model_copy(update={"interleave": None})
    with pytest.raises(RequestRefused, match="name the pages instead"):
        read(Ask(id="r", wish=Wish.EVACUATE, dimm="A"), mute, a_docket(), 0)


def test_an_evacuation_goes_beyond_the_cap() -> None:
    assert read(Ask(id="r", wish=Wish.EVACUATE, dimm="A"), HOST, a_docket(), 0).beyond_cap


@pytest.mark.parametrize(
    ("wish", "docket", "fate"),
    [
        (Wish.OFFLINE, a_docket(State.SUSPENDING), None),
        (Wish.OFFLINE, a_docket(State.RETIRED), (Rest.RETIRED, None)),
        (Wish.EVACUATE, a_docket(State.PARKED, reason=Reason.DOM0), (Rest.PARKED, Reason.DOM0)),
        (Wish.OFFLINE, a_docket(State.RETURNED), (Rest.RETURNED, Reason.OVERRULED)),
        (Wish.OFFLINE, a_docket(), (None, Reason.RETIRED_MEMORY_CAP)),
        (Wish.ONLINE, a_docket(), (None, Reason.NOT_TAKEN)),
        (Wish.ONLINE, a_docket(State.RETURNED), (Rest.RETURNED, None)),
        (Wish.CANCEL, a_docket(State.PARKED), (Rest.PARKED, Reason.OVERRULED)),
        (
            Wish.ONLINE,
            a_docket(State.RETIRED, reason=Reason.BROKEN),
            (Rest.RETIRED, Reason.BROKEN),
        ),
    ],
)
def test_what_became_of_a_page(wish: Wish, docket: Docket, fate: Fate | None) -> None:
    assert fate_of(a_request(wish), MFN, docket) == fate


def test_a_page_that_came_back_before_it_was_asked_for_and_has_no_new_case_met_the_cap() -> None:
    request = replace(a_request(Wish.OFFLINE), asked_at_ns=1 << 62)
    fate = fate_of(request, MFN, a_docket(State.RETURNED))
    assert fate == (None, Reason.RETIRED_MEMORY_CAP)


def test_a_page_that_is_recalled_is_still_open() -> None:
    docket = a_docket(State.RETIRED)
    docket.recall(MFN)
    assert fate_of(a_request(Wish.ONLINE), MFN, docket) is None


def test_each_page_is_counted_once_and_let_go_of() -> None:
    request = fed(a_request(), (MFN,))
    assert settled(request, a_docket(State.OPEN)) == request
    over = settled(request, a_docket(State.RETIRED))
    assert settled(over, a_docket(State.RETIRED)) == over
    assert (over.came, over.left, over.is_over) == ((((Rest.RETIRED, None), 1),), 0, True)


def test_a_request_that_a_reboot_ends_says_what_was_not_done() -> None:
    request = fed(a_request(pages=Pages(MFN, 5)), (MFN, Mfn(MFN + 1)))
    over = ended(settled(request, a_docket(State.RETIRED)), Reason.HOST_REBOOTED)
    assert over.is_over
    assert dict(over.came)[None, Reason.HOST_REBOOTED] == 3


def test_a_view_says_how_many_pages_are_as_wished() -> None:
    request = settled(fed(a_request(), (MFN,)), a_docket(State.RETIRED))
    view = view_of(request)
    assert (view.is_over, view.granted, view.pages) == (True, 1, 1)


@pytest.mark.parametrize(
    ("named", "complaint"),
    [
        ({"wish": Wish.OFFLINE, "first": 1}, r"names first and last \(first given\)"),
        ({"wish": Wish.EVACUATE}, r"names dimm \(none given\)"),
        ({"wish": Wish.ONLINE, "first": 2, "last": 1}, "must not be below first"),
    ],
)
def test_a_wish_names_what_it_is_about(named: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Ask.model_validate({"id": "r", **named})
