"""What `python -m docs` makes is what is committed, and leaves no key out."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config import AgentConfig
from docs.__main__ import HERE, files
from docs.configure import CONFIG, FILES, File
from docs.keys import Table, tables
from docs.manual import Chapter, read


@pytest.mark.parametrize(("path", "text"), [*files()], ids=lambda part: getattr(part, "name", ""))
def test_what_is_kept_is_what_would_be_made(path: Path, text: str) -> None:
    """Else: make docs."""
    assert path.read_text(encoding="utf-8") == text


def mute_keys(table: Table, chapters: dict[str, Chapter]) -> set[str]:
    """Those that nothing is said of, where they stand or as a part of another key."""
    above, _, last = table.name.rpartition(".")
    if chapters.get(above, Chapter()).meaning_of(last):
        return set()
    chapter = chapters.get(table.name, Chapter())
    mute = {key.name for key in table.keys if not chapter.meaning_of(key.name)}
    return {key for key in mute if not chapters.get(f"{table.name}.{key}", Chapter()).text}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_key_has_a_meaning(file: File) -> None:
    """Tables that may stand there many times are explained as a whole, where they stand."""
    chapters = read((CONFIG / file.name).read_text(encoding="utf-8"))
    every = list(tables(file.model, {}))
    many = {table.name for table in every if table.many}
    for table in every:
        mute = {f"{table.name}.{key}".lstrip(".") for key in mute_keys(table, chapters)}
        assert table.many or mute <= many


def test_a_key_without_a_comment_would_be_found() -> None:
    page = next(table for table in tables(AgentConfig, {}) if table.name == "diagnosis.page")
    assert mute_keys(page, read("[diagnosis.page]\n# n = 2\n# Hours.\n# window_hours = 1\n")) == {
        "n"
    }


def row(page: str, key: str) -> str:
    return next(line for line in page.splitlines() if line.startswith(f"| `{key}` |"))


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("n", "whole number, 1 to 16 | `2` | `PAGEWARDEN_DIAGNOSIS__PAGE__N` |"),
        ("mode", '`"observe"` or `"enforce"` | `"enforce"` | `PAGEWARDEN_RETIREMENT__MODE` |'),
        ("session_expiry_seconds", "whole number, 60 to 4,294,967,295 | `604800` | "),
        ("retired_memory_fraction_max", "number, above 0, at most 0.1 | `0.001` | "),
        ("host", "name of a host | must be given | `PAGEWARDEN_HOST` |"),
        ("dom0", 'size | `"1 GiB"` |'),
    ],
)
def test_a_row_says_type_bounds_default_and_variable(key: str, said: str) -> None:
    (page,) = (text for path, text in files() if path.name == "configure.md")
    assert row(page, key).startswith(f"| `{key}` | {said}")


def test_every_link_leads_to_a_file_that_is_there() -> None:
    """Every page of the folder, and the README."""
    for page in (*HERE.glob("*.md"), HERE.parent / "README.md"):
        for target in links_in(page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def links_in(text: str) -> Iterator[Path]:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        yield Path(target)
