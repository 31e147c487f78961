"""The words of real Xen: every one that has a meaning is read back, every other is refused."""

from collections.abc import Callable

import pytest

from agent.contract.frames import DomId
from emulator.xen.words import (
    DOMID_COW,
    DOMID_INVALID,
    DOMID_IO,
    DOMID_XEN,
    FILLER,
    Offline,
    Online,
    Query,
    Word,
    decode_offline,
    decode_online,
    decode_query,
)

LOW_HALVES = range(1 << 16)
INVALID = Offline.INVALID
KNOWN = sum(Offline)
OWNERS = [DomId(0), DomId(1), DomId(0x7FEF), DOMID_IO, DOMID_XEN, DOMID_COW, DOMID_INVALID]


def is_word(low: int) -> bool:
    return not low & ~KNOWN


@pytest.mark.parametrize("owner", OWNERS)
def test_every_combination_of_bits_is_encoded_so_that_it_is_read_back(owner: DomId) -> None:
    words = [Word(Offline(low), owner) for low in LOW_HALVES if is_word(low) and not low & INVALID]
    assert [decode_offline(word.encode()) for word in words] == words


def test_every_word_with_the_invalid_bit_was_never_written() -> None:
    assert {decode_offline(low) for low in LOW_HALVES if low & INVALID} == {None}


def test_every_bit_that_means_nothing_is_refused() -> None:
    refused = [low for low in LOW_HALVES if not low & INVALID and not is_word(low)]
    for low in refused:
        with pytest.raises(ValueError, match="invalid value"):
            decode_offline(low)


@pytest.mark.parametrize("word", [-1, 1 << 32])
def test_a_word_has_32_bits(word: int) -> None:
    with pytest.raises(ValueError, match="a word has 32 bits"):
        decode_query(word)


@pytest.mark.parametrize(
    ("word", "flags", "owner"),
    [
        (0x00000002, Offline.OFFLINED, 0),
        (0x00001004, Offline.OWNED | Offline.PENDING, 0),
        (0x00011004, Offline.OWNED | Offline.PENDING, 1),
        (0x7FF20108, Offline.XENPAGE | Offline.FAILED, DOMID_XEN),
        (0x7FF40408, Offline.ANONYMOUS | Offline.FAILED, DOMID_INVALID),
        (0x00000808, Offline.NOT_CONV_RAM | Offline.FAILED, 0),
        (0x00002002, Offline.OFFLINED | Offline.BROKEN, 0),
        (0x00000010, Offline.AGAIN, 0),
    ],
)
def test_a_recorded_word_says_what_xen_meant(word: int, flags: Offline, owner: int) -> None:
    assert decode_offline(word) == Word(flags, DomId(owner))


@pytest.mark.parametrize("decode", [decode_offline, decode_online, decode_query])
def test_the_filler_is_no_answer_to_anything(decode: Callable[[int], object]) -> None:
    """Its other bits would name domain 257 as the owner of a page of Xen."""
    assert decode(FILLER) is None


@pytest.mark.parametrize(("flags", "bits"), [(Online, (1, 3, 13)), (Query, (1, 2, 3, 4))])
def test_the_other_encodings_have_these_bits_and_no_more(
    flags: type[Online] | type[Query], bits: tuple[int, ...]
) -> None:
    assert [flag.value for flag in flags] == [1 << bit for bit in bits]


def test_an_online_word_with_a_bit_of_another_encoding_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid value"):
        decode_online(0x4)


def test_invariant_23_the_same_bits_say_one_thing_to_offline_and_another_to_a_query() -> None:
    assert (decode_offline(0x8), decode_query(0x8)) == (Word(Offline.FAILED), Query.PENDING)
    assert (decode_offline(0x4), decode_query(0x4)) == (Word(Offline.PENDING), Query.ONLINE)


def test_invariant_34_the_bit_that_nobody_sets_is_known_all_the_same() -> None:
    assert decode_offline(0x200) == Word(Offline.DOM0PAGE)
