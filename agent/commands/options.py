"""Options that several commands share, so that they read and behave alike."""

from pathlib import Path
from typing import Annotated

import typer

from agent.config import load

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="The agent's configuration file.", metavar="FILE")
]
SocketOption = Annotated[
    Path | None,
    typer.Option("--socket", help="The agent's socket; default: as configured.", metavar="PATH"),
]

DEFAULT_CONFIG = Path("config/agent.toml")


def socket_of(config: Path, socket: Path | None) -> Path:
    """The socket to ask: the one named, else the one that the configuration names."""
    return socket if socket is not None else load(config).control.socket
