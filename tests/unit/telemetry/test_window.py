"""A growing log, read in any pieces and with any stops, says what the whole log says."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry import kernel_log, window
from agent.telemetry.kernel_log import KernelLog
from agent.telemetry.record import Decoded, Outcome, Refused
from agent.telemetry.window import Line, Window
from tests.support.logs import EDAC, LINE, UNSAID

OPENING = "[  100.0] EDAC skx MC1: HANDLING MCE MEMORY ERROR"
ADDRESS = "[  100.1] EDAC skx MC1: ADDR 0x12345680"
EVENT = (
    "[  100.260000] mc_event: 3 Corrected errors: memory read error on A1 "
    "(mc:1 location:2:1:-1 address:0x12345680 grain:32 syndrome:0x00000000)"
)
OTHER = "[  101.0] eth0: link is up"
BROKEN = "[  102.0] EDAC MC1: 1 CE"


def numbered(texts: Sequence[str], first: int = 0) -> list[Line]:
    """Lines whose mark is how many lines of the log lie before what follows them."""
    return [
        Line(f"{text}\n".encode(), mark=str(at), number=at)
        for at, text in enumerate(texts, first + 1)
    ]


def a_window(mark: str | None = None, taken: int = 0) -> Window:
    return Window(lambda: KernelLog(UNSAID), mark, taken)


def whole(texts: Sequence[str]) -> list[Outcome]:
    return list(kernel_log.decode(texts, UNSAID))


def test_an_error_is_said_as_soon_as_its_line_is_there() -> None:
    (found,) = a_window().feed(numbered([LINE]))
    assert isinstance(found.outcome, Decoded)


def test_an_open_block_is_not_said_yet() -> None:
    assert a_window().feed(numbered([OPENING, ADDRESS])) == []


def test_a_block_and_its_explanation_may_come_in_two_pieces() -> None:
    reading = a_window()
    reading.feed(numbered([OPENING, ADDRESS]))
    (found,) = reading.feed(numbered([LINE], first=2))
    assert found.outcome == replace(whole([OPENING, ADDRESS, LINE])[0], line=3)


def test_an_open_block_is_said_when_nothing_followed_for_long() -> None:
    reading = a_window()
    reading.feed(numbered([OPENING, ADDRESS]))
    (found,) = reading.conclude()
    assert isinstance(found.outcome, Refused)


def test_what_was_concluded_is_behind_the_mark() -> None:
    reading = a_window()
    reading.feed(numbered([LINE, OTHER]))
    reading.conclude()
    assert (reading.mark, reading.taken, reading.is_settled) == ("2", 0, True)


def test_until_then_the_mark_stays_and_what_was_taken_is_counted() -> None:
    reading = a_window(mark="7")
    reading.feed(numbered([LINE, LINE, OPENING]))
    assert (reading.mark, reading.taken, reading.is_settled) == ("7", 2, False)


def test_what_was_taken_before_a_stop_is_not_said_again() -> None:
    assert a_window(taken=2).feed(numbered([LINE, LINE])) == []


def test_what_was_found_knows_its_line() -> None:
    (found,) = a_window().feed(numbered([OTHER, LINE], first=10))
    assert found.line.number == 12


def test_a_log_that_never_rests_moves_the_mark_all_the_same() -> None:
    reading = a_window()
    for at in range(0, 3 * window.LINES_MAX, 64):
        reading.feed(numbered([OTHER] * 63 + [LINE], first=at))
    assert reading.mark is not None
    assert int(reading.mark) > 2 * window.LINES_MAX


def test_a_mark_never_moves_into_a_block() -> None:
    """Every second line opens or explains: a cut between the two would count an error twice."""
    reading = a_window()
    for at in range(0, 2 * window.LINES_MAX, 4):
        reading.feed(numbered([OPENING, ADDRESS, LINE, OTHER], first=at))
    assert reading.mark is not None
    assert int(reading.mark) % 4 in {0, 3}


def test_a_source_that_cannot_go_on_behind_a_line_is_not_cut_there() -> None:
    """The lines of one message of the journal have one cursor."""
    texts = [OTHER] * (window.LINES_MAX + 1)
    last = len(texts) - window.LINES_BEHIND
    message = [
        replace(line, mark=None) if last - 9 < line.number <= last else line
        for line in numbered(texts)
    ]
    reading = a_window()
    reading.feed(message)
    assert reading.mark == str(last - 9)


def test_a_block_that_never_ends_is_concluded_at_last() -> None:
    """A log that cannot be cut anywhere must not fill the memory."""

    class Endless:
        lines = 0
        owed = 0

        def line(self, number: int, _line: str) -> list[Outcome]:
            self.lines = number
            return []

        def close(self) -> list[Outcome]:
            return [Refused(1, f"one block of {self.lines} lines")] if self.lines else []

    reading = Window(Endless)
    found = reading.feed(numbered([OTHER] * (window.LINES_LIMIT + 1)))
    assert (len(found), reading.is_settled) == (1, True)


def test_no_mark_moves_while_a_second_form_lags_behind_the_first() -> None:
    """A daemon tells the second half of a storm's errors after it: they were counted by then."""
    half = 1500
    texts = [LINE] * half + [LINE, EVENT] * half + [EVENT] * half
    reading = a_window()
    said = sum(
        len(reading.feed(numbered(texts[at : at + 100], first=at)))
        for at in range(0, len(texts), 100)
    )
    assert said == len(whole(texts)) == 2 * half


def test_what_a_second_form_never_told_does_not_hold_the_mark_for_ever() -> None:
    """Two errors, one of them told by the second form too, and then hours of other lines."""
    quiet = [f"[ {1000 + at}.0] eth0: link is up" for at in range(window.LINES_MAX)]
    reading = a_window()
    reading.feed(numbered([LINE, LINE, EVENT, *quiet]))
    assert reading.mark is not None


@dataclass
class Log:
    """A log that grows a piece at a time, and a reader that forgets everything at every stop."""

    texts: Sequence[str]
    said: list[Outcome]
    mark: str | None = None
    taken: int = 0

    def read(self, pieces: Sequence[int]) -> None:
        """One life: from the mark on, in `pieces`, and stopped without a word."""
        at = int(self.mark or 0)
        reading = a_window(self.mark, self.taken)
        for size in pieces:
            found = reading.feed(numbered(self.texts[at : at + size], first=at))
            at = min(at + size, len(self.texts))
            self.said += [replace(each.outcome, line=each.line.number) for each in found]
            self.mark, self.taken = reading.mark, reading.taken

    def end(self) -> None:
        at = int(self.mark or 0)
        reading = a_window(self.mark, self.taken)
        found = [*reading.feed(numbered(self.texts[at:], first=at)), *reading.conclude()]
        self.said += [replace(each.outcome, line=each.line.number) for each in found]


@pytest.mark.parametrize("bounds", [(24, 12, 96), (4096, 1024, 16384)])
@given(
    texts=st.lists(st.sampled_from([OPENING, ADDRESS, LINE, OTHER, BROKEN, EDAC]), max_size=60),
    lives=st.lists(st.lists(st.integers(1, 9), max_size=8), max_size=8),
)
def test_no_stop_doubles_or_loses(
    bounds: tuple[int, int, int], texts: Sequence[str], lives: Sequence[Sequence[int]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("LINES_MAX", "LINES_BEHIND", "LINES_LIMIT"), bounds, strict=True):
            patch.setattr(window, name, value)
        log = Log(texts, [])
        for pieces in lives:
            log.read(pieces)
        log.end()
    assert log.said == whole(texts)
