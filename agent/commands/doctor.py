"""`pagewarden doctor`: may this host be guarded, and what is to be mended first?"""

import asyncio
import json
from dataclasses import asdict

import typer
from rich.console import Console
from rich.text import Text

from agent.adapters.xen.xl import Xl
from agent.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from agent.commands.table import Row, print_table
from agent.config import load
from agent.doctor.checks import Level, Line, examined, is_fit
from agent.doctor.survey import Survey

COLOURS = {
    Level.OK: "green",
    Level.WARNING: "yellow",
    Level.REFUSED: "red",
    Level.SKIPPED: "dim",
}
HEADING = ("check", "", "what", "fix")


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Look at this host, and say what is to be mended before the agent acts on it.

    It reads the agent's configuration, asks the hypervisor that this names, and
    changes nothing. A line is ok, a WARNING (the agent works, and something is
    not as one may think), REFUSED (do not enforce before that is mended: it says
    how), or skipped (it is not about this host).

    \b
    Examples:
      pagewarden doctor
      pagewarden doctor --json | jq '.lines[] | select(.level == "refused")'
      PAGEWARDEN_HYPERVISOR__KIND=xen pagewarden doctor

    Exit codes: 0 nothing is refused, 1 something is.
    """
    settings = load(config)
    calls, guests = settings.hypervisor.call_seconds_max, settings.hypervisor.guest_seconds_max
    lines = examined(asyncio.run(Survey(settings, Xl(calls, guests)).facts()))
    if as_json:
        told = {"fit": is_fit(lines), "lines": [asdict(line) for line in lines]}
        typer.echo(json.dumps(told))
    else:
        print_table(Console(), HEADING, map(_row, lines))
    raise typer.Exit(0 if is_fit(lines) else 1)


def _row(line: Line) -> Row:
    level = Text(line.level, style=COLOURS[line.level])
    return (Text(line.check), level, Text(line.what), Text(line.fix))
