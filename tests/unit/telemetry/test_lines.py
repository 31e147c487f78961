"""Bytes into lines: the same however they arrive, and never longer than the bound."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry.lines import CUT, LINE_BYTES_MAX, lines


def test_lines_lose_their_ends_whatever_these_are() -> None:
    assert list(lines([b"one\ntwo\r\nthree"])) == ["one", "two", "three"]


def test_a_line_may_lie_across_chunks() -> None:
    assert list(lines([b"o", b"ne\nt", b"wo\n"])) == ["one", "two"]


def test_a_line_of_just_the_bound_is_whole() -> None:
    line = "x" * LINE_BYTES_MAX
    assert list(lines([f"{line}\r\n".encode()])) == [line]


def test_a_longer_line_is_cut_and_shows_it() -> None:
    assert list(lines([b"x" * (LINE_BYTES_MAX + 1)])) == ["x" * LINE_BYTES_MAX + CUT]


def test_a_line_without_end_is_never_kept_whole() -> None:
    """A gigabyte without a newline: what is held stays at the bound."""
    tracemalloc.start()
    (_,) = lines(b"x" * LINE_BYTES_MAX for _ in range(1000))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 20 * LINE_BYTES_MAX


def test_bytes_that_are_no_text_become_a_mark_and_not_an_error() -> None:
    assert list(lines([b"a\xffb"])) == ["a\ufffdb"]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert list(lines(["\ufeffBankId,RowId\n".encode()])) == ["BankId,RowId"]


@given(
    st.lists(
        st.sampled_from([b"a", b"\n", b"\r", b"\r\n", b"x" * (LINE_BYTES_MAX - 1)]), max_size=9
    )
)
def test_chunks_make_no_difference(chunks: list[bytes]) -> None:
    assert list(lines(chunks)) == list(lines([b"".join(chunks)]))
