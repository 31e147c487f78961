"""Options that several commands share, so that they read and behave alike."""

from pathlib import Path
from typing import Annotated

import typer

from agent.config import load

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        help="The agent's configuration file; where that is not, the host's: "
        "/etc/pagewarden/agent.toml.",
        metavar="FILE",
    ),
]
SocketOption = Annotated[
    Path | None,
    typer.Option("--socket", help="The agent's socket; default: as configured.", metavar="PATH"),
]

DEFAULT_CONFIG = Path("config/agent.toml")
HOST_CONFIG = Path("/etc/pagewarden/agent.toml")


def found(config: Path) -> Path:
    """`config`; the host's, if nobody named one and there is none in this folder."""
    is_missing = config == DEFAULT_CONFIG and not config.exists()
    return HOST_CONFIG if is_missing and HOST_CONFIG.exists() else config


def socket_of(config: Path, socket: Path | None) -> Path:
    """The socket to ask: the one named, else the one that the configuration names."""
    return socket if socket is not None else load(found(config)).control.socket
