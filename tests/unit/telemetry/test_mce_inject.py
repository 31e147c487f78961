"""The language of mce-inject: words, numbers and terms in any arrangement."""

import pytest

from agent.telemetry.record import Decoded
from tests.support.logs import decoded, decoded_all, refused
from tests.support.machine_checks import MCE_INJECT as CORRECTED


def test_a_record_says_what_its_terms_say() -> None:
    assert decoded(CORRECTED) == Decoded(
        line=2,
        time_ns=1700000000 * 10**9,
        count=0,
        address=0x45678040,
        detail="memory read error: socket:1 channel:2 mca_bank:13",
    )


def test_lines_mean_nothing() -> None:
    lines = CORRECTED.splitlines()[1:]
    words = "\n".join(" ".join(lines).split())
    assert decoded_all(words, name="mce-inject") == [decoded(" ".join(lines))]


def test_words_may_be_in_any_case() -> None:
    assert decoded(CORRECTED.lower().replace("0x", "0X")) == decoded(CORRECTED)


@pytest.mark.parametrize(
    ("number", "address"), [("4660", 4660), ("0x1234", 4660), ("011064", 4660), ("0", 0)]
)
def test_numbers_are_as_in_c(number: str, address: int) -> None:
    """And so a bare address is decimal here, though mcelog would take it for hexadecimal."""
    assert decoded(CORRECTED.replace("0x45678040", number)).address == address


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("CORRECTED 0x90", "ce"),
        ("VAL EN 0x90", "ce"),
        ("UNCORRECTED 0x90", "ue"),
        ("FATAL 0x90", "ue"),
        ("VAL UC 0x90", "ue"),
        ("UNCORRECTED SRAO 0xc0", "ue"),
        ("UNCORRECTED SRAR OVER 0xc0", "ue"),
        ("UNCORRECTED UCNA 0xc0", "ue"),
        ("0x8000000000000090 EN", "ce"),
    ],
)
def test_words_of_status_are_bits(status: str, kind: str) -> None:
    assert decoded(f"CPU 0 BANK 7\nSTATUS {status}\n").kind == kind


def test_an_address_alone_says_that_it_is_valid_but_not_of_what_kind() -> None:
    assert decoded(CORRECTED.replace("MISC 0x86\n", "")).address is None


def test_a_bare_status_is_literal() -> None:
    assert "VAL is clear" in refused("CPU 0 BANK 1\nSTATUS 0x90\nHOLD\n").reason


def test_a_bank_may_stand_right_behind_the_processor() -> None:
    assert "mca_bank:7" in (decoded("CPU 0 7 STATUS CORRECTED 0x90").detail or "")


def test_a_record_may_begin_with_mce() -> None:
    first, second = decoded_all("MCE BANK 4 STATUS CORRECTED 0x90\nMCE STATUS CORRECTED 0x90\n")
    assert (type(first), type(second), second.line) == (Decoded, Decoded, 2)


def test_an_instruction_pointer_may_be_written_in_every_way() -> None:
    for rip in ("0x1234", "0x10:0x1234", "0x10:<0x1234>{do_bad+0x10/0x20}"):
        assert decoded(f"{CORRECTED}RIP {rip}\nPROCESSOR 0:0x50654\nHOLD\n").kind == "ce"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("CPU 0 STATUS CORRECTED WRONG", "STATUS takes numbers and words of its own (got WRONG)"),
        ("CPU STATUS CORRECTED", "CPU takes one number or two (got 0)"),
        ("CPU 0 1 2 STATUS CORRECTED", "CPU takes one number or two (got 3)"),
        ("CPU 0 STATUS CORRECTED ADDR", "ADDR takes one number (got None)"),
        ("CPU 0 STATUS CORRECTED ADDR 1 2", "ADDR takes one number (got 1 2)"),
        ("CPU 0 STATUS CORRECTED ADDR 12zz", "(got 12ZZ)"),
        ("CPU 0 STATUS CORRECTED ADDR 99999999999999999999", "more than 64 bits"),
        ("CPU 0 STATUS CORRECTED HOLD 5", "HOLD takes no argument (got 5)"),
        ("CPU 0 STATUS CORRECTED PROCESSOR 5", "PROCESSOR takes a vendor and a cpuid"),
        ("STATUS CORRECTED 0x90", "terms before the first CPU or MCE"),
        ("5 STATUS CORRECTED 0x90", "5 stands before the first CPU or MCE"),
        (f"CPU 0 STATUS CORRECTED{' EN' * 40}", "more than 32 arguments"),
        (f"CPU 0 STATUS CORRECTED{' EN' * 80}", "more than 64 words in a line"),
    ],
)
def test_what_breaks_the_grammar_is_refused_with_the_term(text: str, what: str) -> None:
    assert what in refused_alone(text)


def refused_alone(text: str) -> str:
    (outcome,) = decoded_all(text, name="mce-inject")
    return getattr(outcome, "reason", "decoded")


def test_an_empty_file_says_nothing() -> None:
    assert decoded_all("# nothing\n\n", name="mce-inject") == []
