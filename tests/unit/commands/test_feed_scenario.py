"""`feed --scenario` before anything is sent: who has scenarios, and what does not go together."""

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from uuid import UUID

import pytest
import typer
from typer.testing import CliRunner, Result

from agent.adapters import providers
from agent.commands import feed
from agent.contract.errors import AgentError
from agent.contract.sources import GROUP, Wanted

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What pyproject.toml names, whatever was installed before it did."""
    named = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"][GROUP]
    found = [EntryPoint(name, where, GROUP) for name, where in named.items()]
    monkeypatch.setattr(providers, "entry_points", lambda *, group: found)


def wanted(scenario: str, seed: int = 1) -> Wanted:
    return Wanted(scenario, seed, "hv-1", UUID(int=7))


def run(*arguments: str) -> Result:
    application = typer.Typer(pretty_exceptions_enable=False)
    application.callback()(lambda: None)
    feed.register(application)
    line = ["feed", "--broker=mqtt://127.0.0.1:1", "--host=hv-1", *arguments]
    return CliRunner().invoke(application, line)


def test_the_emulator_has_the_scenarios_that_pyproject_says(installed: None) -> None:
    source = providers.source_of(wanted("row-failing"))
    assert sum(map(len, source.batches(10))) == 100


def test_no_batch_is_larger_than_asked_for(installed: None) -> None:
    source = providers.source_of(wanted("row-failing"))
    assert max(map(len, source.batches(7))) == 7


def test_its_inventory_is_signed_as_wanted(installed: None) -> None:
    inventory = providers.source_of(wanted("row-failing")).inventory
    assert (inventory.host, inventory.boot_id, len(inventory.modules)) == ("hv-1", UUID(int=7), 8)


def test_without_the_emulator_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "entry_points", lambda *, group: [])
    with pytest.raises(AgentError, match="install the emulator"):
        providers.source_of(wanted("row-failing"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("zig-zag", "--scenario: there is no 'zig-zag'; there are: "),
        ("busy-host", "--scenario: it puts faults on pages of guests"),
    ],
)
def test_what_cannot_be_fed_is_told_with_what_can(installed: None, name: str, says: str) -> None:
    with pytest.raises(AgentError, match=says):
        providers.source_of(wanted(name))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name files, or a --scenario"),
        (["--scenario", "row-failing", "kern.log"], "name files, or a --scenario"),
        (["--scenario", "row-failing", "--speed", "2"], "a scenario has --rate"),
        (["--rate", "2", "kern.log"], "recordings have --speed"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, says in result.stderr) == (2, True)
