"""The command `pagewarden`. One command a file in `agent/commands`; here they only meet.

Only the command that is asked for is imported: the agent holds no decoder of logs for as long as it
runs, and `status` need not wait for any.

Other packages add commands through the entry-point group `pagewarden.commands`, so that an install
without the emulator is whole and one with it has `emulator` and `demo` too.
"""

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import entry_points, version
from typing import Annotated

import typer

from agent.contract.errors import AgentError, PeerError, first_of

Register = Callable[[typer.Typer], None]

GROUP = "pagewarden.commands"

# Where each command is made, in the order of the help.
COMMANDS = {
    "agent": "agent.commands.agent",
    "bridge": "agent.commands.bridge",
    "status": "agent.commands.status",
    "top": "agent.commands.top",
    "cases": "agent.commands.cases",
    "case": "agent.commands.cases",
    "dimms": "agent.commands.dimms",
    "why": "agent.commands.why",
    "requests": "agent.commands.asked",
    "offline": "agent.commands.requests",
    "evacuate": "agent.commands.requests",
    "online": "agent.commands.requests",
    "cancel": "agent.commands.requests",
    "decode": "agent.commands.decode",
    "feed": "agent.commands.feed",
    "metrics": "agent.commands.metrics",
    "doctor": "agent.commands.doctor",
    "badpages": "agent.commands.badpages",
}

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
What it does:   pagewarden top, status, cases, case c1, dimms, why 0x1234
By hand:        pagewarden offline 0x1234, evacuate, online, requests, cancel

Exit codes: 0 done; 1 it could not be done, and one line says why; 2 the
command line is wrong.
"""


def build(command: str = "") -> typer.Typer:
    """The application with every command that is installed; with one of ours, with hardly more."""
    app = typer.Typer(
        name="pagewarden", help=HELP, no_args_is_help=True, pretty_exceptions_enable=False
    )
    app.callback()(_root)
    for register in _ours(command) if command in COMMANDS else _all():
        register(app)
    return app


def _ours(*commands: str) -> Iterator[Register]:
    for name in dict.fromkeys(COMMANDS[command] for command in commands):
        yield import_module(name).register


def _all() -> Iterator[Register]:
    yield from _ours(*COMMANDS)
    for extension in sorted(entry_points(group=GROUP), key=lambda found: found.name):
        yield extension.load()


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
        build(*sys.argv[1:2])()
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
