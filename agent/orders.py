"""What the agent is told by signals: to stop, or to read its policy again.

    SIGTERM, SIGINT ─► set, for good ─────────────────────────────► the life ends in order
    SIGHUP ─► read, check ─┬─► another policy: set ───────────────► the life ends, a new one begins
                           ├─► the same one, or keys that wait for a restart: told
                           └─► it is wrong: told, and all stays as it was

A new policy is lived by as after a restart: steps under way are finished by the old one, then what
is in the journal is taken up, and judged by the new thresholds and caps. So nothing is done half by
one and half by the other, and there is one way to begin.
"""

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from agent.adapters.systemd import Systemd
from agent.config import AgentConfig, load
from agent.contract.errors import AgentError
from agent.events import Event, Observer, PolicyRefused, PolicyReloaded
from agent.reloading import Reloaded, reloaded


class Orders(asyncio.Event):
    """Set while the present life is to end. `config` is what the next one lives by.

    `why` is the signal that ends the last one.
    """

    def __init__(self, config: AgentConfig, path: Path, systemd: Systemd) -> None:
        super().__init__()
        self.config = config
        self.why = ""
        self._path = path
        self._systemd = systemd
        self._untold: list[Event] = []
        self._observe: Observer = self._untold.append

    @contextmanager
    def heard(self) -> Generator[None]:
        """Signals are orders for as long as the context lasts."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, number)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def stop(self, number: signal.Signals) -> None:
        self.why = self.why or number.name
        self.set()

    def reload(self) -> None:
        """Read the file again; what is wrong with it changes nothing."""
        self._systemd.reloading()
        try:
            found = reloaded(self.config, load(self._path))
        except AgentError as error:
            self._observe(PolicyRefused(str(error)))
            self._systemd.ready()
        else:
            self._take(found)

    def _take(self, found: Reloaded) -> None:
        self.config, event = found.config, PolicyReloaded(found.taken, found.left)
        if found.taken:
            self._untold.append(event)  # for the life that lives by it, and its metrics
            self.set()
        else:
            self._observe(event)
            self._systemd.ready()

    def begin(self) -> AgentConfig:
        """What the life that begins now lives by."""
        if not self.why:
            self.clear()
        return self.config

    def tell(self, observe: Observer) -> None:
        """Have `observe` hear what came of reloads, what the life before has left untold first."""
        self._observe = observe
        untold, self._untold = self._untold, []
        for event in untold:
            observe(event)
