"""What of a configuration that is read again is taken at once, and what waits for a restart.

A policy says when a page is going bad and what is done about it, and needs nothing but to be known.
The rest names files, sockets and peers, which are opened at a start and may not be there: a key of
that kind keeps its value, and is named.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from agent.config import AgentConfig

POLICY = ("diagnosis", "retirement", "log")


@dataclass(frozen=True, slots=True)
class Reloaded:
    """`config` is what to go on with. The keys that changed are in `taken` or in `left`."""

    config: AgentConfig
    taken: tuple[str, ...]
    left: tuple[str, ...]


def reloaded(running: AgentConfig, read: AgentConfig) -> Reloaded:
    """`running`, with the policy that was `read`."""
    changed = tuple(_changed(running.model_dump(), read.model_dump()))
    policy = {section: getattr(read, section) for section in POLICY}
    return Reloaded(
        config=running.model_copy(update=policy),
        taken=tuple(key for key in changed if is_policy(key)),
        left=tuple(key for key in changed if not is_policy(key)),
    )


def is_policy(key: str) -> bool:
    """True for a key like `retirement.mode`, which a reload takes."""
    return key.partition(".")[0] in POLICY


def _changed(old: Mapping[str, Any], new: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in old.items():
        if isinstance(value, dict):
            yield from _changed(cast("dict[str, Any]", value), new[key], f"{above}{key}.")
        elif value != new[key]:
            yield f"{above}{key}"
