"""Reading many records of mcelog at a time says exactly what reading line by line says."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry import mcelog_fast, mcelog_text, reader
from agent.telemetry.lines import lines
from agent.telemetry.record import Outcome
from agent.telemetry.source import Stream
from tests.fuzz import pieces
from tests.fuzz.mutator import mutated
from tests.support.logs import EDAC, UNSAID
from tests.support.machine_checks import MCELOG_HEADER, MCELOG_INPUT, MCELOG_OUTPUT

# Whole records and single lines, between which anything may go wrong.
COUNTED = "Memory corrected error count (CORE_ERR_CNT): 7"
TEXTS = (
    MCELOG_INPUT,
    MCELOG_OUTPUT,
    f"{MCELOG_OUTPUT}{MCELOG_OUTPUT}",
    f"{MCELOG_INPUT}\n",
    MCELOG_INPUT.replace("STATUS", "STATUS 12 ADDR"),
    MCELOG_INPUT.replace("0x0000", "0x0400"),
    MCELOG_OUTPUT.replace("TIME 1700000000", "TIME 0"),
    MCELOG_OUTPUT.replace("Transaction", f"{COUNTED}\nrow: 3\nT"),
    MCELOG_OUTPUT.replace("MCG status:", "ADDR 12"),
    MCELOG_OUTPUT.replace("MCG status:", "ADDR zz"),
    MCELOG_OUTPUT.replace("MCG status:", f"[1.0] {EDAC}"),
    MCELOG_OUTPUT.replace("MCG status:", "Jan  3 22:28:25 hv-1 mcelog: STATUS 5"),
    MCELOG_OUTPUT.replace("MCG status:", "MCG\x0bSTATUS 5"),
    MCELOG_OUTPUT.replace("MCG status:", "MCA: caf\u00e9"),
    MCELOG_OUTPUT.replace("MCG status:", ""),
    MCELOG_OUTPUT.replace("\n", "\r\n"),
    MCELOG_OUTPUT.replace("Vendor Intel", "Vendor AMD"),
    MCELOG_OUTPUT.replace("STATUS", "MCi STATUS"),
    MCELOG_HEADER,
    "MCE 5\n",
    "CPU 0 BANK 7\n",
    "CPU 0 on socket 0 has a large number of errors\n",
    "STATUS 8c00004000010090\n",
    "ADDR 1000\n",
    "\n",
    " \n",
    "x" * 5000 + "\n",
    "no end",
)


def fast(data: bytes, size: int) -> list[Outcome]:
    chunks = (data[at : at + size] for at in range(0, len(data), size))
    return list(mcelog_fast.decode(Stream(next(chunks, b""), chunks), UNSAID))


def slow(data: bytes) -> list[Outcome]:
    return list(mcelog_text.decode(lines((data,)), UNSAID))


@given(st.lists(st.sampled_from(TEXTS), max_size=12), st.sampled_from((1, 7, 100, 1000, 1 << 20)))
def test_whatever_the_records_are_and_however_chunks_fall(texts: list[str], size: int) -> None:
    data = "".join(texts).encode()
    assert fast(data, size) == slow(data)


@given(st.integers(0, 1 << 32), st.sampled_from((64, 4096, 1 << 20)))
def test_however_the_lines_are_broken(seed: int, size: int) -> None:
    data = b"\n".join(mutated(pieces.blocks("mcelog"), seed, 200))
    assert fast(data, size) == slow(data)


@pytest.mark.parametrize("text", [MCELOG_INPUT, MCELOG_OUTPUT, f"{MCELOG_INPUT}\n"])
def test_usual_records_are_not_read_line_by_line(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the last: only another one shows that it is over."""
    fed = list(_fed(monkeypatch, (text * 50).encode()))
    assert len(fed) <= len(text.splitlines())


def _fed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> Iterator[str]:
    """The lines that the reader of single lines was given."""
    told: list[str] = []
    plain = reader.fed

    def spy(its: object, number: int, line: str, unsaid: object) -> object:
        told.append(line)
        return plain(its, number, line, unsaid)  # type: ignore[arg-type] # passed on as it came

    monkeypatch.setattr("agent.telemetry.mcelog_fast.fed", spy)
    assert len(fast(data, 1 << 20)) == 50
    return iter(told)


@pytest.mark.parametrize("text", TEXTS)
def test_whatever_stands_between_two_usual_records(text: str) -> None:
    data = f"{MCELOG_INPUT}{text}{MCELOG_OUTPUT}{MCELOG_INPUT}{text}{MCELOG_HEADER}".encode()
    assert fast(data, 1 << 20) == slow(data)
