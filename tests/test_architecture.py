"""The house keeps its own rules: what is written about it is so, and pure rooms stay pure."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import pytest

import agent
from agent.retirement.states import BETWEEN_DETACH_AND_ATTACH, FIRST_STATE, State
from agent.retirement.table import TRANSITIONS, Choice

ROOT = Path(__file__).parent.parent
MODULES = sorted([*(ROOT / "agent").rglob("*.py"), *(ROOT / "emulator").rglob("*.py")])
# Of the real Xen: what is decided about pages, and how what it says is read.
XEN_PURE = ("words", "releases", "cpus", "listing", "pages", "badpages")
PURE = (
    "agent/contract",
    "agent/diagnosis",
    "agent/telemetry",
    "agent/doctor/facts.py",
    "agent/doctor/checks.py",
    *(f"agent/adapters/xen/{name}.py" for name in XEN_PURE),
    "emulator/machine",
    "emulator/xen",
)
PURE_FILES = (
    "states.py",
    "table.py",
    "case.py",
    "advance.py",
    "hearing.py",
    "patience.py",
    "reopening.py",
    "ladder.py",
    "look.py",
    "owed.py",
    "batch.py",
    "answers.py",
    "caps.py",
    "docket.py",
    "outcome.py",
    "reason.py",
    "manners.py",
    "windows.py",
    "request.py",
)
FORBIDDEN = {"asyncio", "time", "socket", "sqlite3", "threading", "aiohttp", "aiomqtt"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def is_pure(path: Path) -> bool:
    name = name_of(path)
    in_case = name.startswith("agent/retirement") and path.name in PURE_FILES
    return in_case or name.startswith(PURE)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_opens_with_its_idea(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", [p for p in MODULES if is_pure(p)], ids=name_of)
def test_a_pure_room_knows_no_clock_no_socket_and_no_disk(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)]
    assert not FORBIDDEN & set(imported(tree))


def imported(tree: ast.Module) -> Iterator[str]:
    """The top-level packages that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_imports_run_one_way() -> None:
    """In a process of its own: the linter turns off every logger that it finds."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()


PLACES = re.findall(r"`((?:adapters|contract|diagnosis|retirement)\.[\w.]+)`", agent.__doc__ or "")


def test_the_way_of_an_error_is_told_in_eight_lines() -> None:
    assert re.findall(r"^(\d)\. ", agent.__doc__ or "", re.MULTILINE) == list("12345678")
    assert len(PLACES) >= 8


@pytest.mark.parametrize("place", PLACES)
def test_every_function_on_the_way_of_an_error_exists(place: str) -> None:
    """`retirement.advance.advance` is a function in the module `agent.retirement.advance`."""
    room, file, *names = place.split(".")
    module = importlib.import_module(f"agent.{room}.{file}")
    assert callable(reduce(getattr, names, module))


def test_the_state_diagram_in_the_docs_is_the_table() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    _, _, rest = text.partition("<!-- the case machine: generated -->\n")
    assert rest.partition("<!-- end -->")[0] == diagram()


def diagram() -> str:
    """The case machine as Mermaid, from the table itself; paste it when the table changed."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> open"]
    for state, row in TRANSITIONS.items():
        ways: dict[str, list[str]] = {}
        for outcome, target in row.items():
            name = target.value if isinstance(target, State | Choice) else ""
            ways.setdefault(name, []).append(outcome.__name__)
        lines += [
            f"    {state} --> {to}: {', '.join(why)}" for to, why in ways.items() if to != state
        ]
    lines += [f"    next_rung --> {first}: {rung}" for rung, first in FIRST_STATE.items()]
    lines += ["    next_rung --> detaching: a device first", "    next_rung --> parked: none left"]
    lines += [
        "    note right of attaching",
        "      While a device is detached, ways to others than",
    ]
    lines += [f"      {', '.join(inside())}", "      lead here first.", "    end note"]
    finals = (state for state in State if state.is_final)
    lines += [*(f"    {state} --> [*]" for state in finals), "```"]
    return "\n".join(lines) + "\n"


def inside() -> list[str]:
    """The states in which a device may be detached, in the order of the table."""
    return [state.value for state in State if state in BETWEEN_DETACH_AND_ATTACH]
