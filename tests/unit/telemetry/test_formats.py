"""Which decoder reads what: by content alone."""

import pytest

from agent.telemetry.formats import recognised
from agent.telemetry.source import OPENING_LINES, Stream, opening
from tests.support import machine_checks
from tests.support.logs import EDAC, HEADER, LINE, ROW, UNSAID, decoded_all, refused

TRACE = machine_checks.TRACE_PREFIX + machine_checks.TRACE_LAYOUTS[0]


@pytest.mark.parametrize(
    ("begins", "name"),
    [
        ([HEADER, ROW], "smartmem"),
        ([HEADER.upper()], "smartmem"),
        ([LINE], "edac"),
        ([EDAC], "edac"),
        (["Jan  3 22:28:25 hv-1 kernel: Linux version 6.1"], "edac"),
        (["-- Journal begins --", "", LINE], "edac"),
        ([machine_checks.MCELOG_INPUT], "mcelog"),
        (["# a comment", "", machine_checks.MCELOG_OUTPUT], "mcelog"),
        (["MCE 0", "HARDWARE ERROR. This is NOT a software problem!"], "mcelog"),
        (["mcelog: no DMI data", machine_checks.MCELOG_OUTPUT], "edac"),
        ([f"Jan  3 22:28:25 hv-1 mcelog[8]: {machine_checks.MCELOG_HEADER}"], "edac"),
        ([machine_checks.MCELOG_INPUT, LINE], "edac"),
        ([machine_checks.MCE_INJECT], "mce-inject"),
        (["cpu 0 bank 1", "status corrected"], "mce-inject"),
        (["CPU 0 BANK 1", "HOLD"], "mce-inject"),
        ([machine_checks.XEN_CMCI, machine_checks.XEN_BANK], "xen"),
        (["(XEN) Xen version 4.17", "", machine_checks.XEN_BANK], "xen"),
        ([machine_checks.XEN_CMCI, machine_checks.XEN_BANK, LINE], "edac"),
        (["# tracer: nop", TRACE], "mce-record"),
        ([TRACE, "rasdaemon-9 [001] 1.0: mc_event: 1 Corrected"], "edac"),
        ([TRACE, LINE], "edac"),
        ([machine_checks.struct_mce(88).decode("latin-1")], "mce-struct"),
        ([machine_checks.struct_mce(128).decode("latin-1")], "mce-struct"),
    ],
)
def test_a_format_is_known_by_its_content(begins: list[str], name: str) -> None:
    form = recognised(opening(Stream("\n".join(begins).encode("latin-1")), UNSAID))
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
