"""All formats, by name: a table of how each is written, and of what it has no room for."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from emulator.errors import EmulatorError
from emulator.recording import (
    edac,
    ereports,
    ghes,
    mce_inject,
    mce_struct,
    mcelog,
    rasdaemon,
    smartmem,
    traces,
    xen_console,
)
from emulator.recording.record import Layout, Machine, Record

Text = Callable[[Record, Machine, int], str]
ANY = frozenset(Layout)
OF_BANKS = frozenset({Layout.INTEL, Layout.AMD})
WITHOUT_IPID = frozenset({Layout.INTEL})


@dataclass(frozen=True, slots=True)
class Format:
    """`layouts` are those that it has room for. One that is a database has no `write`."""

    name: str
    layouts: frozenset[Layout]
    write: Callable[[Iterable[Record], Machine], Iterator[bytes]] | None

    def check(self, layout: Layout) -> None:
        """Raise an EmulatorError if records of this layout cannot be written so."""
        if layout in self.layouts:
            return
        others = ", ".join(form.name for form in FORMATS.values() if layout in form.layouts)
        why = "has no room for AMD's IPID, which tells its banks apart"
        if layout is Layout.FIRMWARE:
            why = "holds machine checks, and this host's firmware keeps those to itself"
        raise EmulatorError(f"--format {self.name} {why}; there are: {others}")


def _lines(text: Text, head: str = "") -> Callable[[Iterable[Record], Machine], Iterator[bytes]]:
    def write(records: Iterable[Record], machine: Machine) -> Iterator[bytes]:
        if head:
            yield head.encode()
        for number, record in enumerate(records):
            yield text(record, machine, number).encode()

    return write


def _packed(
    pack: Callable[[Record, Machine], bytes], records: Iterable[Record], machine: Machine
) -> Iterator[bytes]:
    return (pack(record, machine) for record in records)


FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Format("ereports", ANY, _lines(ereports.text)),
        Format("edac", ANY, _lines(edac.text)),
        Format("ghes", ANY, _lines(ghes.text)),
        Format("mc-event", ANY, _lines(traces.mc_event)),
        Format("mce-record", OF_BANKS, _lines(traces.mce_record)),
        Format("mce-struct", OF_BANKS, partial(_packed, mce_struct.packed)),
        Format("mce-struct-128", OF_BANKS, partial(_packed, mce_struct.packed_long)),
        Format("mce-inject", WITHOUT_IPID, _lines(mce_inject.text)),
        Format("mcelog", WITHOUT_IPID, _lines(mcelog.text)),
        Format("xen-console", WITHOUT_IPID, _lines(xen_console.text)),
        Format("smartmem", ANY, _lines(smartmem.text, smartmem.head())),
        Format("rasdaemon", ANY, None),
    )
}


def write_database(path: Path, records: Iterable[Record], machine: Machine) -> None:
    """The one format that is no stream of bytes."""
    rasdaemon.write(path, records, machine)
