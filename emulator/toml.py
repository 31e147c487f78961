"""TOML into a model, and every mistake as one line.

The line names the file, the key, what is wrong and what would be right:

    emulator.toml: host.memroy: there is no such key; did you mean `memory`?
"""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from emulator.errors import EmulatorError

Loc = tuple[str | int, ...]
Overrides = Mapping[tuple[str, ...], object]
AnyModel = TypeVar("AnyModel", bound=BaseModel)


class Settings(BaseModel):
    """Base of all that is read from TOML: immutable, and an unknown key is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def read_table(path: Path) -> dict[str, Any]:
    """The file as it is, not yet checked against any model."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EmulatorError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EmulatorError(f"{path}: not TOML: {error}") from None


def checked(
    model: type[AnyModel], table: dict[str, Any], source: str, overrides: Overrides | None = None
) -> AnyModel:
    """`table` as a `model`, with `overrides` (from the command line) laid over it.

    Raises:
        EmulatorError: in one line; a mistake in an override is told as one of the command line.
    """
    overrides = overrides or {}
    for key, value in overrides.items():
        table = _laid_over(table, key, value)
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise EmulatorError(_one_line(error, model, source, overrides)) from None


def _laid_over(table: dict[str, Any], key: tuple[str, ...], value: object) -> dict[str, Any]:
    first, *rest = key
    if not rest:
        return table | {first: value}
    if not isinstance(table.get(first, {}), dict):
        return table  # something else is in its place: the model says so
    below = cast("dict[str, Any]", table.get(first, {}))
    return table | {first: _laid_over(below, tuple(rest), value)}


def _one_line(
    error: ValidationError, model: type[BaseModel], source: str, overrides: Overrides
) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    loc = first["loc"]
    where = "command line" if loc in overrides else source
    key = ".".join(str(part) for part in loc)
    return f"{where}: {key}: {_complaint(first['type'], first['msg'], first['input'], model, loc)}"


def _complaint(kind: str, message: str, value: object, model: type[BaseModel], loc: Loc) -> str:
    if kind == "extra_forbidden":
        return f"there is no such key; {_did_you_mean(str(loc[-1]), _fields_at(model, loc[:-1]))}"
    if kind == "missing":
        return "is missing, and has no default"
    return f"{message.removeprefix('Value error, ')} (got {value!r:.60})"


def _did_you_mean(key: str, known: list[str]) -> str:
    close = get_close_matches(key, known, n=1)
    return f"did you mean `{close[0]}`?" if close else f"there are: {', '.join(known)}"


def _fields_at(model: type[BaseModel], loc: Loc) -> list[str]:
    """The keys that are allowed at `loc`; an index of a list stands for any of its tables."""
    for part in loc:
        if isinstance(part, str):
            model = _table_of(model.model_fields[part].annotation)
    return list(model.model_fields)


def _table_of(annotation: Any) -> type[BaseModel]:  # noqa: ANN401 - annotations have no common type
    """The model in `annotation`, be it the model itself, a tuple of it or one that may be None."""
    for choice in (annotation, *get_args(annotation)):
        if isinstance(choice, type) and issubclass(choice, BaseModel):
            return choice
    raise TypeError(f"no table in {annotation}")
