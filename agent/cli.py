"""The command `pagewarden`. One command a file in `agent/commands`; here they only meet.

Other packages add commands through the entry-point group `pagewarden.commands`, so that an install
without the emulator is whole and one with it has `emulator` and `demo` too.
"""

import sys
from importlib.metadata import entry_points, version
from typing import Annotated

import typer

from agent.commands import (
    agent,
    badpages,
    bridge,
    cases,
    decode,
    doctor,
    feed,
    metrics,
    requests,
    status,
)
from agent.contract.errors import AgentError, PeerError, first_of

GROUP = "pagewarden.commands"

HELP = """
Take failing memory pages out of use on virtualisation hosts, without the guests noticing.

The agent listens to corrected memory errors over MQTT, decides which pages
are going bad, has the hypervisor take them out of use, moves guests off them,
and shows what it did to Prometheus.

\b
Start here:     pagewarden demo
On a host:      pagewarden agent --config /etc/pagewarden/agent.toml
Before that:    pagewarden doctor
Its errors:     pagewarden bridge --from journal --host … --broker …
A recorded log: pagewarden decode /var/log/kern.log
What it does:   pagewarden status, pagewarden cases, pagewarden case c1
By hand:        pagewarden offline 0x1234, evacuate, online, cancel

Exit codes: 0 done; 1 it could not be done, and one line says why; 2 the
command line is wrong.
"""


def build() -> typer.Typer:
    """The application with every command that is installed."""
    app = typer.Typer(
        name="pagewarden", help=HELP, no_args_is_help=True, pretty_exceptions_enable=False
    )
    app.callback()(_root)
    commands = (agent, bridge, status, cases, requests, decode, feed, metrics, doctor, badpages)
    for module in commands:
        module.register(app)
    for extension in sorted(entry_points(group=GROUP), key=lambda found: found.name):
        extension.load()(app)
    return app


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"pagewarden {version('pagewarden')}")
        raise typer.Exit


def _root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print it and stop."
        ),
    ] = False,
) -> None:
    pass


_root.__doc__ = HELP


def main() -> None:
    """Run the command line; expected trouble ends in one line on stderr, never in a traceback."""
    try:
        build()()
    except (AgentError, PeerError) as error:
        sys.exit(_complain(error))
    except ExceptionGroup as group:
        cause = first_of(group)
        if not isinstance(cause, AgentError | PeerError):
            raise
        sys.exit(_complain(cause))
    except KeyboardInterrupt:
        sys.exit(130)


def _complain(error: Exception) -> int:
    typer.echo(f"pagewarden: {error}", err=True)
    return 1
