"""`pagewarden agent`: the service itself."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from agent import app as service
from agent.adapters.broker_settings import parse_url
from agent.config import load


def register(app: typer.Typer) -> None:
    app.command("agent")(run)


def run(
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The configuration file.", metavar="FILE")
    ] = Path("config/agent.toml"),
    check: Annotated[
        bool, typer.Option("--check", help="Only read the configuration and say if it is good.")
    ] = False,
) -> None:
    """Run the agent: take errors from the broker, retire failing pages, until told to stop.

    SIGTERM or Ctrl-C stops it cleanly: no more messages are taken, a guest that
    stands still is brought back, what was decided is written down. After a crash
    or a power cut it first brings back any guest that it may have left stopped,
    and then goes on where it was. SIGHUP has it read its policy again; a wrong
    file changes nothing.

    Metrics and health are served at the address `metrics.listen`; logs go to
    stderr, as JSON unless that is a terminal.

    \b
    Examples:
      pagewarden agent --config /etc/pagewarden/agent.toml
      pagewarden agent --check -c agent.toml
      PAGEWARDEN_LOG__LEVEL=debug pagewarden agent

    Exit codes: 0 stopped cleanly, 1 something it needs is not there, or the host
    is not one that it can drive (one line says what).
    """
    settings = load(config)
    if check:
        parse_url(settings.broker.url)
        typer.echo(f"{config}: good; guards {settings.host}, listens to {settings.broker.url}")
        return
    asyncio.run(service.run(settings, config))
