"""What the commands for operators ask for, what they print, and how they exit."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from agent.cli import build
from agent.commands import asked, following
from agent.commands.requests import Span, parse_pages
from agent.contract.errors import AgentError
from agent.contract.requests import Ask, Came, RequestView, Wish
from agent.contract.status import Rest

UNDER_WAY = RequestView(id="r1", wish=Wish.OFFLINE, what="page 0x1", pages=3, left=2, asked_at=1.0)
RETIRED = Came(rest=Rest.RETIRED, pages=3)
PARKED = Came(rest=Rest.PARKED, reason="dom0", text="dom0 holds it", pages=1)
OVER = UNDER_WAY.model_copy(update={"left": 0, "came": (RETIRED,)})
IN_PART = UNDER_WAY.model_copy(
    update={"left": 0, "came": (RETIRED.model_copy(update={"pages": 2}), PARKED)}
)


class PlayedAgent:
    """Answers a request with its first view, and each question with the next one."""

    def __init__(self, *views: RequestView | AgentError) -> None:
        self.views = list(views)
        self.asked: list[Ask] = []

    def send(self, _path: Path, _view: str, ask: Ask, _model: type) -> RequestView:
        self.asked.append(ask)
        return self.fetch()

    def fetch(self, *_: object) -> RequestView:
        view = self.views.pop(0)
        if isinstance(view, AgentError):
            raise view
        return view


def run(monkeypatch: pytest.MonkeyPatch, played: PlayedAgent, *words: str) -> tuple[int, list[str]]:
    monkeypatch.setattr(following, "send", played.send)
    monkeypatch.setattr(following, "fetch", played.fetch)
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.0)
    done = CliRunner().invoke(build(), [*words, "--socket", "/nowhere"])
    return done.exit_code, done.stdout.splitlines()


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("0x1234", Span(0x1234, 0x1234)),
        ("4660", Span(4660, 4660)),
        ("0X10-0x1F", Span(16, 31)),
        ("7-0x7", Span(7, 7)),
    ],
)
def test_pages_are_hexadecimal_or_decimal(text: str, span: Span) -> None:
    assert parse_pages(text) == span


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("12x", "is not a page"),
        ("", "is not a page"),
        ("1234abcd", "is not a page"),
        ("-5", "is not a page"),
        ("9-8", "ends before it begins"),
        ("0x100000000", "page numbers end at 0xffffffff"),
    ],
)
def test_what_is_no_page_is_named(text: str, complaint: str) -> None:
    with pytest.raises(typer.BadParameter, match=complaint):
        parse_pages(text)


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("offline", "0x10-0x1f"), {"wish": "offline", "first": 16, "last": 31}),
        (
            ("offline", "5", "--beyond-cap"),
            {"wish": "offline", "first": 5, "last": 5, "beyond_cap": True},
        ),
        (("evacuate", "--dimm", "A"), {"wish": "evacuate", "dimm": "A"}),
        (("online", "5"), {"wish": "online", "first": 5, "last": 5}),
        (("cancel", "c7"), {"wish": "cancel", "case": "c7"}),
    ],
)
def test_a_command_asks_for_what_it_says(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], asked: dict[str, Any]
) -> None:
    played = PlayedAgent(UNDER_WAY)
    code, _ = run(monkeypatch, played, *words, "--id", "t-1")
    assert code == 0
    assert played.asked == [Ask.model_validate({"id": "t-1", **asked})]


def test_without_waiting_it_says_how_to_recognise_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = run(monkeypatch, PlayedAgent(UNDER_WAY), "offline", "1")
    assert said == (0, ["offline page 0x1: request r1 is under way, 2 of 3 pages left"])


def test_waiting_ends_well_when_all_pages_are_retired(monkeypatch: pytest.MonkeyPatch) -> None:
    said = run(monkeypatch, PlayedAgent(UNDER_WAY, UNDER_WAY, OVER), "offline", "1", "--wait")
    assert said == (0, ["offline page 0x1: 3 of 3 pages retired"])


def test_what_was_not_to_be_had_is_summed_up_by_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    said = run(monkeypatch, PlayedAgent(UNDER_WAY, IN_PART), "offline", "1", "--wait")
    assert said == (1, ["offline page 0x1: 2 of 3 pages retired", "  1 parked: dom0 holds it"])


def test_an_agent_that_is_restarted_meanwhile_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played = PlayedAgent(UNDER_WAY, AgentError("no agent answers"), OVER)
    assert run(monkeypatch, played, "offline", "1", "--wait")[0] == 0


def test_an_agent_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "AWAY_SECONDS_MAX", -1.0)
    played = PlayedAgent(UNDER_WAY, AgentError("no agent answers"))
    assert run(monkeypatch, played, "offline", "1", "--wait") == (1, [])


def test_machines_get_a_line_for_each_change(monkeypatch: pytest.MonkeyPatch) -> None:
    played = PlayedAgent(UNDER_WAY, UNDER_WAY, IN_PART)
    code, lines = run(monkeypatch, played, "offline", "1", "--wait", "--json")
    assert [json.loads(line)["left"] for line in lines] == [2, 0]
    assert code == 1


def test_without_a_terminal_progress_is_a_line_a_tenth_or_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = [0.0]
    milestones = following.Milestones(lambda: clock[0])
    for at, left in ((0.0, 100), (1.0, 99), (2.0, 85), (3.0, 84), (8.0, 83), (9.0, 0)):
        clock[0] = at
        milestones.show(UNDER_WAY.model_copy(update={"pages": 100, "left": left}))
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(", ")[2] for line in lines] == ["100 left", "85 left", "83 left"]


@pytest.mark.parametrize(
    ("view", "state", "pace"),
    [
        (UNDER_WAY, "under way", ("1/s", "2 s")),
        (UNDER_WAY.model_copy(update={"left": 3}), "under way", ("0/s", "-")),
        (UNDER_WAY.model_copy(update={"is_cancelled": True}), "ending", ("1/s", "2 s")),
        (OVER.model_copy(update={"is_cancelled": True}), "cancelled", ("-", "-")),
        (OVER, "over", ("-", "-")),
    ],
)
def test_a_request_tells_its_state_rate_and_time_left(
    view: RequestView, state: str, pace: tuple[str, str]
) -> None:
    assert (asked.state_of(view), asked.pace(view, now=2.0)) == (state, pace)


@pytest.mark.parametrize(
    ("seconds", "text"), [(42.4, "42 s"), (179.0, "3 min"), (19_200.0, "5 h 20 min")]
)
def test_a_duration_is_as_coarse_as_people_say_it(seconds: float, text: str) -> None:
    assert asked.duration(seconds) == text


def test_what_is_called_like_no_case_is_a_request_to_cancel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone: list[str] = []

    def delete(_path: Path, view: str, _model: type) -> RequestView:
        gone.append(view)
        return OVER

    monkeypatch.setattr(following, "delete", delete)
    assert run(monkeypatch, PlayedAgent(), "cancel", "ticket-4711")[0] == 0
    assert gone == ["/v1/requests/ticket-4711"]
