"""`configure.md`: every key of every configuration, from the models and the commented files."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from agent.config import ENV_DELIMITER, ENV_PREFIX, AgentConfig
from agent.reloading import is_policy
from docs.keys import Key, Table, tables
from docs.manual import Chapter, Meaning, read
from docs.markdown import as_table
from emulator.config import EmulatorConfig
from emulator.presets import FaultsFile

CONFIG = Path(__file__).parent.parent / "config"

HEAD = """\
# Every key

<!-- Made by `python -m docs` from the models and from the files in config/: edit those. -->

A configuration is a TOML file. A key that nobody knows is refused, with the one that was probably
meant; a value out of its bounds is refused with the key, the bound and what was given. Units are in
the names of the keys. `pagewarden agent --check` reads a file and starts nothing.
[policies.md](policies.md) says what to choose; this page says what there is.
"""

ENVIRONMENT = f"""\
A variable of the environment stands above the file: `{ENV_PREFIX}`, then tables and key with
`{ENV_DELIMITER}` between them. Lists and tables are given as JSON.
"""


@dataclass(frozen=True, slots=True)
class File:
    """A configuration file, and the model that reads it.

    `has_all`: its keys have no defaults, and stand in the file.
    """

    name: str
    model: type[BaseModel]
    by_environment: bool = False
    has_all: bool = False


FILES = (
    File("agent.toml", AgentConfig, by_environment=True),
    File("emulator.toml", EmulatorConfig),
    File("faults.toml", FaultsFile, has_all=True),
)


def markdown() -> str:
    return (
        "\n".join(line for part in (HEAD, *map(_file, FILES)) for line in part.splitlines()) + "\n"
    )


def _file(file: File) -> str:
    text = (CONFIG / file.name).read_text(encoding="utf-8")
    chapters = read(text)
    parts = [f"## {file.name}\n"]
    parts += [ENVIRONMENT] if file.by_environment else []
    for table in tables(file.model, tomllib.loads(text) if file.has_all else {}):
        parts += _table(file, table, chapters)
    return "\n".join(parts)


def _table(file: File, table: Table, chapters: dict[str, Chapter]) -> Iterator[str]:
    chapter = chapters.get(table.name, Chapter())
    if table.name and table.keys:
        yield f"### `{table.heading}` in {file.name}\n"
        if file.by_environment:
            yield f"{'Taken at a reload' if is_policy(table.name) else 'Needs a restart'}.\n"
        yield from (f"{said}\n" for said in (table.about, _said_of(table, chapters)) if said)
    elif chapter.text:
        yield f"{chapter.text}\n"
    if table.keys:
        yield _keys(file, table) + "\n"
    for meaning in (*chapter.meanings, *_free_tables(table, chapters)):
        if meaning.text and {key.name for key in table.keys} & set(meaning.keys):
            yield f"{', '.join(f'**`{key}`**' for key in meaning.keys)}: {meaning.text}\n"


def _said_of(table: Table, chapters: dict[str, Chapter]) -> str:
    """What the file says of a table: above it, or where it stands as a key of another one."""
    if table.name in chapters or table.many:
        return chapters.get(table.name, Chapter()).text
    above, _, key = table.name.rpartition(".")
    return chapters[above].meaning_of(key)


def _free_tables(table: Table, chapters: dict[str, Chapter]) -> Iterator[Meaning]:
    """Of a key whose value is a table with keys of its own: the comment above that table."""
    for key in table.keys:
        if key.is_free_table and (chapter := chapters.get(f"{table.name}.{key.name}")):
            yield Meaning((key.name,), chapter.text)


def _keys(file: File, table: Table) -> str:
    by_environment = file.by_environment and not table.many
    variable = ("variable",) if by_environment else ()
    head = ("key", "type and bounds", "in the file" if file.has_all else "default", *variable)
    return as_table(head, (_row(table, key, by_environment=by_environment) for key in table.keys))


def _row(table: Table, key: Key, *, by_environment: bool) -> tuple[str, ...]:
    variable = (_variable(table, key),) if by_environment else ()
    return (f"`{key.name}`", key.type, _default(key), *variable)


def _default(key: Key) -> str:
    if key.default is None:
        return "must be given" if key.is_required else "–"
    return f"`{key.default}`"


def _variable(table: Table, key: Key) -> str:
    path = [*re.findall(r"\w+", table.name), key.name]
    return f"`{ENV_PREFIX}{ENV_DELIMITER.join(path).upper()}`"
