"""Enough YAML to write the rules so that people like to read them."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

Node = str | int | float | Mapping[str, "Node"] | Sequence["Node"]

_PLAIN = re.compile(r"(?!\d*$)\w([\w.,;/()'+ -]|:(?! ))*(?<![ :])")  # what needs no quotes
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null"})


def as_yaml(node: Node) -> str:
    """`node` as a document."""
    return "\n".join(_lines(node)) + "\n"


def _lines(node: Node) -> Iterator[str]:
    match node:
        case Mapping():
            for key, value in node.items():
                yield from _entry(f"{key}:", value)
        case str() | int() | float():
            yield _scalar(node)
        case _:
            for value in node:
                first, *others = _lines(value)
                yield f"- {first}"
                yield from (f"  {line}" for line in others)


def _entry(key: str, value: Node) -> Iterator[str]:
    if isinstance(value, str) and ("\n" in value or '"' in value):
        yield f"{key} |-"
        yield from (f"  {line}" for line in value.split("\n"))
    elif isinstance(value, str | int | float) or not value:
        yield f"{key} {_scalar(value)}"
    else:
        yield key
        yield from (f"  {line}" for line in _lines(value))


def _scalar(value: Node) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return json.dumps(value) if value.lower() in _WORDS else value
    return json.dumps(value, ensure_ascii=False)
