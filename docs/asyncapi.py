"""`asyncapi.yaml`: the bus as an AsyncAPI 3 document, for tools that make clients, mocks and pages.

It describes what the agent sends and receives. Schemas are the contract's models as pydantic tells
them.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, cast

from agent.contract.ereport import BATCH_MAX
from dashboards.yaml import as_yaml
from docs.channels import CHANNELS, PARAMETERS, Channel, Message

VERSION = "3.0.0"
HEAD = "# Made by `python -m docs` from docs/channels.py and the contract's models: edit those.\n"
SCHEMAS = "#/components/schemas/"
PACKED = "application/octet-stream"

Document = dict[str, Any]


def document() -> Document:
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "pagewarden on the bus",
            "version": version("pagewarden"),
            "description": "Memory errors in, retired pages out. topics.md tells it to people.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "127.0.0.1:1883",
                "protocol": "mqtt",
                "protocolVersion": "5",
                "description": "broker.url of the agent's configuration; mqtts:// for a fleet.",
            }
        },
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {
            _operation_name(channel): _operation(channel)
            for channel in CHANNELS
            if channel.agent_does
        },
        "components": {
            "messages": {m.name: _message(m) for channel in CHANNELS for m in channel.messages},
            "schemas": schemas(),
        },
    }


def yaml() -> str:
    return HEAD + as_yaml(document())


def _channel(channel: Channel) -> Document:
    return {
        "address": channel.address,
        "description": channel.about,
        "parameters": {name: {"description": PARAMETERS[name]} for name in channel.parameters},
        "messages": {m.name: _ref(f"#/components/messages/{m.name}") for m in channel.messages},
    }


def _operation_name(channel: Channel) -> str:
    return f"{channel.agent_does}{channel.name.capitalize()}"


def _operation(channel: Channel) -> Document:
    bound = {"qos": 1, "retain": channel.retained} if channel.agent_does == "send" else {"qos": 1}
    return {
        "action": channel.agent_does,
        "channel": _ref(f"#/channels/{channel.name}"),
        "summary": f"{channel.speaker} → {channel.listener}",
        "messages": [
            _ref(f"#/channels/{channel.name}/messages/{m.name}") for m in channel.messages
        ],
        "bindings": {"mqtt": bound | {"bindingVersion": "0.2.0"}},
    }


def _message(message: Message) -> Document:
    said = {"name": message.name, "title": message.title}
    if message.about:
        said["summary"] = message.about
    return said | {
        "contentType": PACKED if message.is_packed else "application/json",
        "payload": _payload(message),
        "examples": [{"payload": example} for example in message.examples],
    }


def _payload(message: Message) -> Document:
    schema = _ref(f"{SCHEMAS}{message.model.__name__}")
    if message.is_packed:
        return {
            "type": "string",
            "format": "binary",
            "description": "Bytes; the examples are in base64. x-header is the header.",
            "x-header": schema,
        }
    if message.is_array:
        return {
            "oneOf": [
                schema,
                {"type": "array", "minItems": 1, "maxItems": BATCH_MAX, "items": schema},
            ]
        }
    return schema


def _ref(path: str) -> Document:
    return {"$ref": path}


def schemas() -> Document:
    """Every model, and every model in it."""
    found: Document = {}
    for model in (message.model for channel in CHANNELS for message in channel.messages):
        schema = model.model_json_schema(ref_template=f"{SCHEMAS}{{model}}")
        found |= schema.pop("$defs", {}) | {model.__name__: schema}
    return {name: _plain(found[name]) for name in sorted(found)}


def _plain(schema: Any) -> Any:  # noqa: ANN401 - JSON has no type
    """Without titles, which repeat the names, and without defaults that are nothing."""
    match schema:
        case Mapping():
            return dict(_told(cast("Mapping[str, Any]", schema)))
        case list():
            return [_plain(part) for part in cast("Sequence[Any]", schema)]
        case _:
            return schema


def _told(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in schema.items():
        if key == "properties":
            yield key, {name: _plain(inner) for name, inner in value.items()}
        elif key == "description":
            yield key, " ".join(value.split())
        elif key != "title" and not (key == "default" and value is None):
            yield key, _plain(value)
