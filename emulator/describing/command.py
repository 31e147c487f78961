"""The command `pagewarden emulator describe`. What it needs is imported when it runs."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emulator.errors import EmulatorError

if TYPE_CHECKING:
    pass

_HELP = """
Simulate a year of memory, and show whether it fails as config/faults.toml says.

Prints how often flaws of each mode came, how many errors they made and what
retiring pages would have saved; --html draws it, --json has all numbers.

\b
Examples:
  pagewarden emulator describe --preset ddr4 --html faults.html
  pagewarden emulator describe --dimm-years 1000000 --json

\b
Exit codes: 0 done; 1 it could not be done, and one line on stderr says why;
2 the command line is wrong.
"""


def register(group: typer.Typer) -> None:
    group.command("describe", help=_HELP)(describe)


def describe(
    *,
    preset: Annotated[str, typer.Option(help="Which memory: ddr3, ddr4 or ddr5.")] = "ddr4",
    dimm_years: Annotated[
        int, typer.Option(help="How many DIMMs; up to a million, in some seconds.")
    ] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same report.")] = 1,
    html: Annotated[Path | None, typer.Option(help="Draw it into this file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print all numbers as JSON.")] = False,
) -> None:
    """Simulate a year of memory, and show whether it fails as configured."""
    _or_complain(lambda: _describe(preset, dimm_years, seed, html, json=json))


def _describe(preset: str, dimm_years: int, seed: int, html: Path | None, *, json: bool) -> None:
    from emulator import presets  # noqa: PLC0415 - see the top of this file
    from emulator.describing.page import page  # noqa: PLC0415 - as above
    from emulator.describing.study import study  # noqa: PLC0415 - as above
    from emulator.describing.words import as_json, in_words  # noqa: PLC0415 - as above

    found = study(presets.load(preset), dimm_years, seed)
    if html is not None:
        _write(html, page(found))
    typer.echo(as_json(found) if json else in_words(found))


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EmulatorError(f"{file}: cannot be written: {error.strerror}") from None


def _or_complain(do: Callable[[], None]) -> None:
    try:
        do()
    except EmulatorError as error:
        typer.echo(f"pagewarden: {error}", err=True)
        raise typer.Exit(1) from None
