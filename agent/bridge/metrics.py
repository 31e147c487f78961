"""Events become numbers: for Prometheus, for health, and for the summary at the end."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import singledispatchmethod

from prometheus_client import CollectorRegistry

from agent.adapters import catalogue as row
from agent.adapters.catalogue import Instruments
from agent.adapters.health import Health
from agent.bridge.events import (
    AgentApplied,
    Beat,
    ErrorsLost,
    Event,
    PieceTaken,
    Published,
)


@dataclass(frozen=True, slots=True)
class Totals:
    """What this life did. All but `read` and `refused` count ereports."""

    read: int = 0
    ereports: int = 0
    errors: int = 0
    refused: int = 0
    published: int = 0
    applied: int = 0
    lost: int = 0


class BridgeMetrics:
    """An observer that counts. `renew` is told how the bridge does at every beat."""

    def __init__(self, renew: Callable[[Health], None]) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.totals = Totals()
        self._made = Instruments(self.registry, row.BRIDGE)
        self._renew = renew

    def __call__(self, event: Event) -> None:
        self._count(event)

    @singledispatchmethod
    def _count(self, event: Event) -> None:
        """An event that is no number."""

    @_count.register
    def _(self, event: PieceTaken) -> None:
        totals, made = self.totals, self._made
        self.totals = replace(
            totals,
            read=totals.read + event.items,
            ereports=totals.ereports + event.ereports,
            errors=totals.errors + event.errors,
            refused=totals.refused + event.refused,
        )
        made[row.BRIDGE_READ].inc(event.items)
        made[row.BRIDGE_EREPORTS].inc(event.ereports)
        made[row.BRIDGE_ERRORS].inc(event.errors)
        made[row.BRIDGE_REFUSED].inc(event.refused)

    @_count.register
    def _(self, event: Published) -> None:
        self.totals = replace(self.totals, published=self.totals.published + event.ereports)
        self._made[row.BRIDGE_PUBLISHED].inc(event.ereports)

    @_count.register
    def _(self, event: AgentApplied) -> None:
        self.totals = replace(self.totals, applied=self.totals.applied + event.ereports)
        self._made[row.BRIDGE_APPLIED].inc(event.ereports)

    @_count.register
    def _(self, event: ErrorsLost) -> None:
        self.totals = replace(self.totals, lost=self.totals.lost + event.ereports)
        self._made[row.BRIDGE_LOST].inc(event.ereports)

    @_count.register
    def _(self, event: Beat) -> None:
        self._made[row.BRIDGE_KEPT].set(event.kept)
        self._made[row.BRIDGE_BEHIND].set(event.behind_seconds)
        self._made[row.BRIDGE_CONNECTED].set(event.is_connected)
        self._renew(Health(tuple(_ailments(event))))


def _ailments(beat: Beat) -> list[str]:
    found: list[str] = []
    if not beat.is_connected:
        found.append("no connection to the broker")
    if beat.is_full:
        found.append(f"the spool is full ({beat.kept} ereports): the agent does not apply them")
    return found
