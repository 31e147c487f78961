"""What the door refuses, and the one line it says. What it lets in is a property."""

import json
from dataclasses import replace
from uuid import UUID
from zlib import crc32

import numpy as np
import pytest

from agent.contract.codec import decode, pack
from agent.contract.ereport import BATCH_MAX
from agent.contract.errors import Malformed
from tests.support.batches import a_batch

ORDINARY: dict[str, object] = {
    "host": "hv-1",
    "boot_id": "00000000-0000-0000-0000-000000000001",
    "seq": 41,
    "time_ns": 1_704_148_094_000_000_000,
}


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def refusal_of(payload: bytes) -> str:
    with pytest.raises(Malformed) as refused:
        decode(payload)
    return str(refused.value)


def test_an_object_is_a_batch_of_one() -> None:
    assert decode(as_json(ORDINARY)).seq.tolist() == [41]


def test_an_address_that_is_not_given_is_unlocated() -> None:
    assert not decode(as_json(ORDINARY)).located.any()


def test_address_zero_is_an_address() -> None:
    assert decode(as_json(ORDINARY | {"address": 0})).located.all()


def test_white_space_before_an_array_is_fine() -> None:
    assert len(decode(b" \n" + as_json([ORDINARY, ORDINARY]))) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seq": -1}, "at seq: Input should be greater than or equal to 0 (got -1)"),
        ({"seq": 2**63}, "at seq: Input should be less than 9223372036854775808"),
        ({"time_ns": "noon"}, "at time_ns: Input should be a valid integer"),
        ({"time_ns": 1.5}, "at time_ns: Input should be a valid integer"),
        ({"boot_id": "first"}, "at boot_id: Input should be a valid UUID"),
        ({"host": "a/b"}, "at host: Value error, a host name is 1 to 128 letters"),
        ({"kind": "fatal"}, "at kind: Input should be 'ce' or 'ue' (got 'fatal')"),
        ({"count": 2**32}, "at count: Input should be less than 4294967296"),
        ({"address": 2**64}, "at address: Input should be less than 18446744073709551616"),
        ({"dimm": "x" * 129}, "at dimm: String should have at most 128 characters"),
        ({"dimm": ["A1"]}, "at dimm: Input should be a valid string"),
        ({"rank": 2**15}, "at rank: Input should be less than 32768"),
        ({"row": 2**31}, "at row: Input should be less than 2147483648"),
        ({"mfn": 5}, "at mfn: Extra inputs are not permitted (got 5)"),
    ],
)
def test_json_out_of_the_contract_is_refused_by_field(
    changes: dict[str, object], said: str
) -> None:
    assert refusal_of(as_json(ORDINARY | changes)).startswith(said)


def test_a_refusal_counts_the_complaints_it_does_not_name() -> None:
    assert refusal_of(b"{}") == "at host: Field required (and 3 more)"


def test_a_refusal_says_which_ereport_of_an_array() -> None:
    assert refusal_of(as_json([ORDINARY, ORDINARY | {"seq": -1}])).startswith("at 1.seq: ")


def test_a_refusal_is_one_short_line_whatever_the_sender_wrote() -> None:
    for changes in ({"a\nb" * 1000: 1}, {"host": "x\n" * 1000}, {"seq": "\u2028" * 1000}):
        said = refusal_of(as_json(ORDINARY | changes))
        assert said.isprintable()
        assert len(said) < 400


def test_an_empty_array_is_refused() -> None:
    assert refusal_of(b"[]").startswith("List should have at least 1 item")


def test_one_more_than_the_most_is_refused() -> None:
    assert len(decode(as_json([ORDINARY] * BATCH_MAX))) == BATCH_MAX
    assert refusal_of(as_json([ORDINARY] * (BATCH_MAX + 1))).startswith("List should have at most")


@pytest.mark.parametrize("changes", [{"host": "hv-2"}, {"boot_id": str(UUID(int=2))}])
def test_one_message_is_of_one_host_and_one_boot(changes: dict[str, object]) -> None:
    said = refusal_of(as_json([ORDINARY, ORDINARY | changes]))
    assert said == "at 1: one message holds one host and one boot_id"


def test_deep_nesting_is_refused() -> None:
    assert "recursion limit" in refusal_of(b"[" * 100_000)


OUT_OF_RANGE = {
    "seq": 2**63,
    "time_ns": -1,
    "address": 4096,  # of an ereport that has none
    "row": -2,
    "column": -2,
    "dimm": 0,  # of no labels
    "rank": -2,
    "bank": -2,
    "kind": 2,
}


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE.items())
def test_a_packed_column_lets_in_no_more_than_json_does(name: str, value: int) -> None:
    batch = a_batch([0, 1], mfns=[None, None])
    column = getattr(batch, name).copy()
    column[1] = value
    said = refusal_of(pack(replace(batch, **{name: column})))
    assert said == f"packed batch, column {name}: a value is out of range"


def test_a_packed_truth_is_0_or_1() -> None:
    located = np.array([2, 1], np.uint8).view(np.bool_)
    said = refusal_of(pack(replace(a_batch([0, 1]), located=located)))
    assert said == "packed batch, column located: a value is out of range"


def test_a_wrong_checksum_is_named() -> None:
    payload = bytearray(pack(a_batch([0])))
    payload[-1] ^= 1
    assert "the checksum does not match" in refusal_of(bytes(payload))


def resealed(payload: bytes) -> bytes:
    """`payload` with the checksum that belongs to it: damage that was meant."""
    return payload[:4] + crc32(payload[8:]).to_bytes(4, "little") + payload[8:]


def test_a_packed_message_cut_at_any_byte_is_refused_even_with_a_good_checksum() -> None:
    payload = pack(a_batch([0, 1]))
    for length in range(len(payload)):
        assert refusal_of(resealed(payload[:length]) if length > 8 else payload[:length])


def test_a_packed_message_with_more_than_it_announces_is_refused() -> None:
    assert "2 ereports need" in refusal_of(resealed(pack(a_batch([0, 1])) + b"\0"))


def test_a_header_that_lies_about_the_first_number_is_refused() -> None:
    payload = pack(a_batch([3])).replace(b'"first_seq":3', b'"first_seq":4')
    assert refusal_of(resealed(payload)) == "packed batch, column seq: a value is out of range"


def test_a_header_with_a_name_nobody_knows_is_refused() -> None:
    payload = pack(a_batch([3])).replace(b'"first_seq"', b'"first_sea"')
    assert refusal_of(resealed(payload)).startswith("packed batch, header: at first_seq")


def test_a_header_as_long_as_can_be_said_is_refused() -> None:
    payload = pack(a_batch([3]))
    said = refusal_of(resealed(payload[:8] + b"\xff\xff\xff\xff" + payload[12:]))
    assert said.startswith("packed batch, header: Invalid JSON")


@pytest.mark.parametrize("number", [0, BATCH_MAX + 1])
def test_packing_refuses_what_one_message_cannot_hold(number: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 1024 ereports .got {number}."):
        pack(a_batch(range(number)))


def test_every_ereport_keeps_its_label_however_many_there_are() -> None:
    ereports = [ORDINARY | {"dimm": f"D{number}"} for number in range(BATCH_MAX)]
    batch = decode(as_json(ereports))
    assert [batch.dimms[at] for at in batch.dimm] == [f"D{number}" for number in range(BATCH_MAX)]
