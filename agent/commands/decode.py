"""`pagewarden decode`: what real machines wrote, as ereports on standard output."""

import os
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from agent.adapters.recordings import Unopened, identity, opened
from agent.commands.options import JsonOption
from agent.commands.reading import (
    AUTO,
    BootTimeOption,
    FilesArgument,
    FormatOption,
    Manner,
    PageSize,
    PageSizeOption,
    RecordBytesOption,
    Tally,
    YearOption,
    ZoneOption,
    parse_host,
    records,
)
from agent.contract.ereport import Ereport

HEADING = f"{'TIME (UTC)':26} KIND COUNT {'ADDRESS':>14} RANK BANK      ROW COLUMN DIMM"


def register(app: typer.Typer) -> None:
    app.command("decode")(decode)


def decode(
    files: FilesArgument,
    *,
    as_json: JsonOption = False,
    host: Annotated[
        str,
        typer.Option("--host", parser=parse_host, metavar="NAME", help="Whose errors they are."),
    ] = "recorded",
    form: FormatOption = AUTO,
    year: YearOption = None,
    zone: ZoneOption = None,
    boot_time: BootTimeOption = None,
    page_size: PageSizeOption = PageSize.KIB4,
    record_bytes: RecordBytesOption = None,
) -> None:
    """Read the memory errors out of logs and print them as ereports, one a line.

    Reads logs of kernels and of the daemons about them (EDAC lines, blocks of
    firmware and of machine checks, the tracepoints mc_event and mce_record,
    mcelog's text, Xen's console, behind the prefix of dmesg, dmesg -T, syslog or
    journald), rasdaemon's database, records of /dev/mcelog and pstore (struct
    mce), mce-inject files and SmartMem CSV; which it is goes by the content. An
    error that is told in several of these ways counts once. An address that is
    not known stays unknown. Lines about other things are passed over; a memory
    error that cannot be read, and a machine check of something else, is told on
    stderr as file:line: reason.

    Numbers start at 0 and run over all files. The boot_id follows from the first
    64 KiB of each file, so decoding the same files again yields the same
    ereports. Inputs of any length are streamed; from standard input the first
    line comes once 64 KiB, or its end, were read.

    Dates without a zone are UTC unless --zone says more. Seconds since boot stand
    for seconds since 1970 unless --boot-time says when the machine booted: order
    and distance are right then, the date is not. A machine check without a time
    is dated at the boot.

    A database is opened read-only, and no lock is held on it for long, so that
    its daemon can go on writing. Its rows are told of by their ids.

    \b
    Examples:
      pagewarden decode /var/log/kern.log
      journalctl -k -o short-iso-precise | pagewarden decode -
      pagewarden decode --json --host hv-1 kern.log.1 kern.log > hv-1.jsonl
      pagewarden decode --year 2023 --zone Europe/Berlin old-syslog
      pagewarden decode /var/lib/rasdaemon/ras-mc_event.db
      pagewarden decode --json dimm.csv | jq -s 'group_by(.row) | map(length)'

    Exit codes: 0 all went well, also where there are no memory errors; 1 there
    was nothing to be read, or nothing of it could be; 2 wrong usage, or a file is
    not there.
    """
    manner = Manner(form, year, zone, boot_time or 0, page_size, record_bytes)
    show = _as_json if as_json else _as_text
    tally = Tally()
    try:
        with opened(files) as recordings:
            boot_id = identity(recordings)
            if not as_json:
                _write(HEADING)
            for seq, record in enumerate(records(recordings, manner, tally, _complain)):
                _write(show(record.ereport(host, boot_id, seq)))
        sys.stdout.flush()
    except Unopened as error:
        tell(str(error))
        raise typer.Exit(2) from None
    except BrokenPipeError:
        _close_quietly()
        raise typer.Exit from None
    tell(summary(tally))
    if tally.warning:
        tell(tally.warning)
    raise typer.Exit(0 if tally.ereports or (tally.read and not tally.refused) else 1)


def summary(tally: Tally) -> str:
    """What it came to, in one line."""
    if tally.ereports or tally.refused:
        return str(tally)
    if not tally.read:
        return "there was nothing to be read"
    if not tally.lines:
        return "no memory errors"
    return f"no memory errors in {tally.lines:,} {'line' if tally.lines == 1 else 'lines'}"


def tell(text: str) -> None:
    """One line on stderr."""
    typer.echo(f"pagewarden: {text}", err=True)


def _complain(text: str) -> None:
    typer.echo(printable(text), err=True)


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _as_json(ereport: Ereport) -> str:
    return ereport.model_dump_json(exclude_none=True)


def _as_text(ereport: Ereport) -> str:
    seconds, rest_ns = divmod(ereport.time_ns, 1_000_000_000)
    when = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns // 1000:06}"
    address = "-" if ereport.address is None else f"{ereport.address:#x}"
    rank, bank, row, column = (
        "-" if value is None else str(value)
        for value in (ereport.rank, ereport.bank, ereport.row, ereport.column)
    )
    return (
        f"{when:26} {ereport.kind:4} {ereport.count or '?':>5} {address:>14} {rank:>4} {bank:>4} "
        f"{row:>8} {column:>6} {printable(ereport.dimm or '-')}"
    )


def printable(text: str) -> str:
    """`text` without what could steer a terminal: logs are written by others."""
    return "".join(char if char.isprintable() else "�" for char in text)


def _close_quietly() -> None:
    """Nobody reads our output any more (`| head`): let the interpreter's last flush go nowhere.

    As Python's own documentation advises (library, signal, "Note on SIGPIPE").
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
