"""The demo's agent is configured as a scenario wants it, and reads that as it was meant."""

import tomllib
from pathlib import Path

from emulator.demo.agent_config import agent_config, as_toml, laid_over

FOLDER = Path("/run/demo")


def test_what_is_written_is_read_back() -> None:
    keys = agent_config(FOLDER, "mqtt://127.0.0.1:1", "5", 9464)
    read = tomllib.loads(as_toml(laid_over(keys, {"retirement": {"rungs": ("swap", "exchange")}})))
    assert read["retirement"] == {**keys["retirement"], "rungs": ["swap", "exchange"]}
    assert read["host"] == "hv-1"


def test_a_scenarios_key_stands_in_the_place_of_the_demos() -> None:
    keys = laid_over({"retirement": {"watch_seconds": 5.0}}, {"retirement": {"watch_seconds": 1.0}})
    assert keys == {"retirement": {"watch_seconds": 1.0}}


def test_a_table_of_the_scenarios_own_is_added() -> None:
    assert laid_over({"": {"host": "hv-1"}}, {"log": {"level": "debug"}}) == {
        "": {"host": "hv-1"},
        "log": {"level": "debug"},
    }
