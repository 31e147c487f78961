"""What systemd is told of a service: that it is ready, how it is, that its loop turns.

The watchdog is fed by the heartbeat, from the loop: a loop that is stuck starves it, and systemd
ends the process and starts another. What ails the agent from outside (a broker that is away) does
not: a restart would mend nothing, and a guest that is being stopped would wait for it.

The words are those of sd_notify(3).
"""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

from agent.adapters.health import Health

ABSTRACT = "@"  # how an address without a file is written


class Systemd:
    """Every method returns at once, and does nothing where there is no systemd, or none listens."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._status = ""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def close(self) -> None:
        self._socket.close()

    def ready(self) -> None:
        """Whoever waits for the start, or for a reload, may go on."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Until `ready`. systemd tells it from an older reload by the time."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1", "STATUS=stopping")

    def beat(self, health: Health) -> None:
        """The loop runs; and what ails the agent, if that has changed."""
        status = "; ".join(health.ailments) or "well"
        changed = () if status == self._status else (f"STATUS={status}",)
        self._send("WATCHDOG=1", *changed)
        self._status = status

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        is_abstract = self._address.startswith(ABSTRACT)
        address = "\0" + self._address[1:] if is_abstract else self._address
        with suppress(OSError):  # full, or gone: the watchdog is the judge of that
            self._socket.sendto("\n".join(lines).encode(), address)
