"""The AsyncAPI document is one by AsyncAPI's own schema, and says what the contract says."""

import copy
import inspect
import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

import pytest

from agent.contract import codec, topics
from agent.contract.case_event import CaseEvent
from agent.contract.columns import Batch
from agent.contract.ereport import Applied, Inventory, Range
from docs.__main__ import HERE
from docs.asyncapi import document
from docs.channels import CHANNELS
from tests.support import node
from tests.support.needs import missing

TYPES = HERE / "types"


@pytest.fixture
def kept() -> dict[str, Any]:
    return copy.deepcopy(document())


def test_every_topic_of_the_contract_is_a_channel() -> None:
    names = ("{host}", "{case}")
    makers = [
        maker
        for _, maker in inspect.getmembers(topics, inspect.isfunction)
        if maker is not topics.checked_host
    ]
    addresses = {maker(*names[: len(inspect.signature(maker).parameters)]) for maker in makers}
    assert addresses == {channel.address for channel in CHANNELS}


def references(node: object) -> Iterator[str]:
    match node:
        case {"$ref": str(path)}:
            yield path
        case dict():
            for inner in node.values():
                yield from references(inner)
        case list():
            for inner in node:
                yield from references(inner)


def test_every_reference_leads_somewhere(kept: dict[str, Any]) -> None:
    paths = list(references(kept))
    assert len(paths) > len(CHANNELS)
    for path in paths:
        assert reduce(lambda node, key: node[key], path.removeprefix("#/").split("/"), kept)


def examples_of(name: str) -> list[Any]:
    return [e["payload"] for e in document()["components"]["messages"][name]["examples"]]


READERS: dict[str, Callable[[Any], object]] = {
    "json": lambda payload: codec.decode(json.dumps(payload).encode()),
    "packed": lambda payload: codec.decode(b64decode(payload)),
    "applied": lambda payload: Applied.model_validate_json(json.dumps(payload)),
    "resend": lambda payload: Range.model_validate_json(json.dumps(payload)),
    "inventory": lambda payload: Inventory.model_validate_json(json.dumps(payload)),
    "case": lambda payload: CaseEvent.model_validate_json(json.dumps(payload)),
}


@pytest.mark.parametrize("name", document()["components"]["messages"])
def test_every_example_is_taken_by_whoever_takes_it(name: str) -> None:
    assert examples_of(name)
    for payload in examples_of(name):
        READERS[name](payload)


def test_both_encodings_of_the_example_say_the_same() -> None:
    packed = codec.decode(b64decode(examples_of("packed")[0]))
    assert isinstance(packed, Batch)
    assert codec.to_ereports(packed) == codec.to_ereports(
        codec.decode(json.dumps(examples_of("json")[1]).encode())
    )


def complaints(document: dict[str, Any]) -> list[str]:
    """What AsyncAPI's schema, and the document's own, have against it."""
    if not (TYPES / "node_modules" / "ajv").exists():
        missing("asyncapi-schema")
    done = node.run([str(TYPES / "check.mjs")], json.dumps(document))
    assert done.code == 0, done.err
    return done.out.splitlines()


def test_asyncapi_s_own_schema_knows_all_of_the_document(kept: dict[str, Any]) -> None:
    """`make docs-types` fetches it."""
    assert complaints(kept) == []


def of_no_action(document: dict[str, Any]) -> None:
    document["operations"]["sendCases"]["action"] = "tell"


def unknown_key(document: dict[str, Any]) -> None:
    document["channels"]["cases"]["adress"] = "pagewarden/v1/{host}/cases/{case}"


def below_its_bound(document: dict[str, Any]) -> None:
    document["components"]["messages"]["applied"]["examples"][0]["payload"]["next_seq"] = -1


def of_no_state(document: dict[str, Any]) -> None:
    document["components"]["messages"]["case"]["examples"][0]["payload"]["rest"] = "asleep"


@pytest.mark.parametrize("defect", [of_no_action, unknown_key, below_its_bound, of_no_state])
def test_a_defect_is_found(defect: Callable[[dict[str, Any]], None], kept: dict[str, Any]) -> None:
    defect(kept)
    assert complaints(kept)
