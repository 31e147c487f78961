"""What `docker compose up` would start: every file, service and option that it names is there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # it comes with the demo's broker, without types
from typer.core import TyperGroup
from typer.main import get_command

from agent.cli import build
from agent.config import AgentConfig
from tests.support.prometheus import promtool as asked

ROOT = Path(__file__).parents[2]
Tree = dict[str, Any]


def read(name: str) -> Tree:
    tree: Tree = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return tree


COMPOSE = read("compose.yaml")
SERVICES: dict[str, Tree] = COMPOSE["services"]
OURS = ("agent", "emulator")


def mounts() -> Iterator[tuple[str, str, str]]:
    """Each service, what is mounted into it, and where."""
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            source, target, *_ = volume.split(":")
            yield name, source, target


def test_everything_that_is_mounted_is_there() -> None:
    for name, source, _ in mounts():
        is_there = (
            (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
        )
        assert is_there, (name, source)


def test_every_service_is_of_a_fixed_version_and_open_to_this_machine_alone() -> None:
    for name, service in SERVICES.items():
        assert "build" in service or re.search(r":v?\d+\.\d+", service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert set(service.get("depends_on", ())) <= {*SERVICES}, name


@pytest.mark.parametrize("name", OURS)
def test_our_own_commands_have_the_options_that_are_given(name: str) -> None:
    command, *options = SERVICES[name]["command"]
    program = get_command(build())
    assert isinstance(program, TyperGroup)
    known = {flag for parameter in program.commands[command].params for flag in parameter.opts}
    assert {option.partition("=")[0] for option in options} <= known
    files = [option.partition("=")[2] for option in options if option.startswith("--config=")]
    assert all((ROOT / file).is_file() for file in files)


def test_what_the_environment_sets_are_keys_of_the_agent() -> None:
    for variable in SERVICES["agent"]["environment"]:
        section, key = variable.removeprefix("PAGEWARDEN_").lower().split("__")
        assert key in AgentConfig.model_fields[section].annotation.model_fields  # type: ignore[union-attr] # a section


def test_the_image_has_what_it_copies() -> None:
    text = (ROOT / "config/compose/Dockerfile").read_text(encoding="utf-8")
    copied = [
        word
        for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE)
        for word in line.split()[:-1]
    ]
    assert copied
    assert all((ROOT / word).exists() for word in copied)


def test_prometheus_scrapes_and_alerts_services_that_are_there() -> None:
    text = (ROOT / "config/compose/prometheus.yml").read_text(encoding="utf-8")
    targets = re.findall(r'targets: \["(\w+):(\d+)"\]', text)
    assert [name for name, _ in targets] == ["alertmanager", "agent", "emulator"]
    assert SERVICES["agent"]["environment"]["PAGEWARDEN_METRICS__LISTEN"].endswith(":9464")
    assert "--metrics=0.0.0.0:9465" in SERVICES["emulator"]["command"]


@pytest.mark.parametrize("name", ["config/prometheus.yml", "config/compose/prometheus.yml"])
def test_prometheus_reads_its_configuration(name: str, promtool: None) -> None:
    done = asked("check", "config", "--syntax-only", ROOT / name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_finds_its_source_and_the_dashboards_where_they_are_mounted() -> None:
    places = {target for name, _, target in mounts() if name == "grafana"}
    (source,) = read("config/compose/grafana/datasources.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = read("config/compose/grafana/dashboards.yml")["providers"]
    assert provider["options"]["path"] in places
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    board = json.loads((ROOT / "dashboards/grafana" / home.name).read_text(encoding="utf-8"))
    assert (str(home.parent), board["uid"]) == (provider["options"]["path"], home.stem)
