"""`pagewarden badpages`: the retired pages, as Xen's command line takes them."""

import json

import typer

from agent.adapters.client import fetch
from agent.adapters.xen.badpages import OPTION, Badpages, badpages_of
from agent.commands.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    SocketOption,
    socket_of,
)
from agent.contract.frames import Mfn
from agent.contract.status import CasesView, Rest, View


def register(app: typer.Typer) -> None:
    app.command("badpages")(badpages)


def badpages(
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the retired pages as Xen's command line takes them: badpage=0x1234,0x2000-0x2003.

    Real Xen forgets at a reboot which pages were taken. Those that stand on its
    command line are never given to anybody from the start; the agent asks for all
    of them again when it starts, so the others are in use until then. Xen reads
    99 characters of this option and cuts the rest, so what does not fit is left
    out, the longest runs of pages going first, and told on stderr.

    \b
    Examples:
      pagewarden badpages
      pagewarden badpages --json | jq .left_out

    Exit codes: 0 all of them fit (or there are none), 1 some do not.
    """
    cases = fetch(socket_of(config, socket), View.CASES, CasesView).cases
    found = badpages_of(Mfn(case.mfn) for case in cases if case.rest is Rest.RETIRED)
    if as_json:
        typer.echo(json.dumps({"option": found.option, "left_out": list(found.left_out)}))
    elif found.option:
        typer.echo(found.option)
    _complain(found)
    raise typer.Exit(1 if found.left_out else 0)


def _complain(found: Badpages) -> None:
    if found.left_out:
        typer.echo(
            f"pagewarden: {len(found.left_out)} pages do not fit into {OPTION}: the agent takes "
            "them again when it starts",
            err=True,
        )
