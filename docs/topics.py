"""`topics.md`: the bus for people, from the same channels as the AsyncAPI document."""

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, cast

from agent.contract.columns import COLUMNS
from agent.contract.frames import PAGE_SIZE
from agent.contract.hypercall import PageUse
from agent.retirement.case import Origin
from agent.retirement.ladder import Rung
from agent.retirement.reason import TEXT
from agent.retirement.states import State
from docs.channels import CHANNELS, Channel, Message
from docs.keys import Key, Table, tables
from docs.markdown import as_table

HEAD = """\
# Topics and payloads

<!-- Made by `python -m docs` from docs/channels.py and the contract's models: edit those. -->

Everything goes over MQTT with QoS 1, below `pagewarden/v1/<host>/`. For programs the same stands in
[asyncapi.yaml](asyncapi.yaml), an AsyncAPI 3 document. What operators ask does not go over the bus,
but over the agent's own socket: see [operate.md](operate.md).
"""

PACKED = """\
Behind the header stand these columns, all little-endian, each with as many values as the header's
`count`; what is not known is -1, and an address counts only where `located` is 1.
"""

WORDS: tuple[tuple[str, str, type[Enum]], ...] = (
    (
        "state",
        "where the case is in the machine that [ARCHITECTURE.md](../ARCHITECTURE.md) draws",
        State,
    ),
    ("use", "what the page was used for when it was asked about", PageUse),
    ("rung", "the last rung of the ladder that was tried", Rung),
    ("origin", "who wants the page out of use", Origin),
)


def markdown() -> str:
    return "\n".join(
        (HEAD, *_overview(), *(part for c in CHANNELS for part in _channel(c)), *_words())
    )


def _overview() -> Iterator[str]:
    rows = ((f"[`{c.address}`](#{c.name})", c.speaker, c.listener, _retained(c)) for c in CHANNELS)
    yield as_table(("topic", "who speaks", "who listens", "retained"), rows) + "\n"


def _retained(channel: Channel) -> str:
    return "yes" if channel.retained else "no"


def _channel(channel: Channel) -> Iterator[str]:
    yield f"## {channel.name}\n"
    yield f"`{channel.address}`\\\nFrom: {channel.speaker}\\\nTo: {channel.listener}\n"
    yield f"{channel.about}\n"
    for message in channel.messages:
        if len(channel.messages) > 1:
            yield f"### {message.title}\n"
        yield from _message(message)


def _message(message: Message) -> Iterator[str]:
    if message.about:
        yield f"{message.about}\n"
    for table in tables(message.model, {}):
        if table.name:
            yield f"Each of `{table.name}`:\n"
        yield from _fields(table)
    if message.model.__doc__:
        yield " ".join(message.model.__doc__.split()) + "\n"
    if message.is_packed:
        yield PACKED
        yield (
            as_table(("column", "type"), ((f"`{name}`", kind.name) for name, kind in COLUMNS))
            + "\n"
        )
    for example in message.examples:
        yield from _example(message, example)


def _fields(table: Table) -> Iterator[str]:
    rows = ((f"`{key.name}`", key.type, _left_out(key)) for key in table.keys)
    yield as_table(("field", "type and bounds", "if left out"), rows) + "\n"


def _left_out(key: Key) -> str:
    if key.default is None:
        return "must be there" if key.is_required else "not known"
    return f"`{key.default}`"


def _example(message: Message, example: Any) -> Iterator[str]:  # noqa: ANN401 - JSON has no type
    if message.is_packed:
        yield f"Two ereports, in base64:\n\n```text\n{example}\n```\n"
    elif isinstance(example, list):
        rows = ",\n ".join(map(json.dumps, cast("list[object]", example)))
        yield f"```json\n[{rows}]\n```\n"
    else:
        yield f"```json\n{json.dumps(example)}\n```\n"


def _words() -> Iterator[str]:
    yield "## The words in a case\n"
    for field, about, words in WORDS:
        yield f"`{field}` is {about}: {', '.join(f'`{word.value}`' for word in words)}.\n"
    yield f"`mfn` is the host's frame: the page of {PAGE_SIZE:,} bytes at `mfn` × {PAGE_SIZE:,}.\n"
    yield "`reason` is why it is refused, failed, or left alone:\n"
    yield as_table(("reason", "what it means"), _reasons(TEXT)) + "\n"


def _reasons(texts: Mapping[Any, str]) -> Iterator[tuple[str, str]]:
    return ((f"`{reason}`", text) for reason, text in texts.items())
