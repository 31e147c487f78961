"""Which decoder reads what: by content alone."""

import pytest

from agent.telemetry.formats import recognised
from agent.telemetry.source import OPENING_LINES, Stream, opening
from tests.support.logs import EDAC, HEADER, LINE, ROW, UNSAID, decoded_all, refused


@pytest.mark.parametrize(
    ("begins", "name"),
    [
        ([HEADER, ROW], "smartmem"),
        ([HEADER.upper()], "smartmem"),
        ([LINE], "edac"),
        ([EDAC], "edac"),
        (["Jan  3 22:28:25 hv-1 kernel: Linux version 6.1"], "edac"),
        (["-- Journal begins --", "", LINE], "edac"),
    ],
)
def test_a_format_is_known_by_its_content(begins: list[str], name: str) -> None:
    form = recognised(opening(Stream("\n".join(begins).encode()), UNSAID))
    assert form is not None
    assert form.name == name


@pytest.mark.parametrize("text", ["sn_name,alarm_time\n1,2\n", "\x1f\x8b\x08\x00gzip", "hello\n"])
def test_what_nobody_knows_is_refused_once_for_all_its_lines(text: str) -> None:
    assert "no format that is read" in refused(text).reason


def test_an_empty_input_is_refused() -> None:
    assert refused("").reason == "empty"


def test_a_format_that_is_named_is_not_guessed() -> None:
    """The EDAC line comes long after a banner that nobody knows."""
    text = "banner\n" * (OPENING_LINES + 1) + LINE
    (record,) = decoded_all(text, name="edac")
    assert record.line == OPENING_LINES + 2
