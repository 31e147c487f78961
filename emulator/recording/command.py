"""The command `pagewarden emulator record`. What it needs is imported when it runs."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emulator.errors import EmulatorError

if TYPE_CHECKING:
    from emulator.recording.run import Recorded

_HELP = """
Write emulated memory errors as a real machine would, for this and for other tools.

What fails is a scenario, or what memory of a kind does by itself in a time.
Banks are read, addresses lost and counts lumped as the scenario says, so that
a format shows what such a host knows and no more. Nothing is taken out of use
meanwhile. The same options make the same bytes.

\b
ereports        JSON lines of pagewarden's own, with all that is known
edac            kernel log: machine check, or firmware's block, and EDAC line
ghes            kernel log: APEI/GHES blocks (no counts)
mc-event        ras:mc_event tracepoint (time since boot; counts to 65535)
mce-record      mce:mce_record tracepoint (registers)
mce-struct      struct mce of 112 bytes; mce-struct-128 of 128
mce-inject      input of mce-inject
mcelog          text of mcelog
xen-console     Xen's console
smartmem        SmartMem CSV (a row a record, no counts)
rasdaemon       its sqlite database, version 0.8 (a file, not stdout)

Behind firmware there are no machine checks to write; AMD's need a format
with room for IPID. Such a choice is refused with those that there are. Traces
count from the boot, 2026-01-01 UTC: tell `decode` with --boot-time.

\b
Examples:
  pagewarden emulator record storm.log --format edac --scenario ce-storm
  pagewarden emulator record - --format mcelog --scenario row-failing | head
  pagewarden emulator record ras.db --format rasdaemon --preset ddr4 --wear 50
  pagewarden decode ras.db

\b
Exit codes: 0 it is written, be it empty; 1 it could not be, and one line on
stderr says why; 2 the command line is wrong.
"""


class Registers(StrEnum):
    """Whose registers the machine checks show."""

    INTEL = "intel"
    AMD = "amd"


def register(group: typer.Typer) -> None:
    group.command("record", help=_HELP)(record)


def record(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What to write; - is stdout.")],
    form: Annotated[
        str,
        typer.Option("--format", metavar="NAME", help="How machines would write it; see above."),
    ],
    scenario: Annotated[
        str | None,
        typer.Option("--scenario", metavar="NAME", help="What fails: a name, or a .toml file."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("--preset", metavar="NAME", help="Or memory by itself: ddr3, ddr4 or ddr5."),
    ] = None,
    dimms: Annotated[
        int, typer.Option("--dimms", min=1, max=64, help="With --preset: DIMMs of 64 GiB.")
    ] = 8,
    span: Annotated[
        str, typer.Option("--span", help="With --preset: how long, as in 30d or 6h.")
    ] = "30d",
    wear: Annotated[
        float, typer.Option("--wear", min=0, help="With --preset: so many times as many faults.")
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same bytes.")] = 1,
    registers: Annotated[
        Registers, typer.Option("--registers", help="Whose machine checks.")
    ] = Registers.INTEL,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="With --scenario: the emulator's TOML, for another memory."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Tell what was written as JSON.")] = False,
) -> None:
    """Write emulated memory errors in a format that machines write."""
    from emulator.recording.run import Choice, Worn, run  # noqa: PLC0415 - see the top of this file

    worn = None if preset is None else Worn(preset, dimms, span, wear)
    is_amd = registers is Registers.AMD
    try:
        told = run(Choice(file, form, scenario, worn, config, seed, is_amd=is_amd, force=force))
    except EmulatorError as error:
        typer.echo(f"pagewarden: {error}", err=True)
        raise typer.Exit(1) from None
    except BrokenPipeError:  # whoever reads it has had enough: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None
    _conclude(told, as_json=as_json)


def _conclude(told: "Recorded", *, as_json: bool) -> None:
    """On stderr where stdout is the recording."""
    if as_json:
        typer.echo(told.model_dump_json(), err=told.file == "-")
    else:
        typer.echo(f"pagewarden: {told}", err=True)
