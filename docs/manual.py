"""A commented TOML file as what it is: the manual of its keys.

The comment above a key is its meaning, one above several keys in a row is that of all of them, one
above a table is about the table. A commented key shows its default, a commented table one that is
not there by default; an example is set in by three spaces.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

_TABLE = re.compile(r"(?:# )?\[{1,2}(\w+(?:\.\w+)*)\]{1,2}")
_KEY = re.compile(r"(?:# )?(\w+) = .*")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What is said of `keys`, which stand in a row."""

    keys: tuple[str, ...]
    text: str


@dataclass(slots=True)
class Chapter:
    """What is said of one table and its keys; the table without a name is the file's own."""

    text: str = ""
    meanings: list[Meaning] = field(default_factory=list[Meaning])

    def meaning_of(self, key: str) -> str:
        """What is said of `key`; empty if nothing is."""
        return next((said.text for said in self.meanings if key in said.keys), "")


def read(text: str) -> dict[str, Chapter]:
    """The chapters by the tables' names, in the file's order."""
    chapter, said = Chapter(), list[str]()
    chapters = {"": chapter}
    for line in text.splitlines():
        if table := _TABLE.fullmatch(line):
            chapter = chapters.setdefault(table[1], Chapter())
            chapter.text, said = _paragraph(said), []
        elif key := _KEY.fullmatch(line):
            _add(chapter, key[1], said)
            said = []
        elif line.startswith("#"):
            said.append(line.removeprefix("#").removeprefix(" "))
        elif said and not chapter.meanings:
            chapter.text, said = "\n\n".join(filter(None, (chapter.text, _paragraph(said)))), []
    return chapters


def _add(chapter: Chapter, key: str, said: list[str]) -> None:
    """`key`, with what was said of it, or under what was said of the key before."""
    if said or not chapter.meanings:
        chapter.meanings.append(Meaning((key,), _paragraph(said)))
    else:
        last = chapter.meanings.pop()
        chapter.meanings.append(Meaning((*last.keys, key), last.text))


def _paragraph(lines: list[str]) -> str:
    """The lines as Markdown: sentences flow, and what is set in stays as it is."""
    parts = (list(part) for part in _parts(lines))
    return "\n\n".join(
        _fenced(part) if part[0].startswith("  ") else _flowing(part) for part in parts
    )


def _parts(lines: list[str]) -> Iterator[Iterator[str]]:
    """Prose and examples, each apart; an empty line ends a paragraph."""
    for (is_empty, _), part in groupby(lines, lambda line: (not line, line.startswith("  "))):
        if not is_empty:
            yield part


def _flowing(lines: list[str]) -> str:
    return " ".join(lines).replace("<", "\\<")  # or Markdown takes `<host>` for a tag


def _fenced(lines: list[str]) -> str:
    return "\n".join(("```text", *(line[2:] for line in lines), "```"))
