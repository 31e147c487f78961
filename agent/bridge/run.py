"""The bridge's composition root: every part is made here, once, and handed to whom it concerns."""

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID

from agent.adapters import logs
from agent.adapters.broker_settings import BrokerSettings, tls_context
from agent.adapters.health import HealthBoard
from agent.adapters.http import PublicServer
from agent.adapters.this_host import ThisHost
from agent.bridge.events import Event, Observer, SourceTold
from agent.bridge.keeping import Keeping, open_keeping
from agent.bridge.log import BridgeLog, tell_start, tell_stop
from agent.bridge.metrics import BridgeMetrics, Totals
from agent.bridge.service import Bridge, Plan
from agent.bridge.wanted import Making, Wanted
from agent.contract.errors import first_of
from agent.telemetry.prefixes import Unsaid


@dataclass(frozen=True, slots=True)
class Setting:
    """All that the command line says. `listen` is where metrics are served, if anywhere."""

    plan: Plan
    wanted: Wanted
    unsaid: Unsaid
    broker: BrokerSettings
    state: Path
    listen: tuple[str, int] | None = None
    log_level: str = "info"


@dataclass(frozen=True, slots=True)
class Summary:
    """How a life ended: what it did, how many ereports it leaves to the next, and in which boot."""

    totals: Totals
    kept: int
    boot_id: UUID


async def run(setting: Setting, host: ThisHost | None = None) -> Summary:
    """Run until SIGTERM or SIGINT or, where it does not follow, until all is applied.

    Raises:
        AgentError: if something it needs cannot be had, or is lost for good.
        PeerError: if there is an end, and the agent does not apply what was read.
    """
    logs.set_up_logs(setting.log_level)
    asyncio.get_running_loop().set_exception_handler(logs.tell_loop_trouble)
    tls_context(setting.broker)  # what cannot be right is told at once
    host = host or ThisHost()
    boot = host.boot()
    tell_start(
        version("pagewarden"),
        setting.plan.host,
        setting.wanted.name,
        str(setting.state.absolute()),
        str(boot.id),
    )
    try:
        inventory = host.inventory(setting.plan.host, boot.id)
        async with open_keeping(setting.state, boot, inventory) as keeping:
            return await _live(setting, keeping)
    except Exception as error:
        tell_stop(failure=first_of(error))
        raise


async def _live(setting: Setting, keeping: Keeping) -> Summary:
    board = HealthBoard()
    metrics = BridgeMetrics(board.renew)
    observe = _Both(BridgeLog(), metrics)
    with ExitStack() as stack:
        if setting.listen:
            server = PublicServer(setting.listen, metrics.registry, board)
            stack.callback(server.close)
        bridge = _bridge(setting, keeping, observe)
        async with _told_to_stop(bridge) as signals:
            await bridge.run()
        tell_stop(signals[0] if signals else "all is applied")
    return Summary(metrics.totals, keeping.spool.kept, keeping.inventory.boot_id)


def _bridge(setting: Setting, keeping: Keeping, observe: Observer) -> Bridge[Any]:
    wanted = setting.wanted

    def tell(text: str) -> None:
        observe(SourceTold(wanted.name, text))

    plan = setting.plan
    making = Making(keeping, tell, setting.unsaid, plan.follows, plan.settle_seconds)
    source, reader_at = wanted.made(making)
    return Bridge(setting.plan, source, reader_at, keeping, setting.broker, observe)


@dataclass(frozen=True, slots=True)
class _Both:
    first: Observer
    second: Observer

    def __call__(self, event: Event) -> None:
        self.first(event)
        self.second(event)


@asynccontextmanager
async def _told_to_stop(bridge: Bridge[Any]) -> AsyncGenerator[list[str]]:
    """SIGTERM and SIGINT stop the bridge; by which it was told stands in the list."""
    told: list[str] = []

    def stop(number: signal.Signals) -> None:
        told.append(number.name)
        bridge.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        yield told
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
