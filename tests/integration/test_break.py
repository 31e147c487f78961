"""`pagewarden break`: as an operator types it, at an emulator that runs."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL, PIPE

import pytest
from typer.testing import CliRunner, Result

from agent.cli import build
from emulator.demo.stage import PAGEWARDEN
from emulator.edges.truth import HostState, RulesTruth, Truth


@pytest.fixture
def emulated(tmp_path: Path) -> Iterator[Path]:
    """The folder of the sockets of an emulator that runs as long as the test does."""
    command = (*PAGEWARDEN, "emulator", "--sockets", str(tmp_path), "--memory", "2 GiB")
    with subprocess.Popen(command, stdout=PIPE, stderr=DEVNULL, text=True) as emulator:
        assert emulator.stdout is not None
        assert emulator.stdout.readline().startswith("ready")
        yield tmp_path
        emulator.terminate()


def typed(sockets: Path, *words: str) -> Result:
    return CliRunner().invoke(build(), ["break", *words, "--sockets", str(sockets)])


def test_a_rule_is_made_listed_and_cleared(emulated: Path) -> None:
    made = typed(emulated, "call", "exchange", "fail", "--times", "2")
    assert made.output == "1: exchange fail, 0 of 2 happened\n"
    assert typed(emulated, "list").output == made.output
    assert typed(emulated, "clear", "1").output == "nothing is to happen\n"


def test_a_rule_says_all_that_was_asked_for(emulated: Path) -> None:
    words = ("call", "*", "slow", "--seconds", "5", "--skip", "3", "--times", "unlimited")
    assert typed(emulated, *words).output == (
        "1: * slow after 3 seconds 5.0, 0 of unlimited happened\n"
    )


def test_a_host_is_rebooted(emulated: Path) -> None:
    assert typed(emulated, "host", "reboot").output == "host hv-1 is rebooting\n"


def test_a_host_is_rebooted_with_another_dimm(emulated: Path) -> None:
    words = ("host", "reboot", "--replace-dimm", "CPU0_C3_D0")
    assert typed(emulated, *words).output == "host hv-1 is rebooting\n"


def test_a_domain_is_crashed(emulated: Path) -> None:
    assert typed(emulated, "domain", "db-pv", "crash").exit_code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("call", "query", "half_way"), "half_way cannot happen to query"),
        (("call", "query", "explode"), "do: Input should be 'refuse'"),
        (("call", "query", "fail", "--times", "often"), "times"),
        (("host", "paint"), "do: Input should be 'crash', 'hang' or 'reboot'"),
        (
            ("host", "reboot", "--replace-dimm", "A1"),
            "replace_dimm: no 'A1'; there are: CPU0_C0_",
        ),
        (("host", "hang", "--replace-dimm", "CPU0_C0_D0"), "a host that hangs keeps its DIMMs"),
        (("domain", "mail", "crash"), "name: there is no 'mail'; there are: db-pv, web-hvm"),
    ],
)
def test_what_cannot_be_is_one_line(emulated: Path, words: tuple[str, ...], says: str) -> None:
    done = typed(emulated, *words)
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert says in done.output


def test_machines_get_json(emulated: Path) -> None:
    rules = typed(emulated, "list", "--json").output
    hung = typed(emulated, "host", "hang", "--json").output
    assert RulesTruth.model_validate(json.loads(rules)).rules == ()
    assert Truth.model_validate_json(hung).state is HostState.HUNG


def test_without_an_emulator_it_is_one_line(tmp_path: Path) -> None:
    done = typed(tmp_path, "list")
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert done.output.startswith("pagewarden: nobody answers at")
