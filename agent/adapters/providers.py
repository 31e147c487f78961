"""Whoever is installed that makes ereports of its own; see `contract.sources`."""

from importlib.metadata import entry_points

from agent.contract.errors import AgentError
from agent.contract.sources import GROUP, Provider, Source, Wanted


def source_of(wanted: Wanted) -> Source:
    """The scenario that is wanted, from the first provider by name.

    Raises:
        AgentError: if nobody who has scenarios is installed, or there is no such scenario.
    """
    found = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    if not found:
        raise AgentError("--scenario: nobody who has scenarios is installed; install the emulator")
    provider: Provider = found[0].load()
    return provider(wanted)
