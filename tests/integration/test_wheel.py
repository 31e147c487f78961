"""What is installed from a wheel: all of it, scenarios too, and not a file of the repository."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from emulator import scenario

pytest.importorskip("hatchling", reason="the build extra is not installed")

ROOT = Path(__file__).parents[2]
BUILD = (sys.executable, "-m", "hatchling", "build")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what an installer puts into site-packages."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([*BUILD, "-t", "wheel", "-d", folder], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "site")
    return folder / "site"


def test_an_installed_demo_lists_the_scenarios_of_the_repository(installed: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agent", "demo", "--list"],
        cwd=installed.parent,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == scenario.names(), done.stderr


def test_an_installed_emulator_has_the_fault_model_of_the_repository(installed: Path) -> None:
    here, there = ROOT / "config/faults.toml", installed / "emulator/faults.toml"
    assert there.read_bytes() == here.read_bytes()


def test_the_scenarios_lie_in_the_package_and_no_configuration_beside_it(installed: Path) -> None:
    assert {path.stem for path in (installed / "emulator/scenarios").iterdir()} == set(
        scenario.names()
    )
    assert {path.name for path in installed.iterdir() if path.suffix != ".dist-info"} == {
        "agent",
        "emulator",
    }


def test_an_editable_install_copies_nothing(tmp_path: Path) -> None:
    """A copy would go stale: the scenarios are read where they are edited."""
    command = (*BUILD, "-t", "wheel:editable", "-d", str(tmp_path))
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        assert not [name for name in file.namelist() if name.endswith((".py", ".toml"))]
