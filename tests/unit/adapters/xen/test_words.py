"""Every answer that a real Xen 4.17.7 gave, read; and none that it never gave."""

import errno

import pytest

from agent.adapters.xen.words import (
    FILLER,
    Answer,
    Found,
    Holder,
    Place,
    Taken,
    read_offline,
    read_online,
    read_query,
)
from agent.contract.errors import PeerError
from agent.contract.frames import DomId

PENDING, OFFLINED, ONLINE = Place.PENDING, Place.OFFLINED, Place.ONLINE
NO_PAGE = Answer(-1, errno.EINVAL, FILLER)
IMAGE = Answer(-1, errno.EPERM, 0x7FF20108)

TAKEN = {
    "free": (Answer(0, 0, 0x2), Taken(OFFLINED)),
    "dom0": (Answer(0, 0, 0x1004), Taken(PENDING, Holder.DOM0)),
    "a guest": (Answer(0, 0, 0x11004), Taken(PENDING, Holder.GUEST, DomId(1))),
    "the last guest": (Answer(0, 0, 0x7FEF1004), Taken(PENDING, Holder.GUEST, DomId(0x7FEF))),
    "the first reserved id": (Answer(0, 0, 0x7FF01004), Taken(PENDING, Holder.XEN)),
    "low RAM": (Answer(0, 0, 0x7FF11004), Taken(PENDING, Holder.XEN)),
    "the M2P": (Answer(0, 0, 0x7FF21004), Taken(PENDING, Holder.XEN)),
    "Xen's heap": (Answer(0, 0, 0x7FF20104), Taken(PENDING, Holder.XEN)),
    "shared": (Answer(0, 0, 0x7FF31004), Taken(PENDING, Holder.SHARED)),
    "without an owner": (Answer(0, 0, 0x7FF40408), Taken(PENDING, Holder.UNKNOWN)),
    "Xen's image": (IMAGE, Taken(ONLINE, Holder.XEN_IMAGE)),
    "no RAM": (Answer(-1, errno.EINVAL, 0x808), Taken(Place.NO_MEMORY)),
    "no page": (NO_PAGE, Taken(Place.NO_MEMORY)),
    "its owner crashed": (Answer(0, 0, 0x10), Taken(PENDING, Holder.UNKNOWN, is_broken=True)),
    "broke while asked": (Answer(0, 0, 0x2002), Taken(OFFLINED, is_broken=True)),
}

FOUND = {
    "online": (Answer(0, 0, 0x0), Found(ONLINE)),
    "offlined": (Answer(0, 0, 0x2), Found(OFFLINED)),
    "pending": (Answer(0, 0, 0x8), Found(PENDING)),
    "broken and offlined": (Answer(0, 0, 0x12), Found(OFFLINED, is_broken=True)),
    "broken and owned": (Answer(0, 0, 0x18), Found(PENDING, is_broken=True)),
    "no page": (NO_PAGE, Found(Place.NO_MEMORY)),
}


@pytest.mark.parametrize("case", TAKEN)
def test_an_answer_to_offline_is_read_as_what_it_says(case: str) -> None:
    answer, taken = TAKEN[case]
    assert read_offline(answer) == taken


@pytest.mark.parametrize("case", FOUND)
def test_an_answer_to_a_query_is_read_as_what_it_says(case: str) -> None:
    answer, found = FOUND[case]
    assert read_query(answer) == found


def test_online_says_whether_anything_was_done() -> None:
    assert [read_online(Answer(0, 0, word)) for word in (0x2, 0x0)] == [True, False]


# Each of these would pass for an answer, to one who looks at a part of it.
MISLEADING = {
    "an owner that is the filler": Answer(0, 0, FILLER),
    "a refusal without its errno": Answer(0, 0, 0x7FF20108),
    "an errno without its word": Answer(-1, errno.EPERM, 0x1004),
    "an offlined page and an error": Answer(-1, errno.EINVAL, 0x2),
    "not the control domain": Answer(-1, errno.EPERM, FILLER),
    "another interface": Answer(-1, errno.EACCES, FILLER),
    "a query's word": Answer(0, 0, 0x8),
    "pending, and nothing more": Answer(0, 0, 0x4),
    "no bit at all": Answer(0, 0, 0x0),
}


@pytest.mark.parametrize("case", MISLEADING)
def test_what_only_looks_like_an_answer_is_none(case: str) -> None:
    with pytest.raises(PeerError):
        read_offline(MISLEADING[case])


@pytest.mark.parametrize("word", [0x4, 0x1, 0x20, 0x1004, 0xA])
def test_a_query_is_answered_by_its_own_bits_alone(word: int) -> None:
    with pytest.raises(PeerError):
        read_query(Answer(0, 0, word))


def test_a_library_of_another_release_is_told_as_that() -> None:
    with pytest.raises(PeerError, match="EACCES: library and hypervisor are of different"):
        read_query(Answer(-1, errno.EACCES, FILLER))


def test_a_broken_page_brought_online_is_an_answer_that_nobody_should_have_got() -> None:
    with pytest.raises(PeerError, match="0x00002008"):
        read_online(Answer(-1, errno.EINVAL, 0x2008))
