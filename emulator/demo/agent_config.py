"""The agent's configuration for one run of the demo, as TOML.

A scenario may say what is to be different; the agent itself checks whether such keys exist.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

Value = str | int | float | bool | tuple[str, ...]
Tables = Mapping[str, Mapping[str, Value]]

_TOP = ""  # the keys before any table


def agent_config(folder: Path, url: str, protocol: str, metrics_port: int) -> Tables:
    """All its sockets and its journal in `folder`."""
    return {
        _TOP: {"host": "hv-1"},
        "broker": {"url": url, "protocol": protocol},
        "journal": {"path": str(folder / "pagewarden.db")},
        # A demo is an hour's trouble in a minute.
        "retirement": {"watch_seconds": 5.0, "pauses_per_guest_and_hour_max": 1000},
        "hypervisor": {
            "hypercall_socket": str(folder / "hypercall.sock"),
            "toolstack_socket": str(folder / "toolstack.sock"),
        },
        "metrics": {"listen": f"127.0.0.1:{metrics_port}"},
        "control": {"socket": str(folder / "agent.sock")},
    }


def laid_over(keys: Tables, others: Tables) -> Tables:
    """`keys`, and those of `others` in their place or beside them."""
    return {name: {**keys.get(name, {}), **others.get(name, {})} for name in {**keys, **others}}


def as_toml(keys: Tables) -> str:
    return "\n".join(_lines(keys)) + "\n"


def _lines(keys: Tables) -> Iterator[str]:
    for name, table in keys.items():
        if name != _TOP:
            yield f"[{name}]"
        # What JSON says of a string, a number, a truth value or a list of these, TOML says too.
        yield from (f"{key} = {json.dumps(value)}" for key, value in table.items())
