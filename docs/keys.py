"""The keys of a configuration, from the pydantic models that read it: type, bounds, default."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin
from uuid import UUID

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from agent.contract.topics import checked_host
from emulator.sizes import parse_size, shown
from emulator.spans import parse_span

PLAIN = {
    str: "text",
    bool: "true or false",
    int: "whole number",
    float: "number",
    Path: "path",
    time: "time of day",
    UUID: "UUID",
}
# What a check of ours makes of a plain type.
CHECKED: dict[object, str] = {
    checked_host: "name of a host",
    parse_size: "size",
    parse_span: "span of time",
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key, its type in words, and its default as it is written, if it has any."""

    name: str
    type: str
    default: str | None
    is_required: bool = False

    @property
    def is_free_table(self) -> bool:
        return self.type.startswith("table of")


@dataclass(frozen=True, slots=True)
class Table:
    """A TOML table. `many`: `[[name]]`, as many as one likes."""

    name: str
    about: str
    many: bool
    keys: tuple[Key, ...]

    @property
    def heading(self) -> str:
        return f"[[{self.name}]]" if self.many else f"[{self.name}]"


def tables(
    model: type[BaseModel], given: Mapping[str, Any], name: str = "", *, many: bool = False
) -> Iterator[Table]:
    """`model` as a table, and every table in it; `given` are the values that stand in the file."""
    fields = model.model_fields
    own = (key_of(key, found, given) for key, found in fields.items() if not _is_table(found))
    yield Table(name, _about(model), many, tuple(own))
    for key, found in fields.items():
        if below := _model_in(found.annotation):
            path, alone = f"{name}.{key}".lstrip("."), _is_table(found)
            yield from tables(below, given.get(key, {}) if alone else {}, path, many=not alone)


def _about(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _is_table(found: FieldInfo) -> bool:
    return isinstance(found.annotation, type) and issubclass(found.annotation, BaseModel)


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - annotations have no common type
    """The model that `annotation` is, or is a list of."""
    for choice in (annotation, *get_args(annotation)):
        if isinstance(choice, type) and issubclass(choice, BaseModel):
            return choice
    return None


def key_of(name: str, found: FieldInfo, given: Mapping[str, Any]) -> Key:
    if found.is_required():
        value = as_toml(given[name]) if name in given else None
        return Key(name, words(found.annotation, found.metadata), value, is_required=True)
    default = found.get_default(call_default_factory=True, validated_data={})
    if CHECKED.get(_check(found.metadata)) == "size" and default is not None:
        default = shown(default)
    return Key(name, words(found.annotation, found.metadata), as_toml(default))


def words(annotation: Any, metadata: Sequence[object] = ()) -> str:  # noqa: ANN401 - as above
    """A type and its bounds as people say them: `whole number, 5 to 3,600`."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return words(inside[0], (*_flat(inside[1:]), *metadata))
    if origin in {Union, UnionType}:
        return " or ".join(words(choice, metadata) for choice in inside if choice is not NoneType)
    if said := CHECKED.get(_check(metadata)):
        return said
    return ", ".join((_kind(annotation), *_bounds(annotation, metadata)))


def _flat(metadata: Sequence[object]) -> Iterator[object]:
    """Bounds, also those that stand in a `Field`."""
    for bound in metadata:
        yield from bound.metadata if isinstance(bound, FieldInfo) else (bound,)


def _check(metadata: Sequence[object]) -> object:
    """The check of ours that a value goes through, if there is one that has words."""
    checks = (getattr(check, "func", None) for check in metadata)
    return next((check for check in checks if check in CHECKED), None)


def _kind(annotation: Any) -> str:  # noqa: ANN401 - as above
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Literal and len(inside) == 1:
        return f"always `{inside[0]}`"
    if origin is Literal:
        return _one_of(inside)
    if origin is tuple:
        return f"list of {'tables' if _model_in(annotation) else words(inside[0])}"
    if origin is dict:
        return f"table of one {words(inside[1])} each for {words(inside[0])}"
    return _one_of(list(annotation)) if issubclass(annotation, Enum) else PLAIN[annotation]


def _one_of(values: Sequence[object]) -> str:
    *others, last = (f"`{as_toml(value)}`" for value in values)
    return f"{', '.join(others)} or {last}"


def _bounds(annotation: object, metadata: Sequence[object]) -> Iterator[str]:
    """Each bound; of whole numbers, the least and the greatest that may be."""
    low = next((bound for bound in metadata if isinstance(bound, Ge | Gt)), None)
    high = next((bound for bound in metadata if isinstance(bound, Le | Lt)), None)
    least, most = _least(low, annotation is int), _most(high, annotation is int)
    if isinstance(least, Ge) and isinstance(most, Le):
        yield f"{_number(least.ge)} to {_number(most.le)}"
    else:
        yield from _half(least, most)
    for bound in metadata:
        if isinstance(bound, MinLen):
            yield f"at least {bound.min_length}"
        elif isinstance(bound, MaxLen):
            yield f"at most {bound.max_length}{' characters' if annotation is str else ''}"
        elif pattern := getattr(bound, "pattern", None):
            yield f"matching `{pattern}`"


def _least(bound: Any, whole: bool) -> Any:  # noqa: ANN401, FBT001 - their values have no common type
    return Ge(cast("int", bound.gt) + 1) if whole and isinstance(bound, Gt) else bound


def _most(bound: Any, whole: bool) -> Any:  # noqa: ANN401, FBT001 - as above
    return Le(cast("int", bound.lt) - 1) if whole and isinstance(bound, Lt) else bound


def _half(least: Any, most: Any) -> Iterator[str]:  # noqa: ANN401 - as above
    if least is not None:
        yield f"at least {_number(least.ge)}" if isinstance(least, Ge) else f"above {least.gt}"
    if most is not None:
        yield f"at most {_number(most.le)}" if isinstance(most, Le) else f"below {most.lt}"


def _number(bound: Any) -> str:  # noqa: ANN401 - as above
    return f"{bound:,}".removesuffix(".0")


def as_toml(value: object) -> str | None:
    """A value as one writes it in the file; None where nothing is written."""
    match value:
        case bool():
            return str(value).lower()
        case Enum():
            return as_toml(value.value)
        case str() | Path():
            return json.dumps(str(value), ensure_ascii=False)
        case tuple() | dict() | BaseModel():
            return _several(value)
        case _:
            return None if value is None else str(value)


def _several(value: Any) -> str:  # noqa: ANN401 - as above
    match value:
        case BaseModel():
            return _several(value.model_dump(exclude_defaults=True))
        case dict():
            pairs = cast("dict[str, object]", value).items()
            return "{" + ", ".join(f"{key} = {as_toml(part)}" for key, part in pairs) + "}"
        case _:
            return f"[{', '.join(map(str, map(as_toml, value)))}]"
