"""One door: whatever comes in becomes the columns that were sent, or one line that says why not."""

import json
from collections.abc import Sequence
from itertools import chain
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from agent.contract.codec import decode, decode_together, from_ereports, pack, to_ereports
from agent.contract.columns import Batch
from agent.contract.ereport import Ereport
from agent.contract.errors import Malformed
from agent.contract.rows import from_json

ARRAY = TypeAdapter(list[Ereport])
BOOT = UUID(int=0x3F0C)


def unknown_or(most: int) -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(0, most - 1)


EREPORTS = st.lists(
    st.builds(
        Ereport,
        host=st.just("hv-1"),
        boot_id=st.just(BOOT),
        seq=st.integers(0, 2**63 - 1),
        time_ns=st.integers(0, 2**63 - 1),
        kind=st.sampled_from(["ce", "ue"]),
        count=st.integers(0, 2**32 - 1),
        address=unknown_or(2**64),
        dimm=st.none() | st.text(max_size=8),
        rank=unknown_or(2**15),
        bank=unknown_or(2**15),
        row=unknown_or(2**31),
        column=unknown_or(2**31),
        detail=st.none() | st.text(max_size=8),
    ),
    min_size=1,
    max_size=6,
)
BATCHES = EREPORTS.map(from_ereports)


def refusal_of(payload: bytes) -> str | None:
    """Why `decode` refused, or None if it did not; anything but `Malformed` fails the test."""
    try:
        decode(payload)
    except Malformed as refused:
        return str(refused)
    return None


def are_same(these: Sequence[Batch], those: Sequence[Batch]) -> bool:
    return len(these) == len(those) and all(map(Batch.same_as, these, those))


@given(BATCHES)
def test_what_was_packed_comes_out(batch: Batch) -> None:
    assert decode(pack(batch)).same_as(batch)


@given(EREPORTS)
def test_json_and_packed_become_the_same_columns(ereports: list[Ereport]) -> None:
    assert decode(ARRAY.dump_json(ereports)).same_as(decode(pack(from_ereports(ereports))))


@given(BATCHES)
def test_columns_made_into_objects_make_the_same_columns(batch: Batch) -> None:
    assert from_ereports(to_ereports(batch)).same_as(batch)


@given(BATCHES, st.data())
def test_a_packed_message_cut_short_is_refused(batch: Batch, data: st.DataObject) -> None:
    payload = pack(batch)
    cut = data.draw(st.integers(0, len(payload) - 1))
    with pytest.raises(Malformed):
        decode(payload[:cut])


@given(BATCHES, st.data())
def test_a_packed_message_with_any_bit_flipped_is_refused(
    batch: Batch, data: st.DataObject
) -> None:
    payload = bytearray(pack(batch))
    bit = data.draw(st.integers(0, len(payload) * 8 - 1))
    payload[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Malformed):
        decode(bytes(payload))


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: b"PWE1" + tail))
def test_garbage_is_refused_in_one_short_line(payload: bytes) -> None:
    refusal = refusal_of(payload)
    assert refusal
    assert refusal.isprintable()
    assert len(refusal) < 500


@given(EREPORTS)
def test_what_is_as_it_should_be_takes_the_short_way(ereports: list[Ereport]) -> None:
    batches = from_json(ARRAY.dump_json(ereports))
    assert batches is not None
    assert are_same(batches, [from_ereports(ereports)])


def as_message(ereports: list[Ereport]) -> bytes:
    """Alone as a bare object, as people write it."""
    if len(ereports) == 1:
        return ereports[0].model_dump_json(exclude_none=True).encode()
    return ARRAY.dump_json(ereports, exclude_none=True)


@given(st.lists(EREPORTS, min_size=1, max_size=4))
def test_messages_that_are_read_in_one_go_hold_what_they_hold_one_by_one(
    messages: list[list[Ereport]],
) -> None:
    payloads = list(map(as_message, messages))
    batches = decode_together(payloads)
    # Brackets within a message, in a DIMM's label say, send it the other way.
    assert batches is not None or any(b"[" in each[1:] or b"]" in each[:-1] for each in payloads)
    assert batches is None or are_same(batches, [from_ereports([*chain(*messages)])])


FULL = '{"host":"hv-1","boot_id":"%s","seq":1,"time_ns":2,"detail":"d"}' % BOOT  # noqa: UP031 - braces
OPEN = FULL.removesuffix("}")

SEAMS = {
    "a comma too many": (FULL + ",", FULL),
    "an object in two halves": (FULL + "," + OPEN, '"row":3}'),
    "a field in two halves": (FULL + "," + OPEN + ',"row":', "3}"),
    "a string in two halves": (FULL + "," + OPEN + ',"dimm":"A', 'B"}'),
    "a string that takes a message in": (FULL + "," + OPEN + ',"dimm":"{', '{"}'),
    "a list that is hidden by what comes after": (
        FULL + "," + OPEN + ',"detail":[1',
        '{}],"detail":"d"}',
    ),
    "an array in two halves": (f"[{FULL}", f"{FULL}]"),
    "an array and the rest of another": (f"[{FULL}", f"{FULL}],{FULL}"),
    "two objects": (f"{FULL},{FULL}", FULL),
    "nothing beside two": ("", f"{FULL},{FULL}"),
    "an array of nothing": ("[]", FULL),
    "an array in an array": (f"[[{FULL}]]", FULL),
}


@pytest.mark.parametrize("texts", SEAMS.values(), ids=SEAMS.keys())
def test_a_message_is_never_mended_by_its_neighbour(texts: tuple[str, str]) -> None:
    payloads = [text.encode() for text in texts]
    assert any(refusal_of(payload) for payload in payloads)
    assert decode_together(payloads) is None
    assert decode_together(payloads[::-1]) is None


def test_what_is_read_in_one_go_is_cut_into_batches_of_what_a_message_may_hold() -> None:
    batches = decode_together([f"[{','.join([FULL] * 600)}]".encode()] * 3)
    assert batches is not None
    assert [len(batch) for batch in batches] == [1024, 776]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(sorted(Ereport.model_fields)) | st.text()


NUMBERS = st.integers(-1, 1) | st.sampled_from([1 << bits for bits in (15, 31, 32, 63, 64)])


@given(st.dictionaries(FIELDS, JSON | NUMBERS | st.sampled_from(["ce", "hv-2"]), max_size=3))
def test_the_short_way_lets_nothing_in_that_the_long_way_would_not(
    changes: dict[str, object],
) -> None:
    plain: dict[str, object] = {"host": "hv-1", "boot_id": str(BOOT), "seq": 1, "time_ns": 2}
    payload = json.dumps([plain, plain | changes]).encode()
    batches = from_json(payload)
    assert batches is None or are_same(batches, [from_ereports(ARRAY.validate_json(payload))])


@given(st.dictionaries(FIELDS, JSON, max_size=4))
def test_json_of_any_shape_is_let_in_or_refused_in_one_short_line(
    changes: dict[str, object],
) -> None:
    ereport = {"host": "hv-1", "boot_id": str(BOOT), "seq": 1, "time_ns": 2} | changes
    refusal = refusal_of(json.dumps([ereport]).encode())
    assert refusal is None or (refusal.isprintable() and len(refusal) < 500)
