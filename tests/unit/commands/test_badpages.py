"""What `pagewarden badpages` prints, and how it exits."""

import json

import pytest
from typer.testing import CliRunner, Result

from agent.cli import build
from agent.commands import badpages
from agent.contract.status import CasesView, CaseView, Rest


def a_case(mfn: int, rest: Rest = Rest.RETIRED) -> CaseView:
    return CaseView(id=f"c{mfn}", mfn=mfn, state=rest, rest=rest, opened_at=1.0, moved_at=1.0)


def run(monkeypatch: pytest.MonkeyPatch, cases: list[CaseView], *words: str) -> Result:
    monkeypatch.setattr(badpages, "fetch", lambda *_: CasesView(cases=tuple(cases)))
    return CliRunner().invoke(build(), ["badpages", "--socket", "/nowhere", *words])


def test_retired_pages_alone_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parked page may be in use yet, and is its owner's."""
    cases = [a_case(0x1234), a_case(0x2001), a_case(0x2000), a_case(0x9, Rest.PARKED)]
    done = run(monkeypatch, cases)
    assert (done.exit_code, done.stdout) == (0, "badpage=0x1234,0x2000-0x2001\n")


def test_without_a_retired_page_nothing_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(monkeypatch, [])
    assert (done.exit_code, done.output) == (0, "")


def test_what_does_not_fit_is_told_and_named_for_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [a_case(0x100000 + 2 * n) for n in range(12)]
    done = run(monkeypatch, cases)
    assert done.exit_code == 1
    assert "1 pages do not fit into badpage=" in done.stderr
    told = json.loads(run(monkeypatch, cases, "--json").stdout)
    assert told["left_out"] == [0x100000 + 22]
