"""What the README and the pages of docs/ tell people to type does what they say."""

import re
import shlex
from itertools import takewhile
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from agent.cli import build
from tests.support import blocks
from tests.support.blocks import ROOT, Ran
from tests.support.needs import missing

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = [page for page in PAGES if any(not block.why for block in blocks.blocks(page))]
ALL = [(page, block) for page in PAGES for block in blocks.blocks(page)]
OPERATORS = {"|", "&", "&&", "||", ";", ">"}
NUMBER = re.compile(r"\b(?:0x[0-9a-f]+|\d[\d.,]*)\b")


def name_of(page: object) -> str:
    return page.name if isinstance(page, Path) else ""


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_every_command_of_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    """In order, as they stand there; a comment may say that a command exits with 1."""
    if not blocks.is_possible():
        missing("namespaces")
    ran = blocks.run(page, tmp_path)
    assert ran
    assert [one for one in ran if one.code != one.meant] == []
    for block in blocks.blocks(page):
        if not block.why:
            assert [line for line in block.output if not is_shown(line, ran)] == []


def is_shown(line: str, ran: list[Ran]) -> bool:
    """Whether a command wrote that line, whatever its numbers are."""
    return without_numbers(line) in {
        without_numbers(said) for one in ran for said in one.said.splitlines()
    }


def without_numbers(line: str) -> str:
    return " ".join(NUMBER.sub("N", line).split())


# What is not run, and why: a block that is added here is seen by whoever reads the change.
NOT_RUN = {
    "README.md": [
        "it is what runs this",
        "it goes on until it is told to stop, and reads this machine's journal",
        "both go on until they are told to stop, and the second needs a container engine",
    ],
    "operate.md": [
        "it installs into /opt, as root, from a package index",
        "it writes into /etc, as root",
        "it installs a package and writes into /etc, as root",
        "it needs systemd, as root",
        "it needs systemd, as root",
        "it needs systemd, as root, and a package index",
        "it needs systemd's journal",
        "it needs systemd, as root",
        "mosquitto_sub is of a package of its own, mosquitto-clients",
    ],
}


def test_what_is_not_run_is_known() -> None:
    found: dict[str, list[str]] = {}
    for page, block in ALL:
        if block.why:
            found.setdefault(page.name, []).append(block.why)
    assert found == NOT_RUN


def test_no_block_is_overlooked() -> None:
    """A fence of a shell that is written otherwise would be neither run nor named."""
    for page in PAGES:
        fences = re.findall(
            r"^ *(?:```|~~~) *(\w*)", page.read_text(encoding="utf-8"), re.MULTILINE
        )
        shells = [kind for kind in fences if kind in {"sh", "bash", "shell", "console"}]
        assert len(shells) == len([block for found, block in ALL if found == page])
        assert set(fences) <= {"", "sh", "console", "toml", "json", "text", "mermaid"}


COMMANDS = [
    (page, command)
    for page, block in ALL
    for command in block.commands
    if "bin/pagewarden" in command
]


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=lambda part: str(part)[-60:])
def test_every_command_and_option_that_is_told_is_one(page: Path, command: str) -> None:
    """Also of those that are not run."""
    for words in invocations(command):
        assert unknown(words) == set()


@pytest.mark.parametrize("words", [["stauts"], ["status", "--jsn"], ["break", "hots", "reboot"]])
def test_one_that_is_misspelt_would_be_found(words: list[str]) -> None:
    assert unknown(words)


def invocations(command: str) -> list[list[str]]:
    """The words behind each `pagewarden` that is called in `command`."""
    words = shlex.split(command, comments=True)
    at = [i for i, word in enumerate(words) if word.endswith("bin/pagewarden")]
    return [list(takewhile(lambda word: word not in OPERATORS, words[i + 1 :])) for i in at]


def unknown(words: list[str]) -> set[str]:
    """What of a command line `pagewarden` does not know."""
    found = typer.main.get_command(build())
    while isinstance(found, TyperGroup) and words and not words[0].startswith("-"):
        inner = found.commands.get(words[0])
        if inner is None:
            return {words[0]}
        found, words = inner, words[1:]
    known = {name for option in found.params for name in (*option.opts, *option.secondary_opts)}
    told = {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"}
    return told - known - {"--help"}
