"""What `--from` may say, and what it says back if it may not."""

from pathlib import Path

import pytest

from agent.bridge.wanted import Wanted, parse
from agent.contract.errors import AgentError


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("journal", Wanted("journal")),
        ("file:/var/log/kern.log", Wanted("file", Path("/var/log/kern.log"))),
        ("file:a:b", Wanted("file", Path("a:b"))),
        ("rasdaemon-db", Wanted("rasdaemon-db", Path("/var/lib/rasdaemon/ras-mc_event.db"))),
        ("rasdaemon-db:/x", Wanted("rasdaemon-db", Path("/x"))),
        ("mcelog-device", Wanted("mcelog-device", Path("/dev/mcelog"))),
    ],
)
def test_a_source_has_a_kind_and_a_place(text: str, wanted: Wanted) -> None:
    assert parse(text) == wanted


@pytest.mark.parametrize("text", ["", "syslog", "file", "file:", "mcelog-device:"])
def test_what_is_no_source_is_told_what_there_is(text: str) -> None:
    with pytest.raises(AgentError, match="journal, file:PATH, rasdaemon-db"):
        parse(text)


def test_there_is_one_journal() -> None:
    with pytest.raises(AgentError, match="no path"):
        parse("journal:/var/log/journal")


def test_a_source_is_remembered_by_what_was_asked_for() -> None:
    assert (parse("journal").name, parse("file:/x").name) == ("journal", "file:/x")
