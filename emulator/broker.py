"""A broker in a box, for a demo on a machine without Mosquitto. A convenience, never production.

It is amqtt: MQTT 3.1.1 only, and it forgets what nobody acknowledged. Nothing is lost by that,
because the source keeps its outbox, but it costs time. It listens on loopback, where anonymous
logins are harmless, and runs on plain asyncio (under uvloop amqtt loses queued messages).
"""

import asyncio
import contextlib
import importlib
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from emulator.errors import EmulatorError


def settings(port: int) -> dict[str, Any]:
    """What amqtt is told: one loopback listener, anonymous logins, no `$SYS` topics."""
    return {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {
            "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True},
        },
    }


@asynccontextmanager
async def broker(port: int) -> AsyncGenerator[None]:
    """Serve on 127.0.0.1:`port` as long as the context lasts.

    Raises:
        EmulatorError: if amqtt is not installed, or the port is in use.
    """
    try:
        amqtt = importlib.import_module("amqtt.broker")  # an extra that most installs lack
    except ModuleNotFoundError:
        raise EmulatorError(
            "the embedded broker needs amqtt: pip install 'pagewarden[demo]', or use Mosquitto"
        ) from None
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    logging.getLogger("transitions").setLevel(logging.CRITICAL)
    serving = amqtt.Broker(settings(port))
    try:
        await serving.start()
    except amqtt.BrokerError as error:
        reason = " ".join(str(error).split())
        raise EmulatorError(f"--port: cannot listen on 127.0.0.1:{port}: {reason}") from None
    try:
        yield
    finally:
        with contextlib.suppress(amqtt.BrokerError, TimeoutError):
            async with asyncio.timeout(5):
                await serving.shutdown()
