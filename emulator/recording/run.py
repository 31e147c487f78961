"""One recording from its choice to the file: which course, which machine, which bytes."""

import sqlite3
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel
from rich.console import Console
from rich.progress import Progress, TaskID, TextColumn, TimeElapsedColumn

from emulator import config as settings
from emulator import presets, scenario
from emulator.config import EmulatorConfig
from emulator.course import Course, course_of
from emulator.errors import EmulatorError
from emulator.hardware import ReportingSettings
from emulator.recording.formats import FORMATS, Format, write_database
from emulator.recording.record import Machine, Record
from emulator.recording.records import records
from emulator.scenario import Scenario
from emulator.toml import checked

STDOUT = "-"
_CHANNELS = 8
_DIMM_BYTES = 64 << 30
_TOLD_EVERY = 1000  # records

Watch = Callable[[Iterator[Record]], Iterator[Record]]


@dataclass(frozen=True, slots=True)
class Worn:
    """What memory of a kind does by itself: `dimms` of 64 GiB, for so long."""

    preset: str
    dimms: int
    span: str
    wear: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What the command line says."""

    file: str
    form: str
    scenario: str | None
    worn: Worn | None
    config: Path | None
    seed: int
    is_amd: bool = False
    force: bool = False


class Recorded(BaseModel):
    """What was written. Times are nanoseconds since 1970 UTC, of the first record and the last."""

    file: str
    format: str
    host: str
    dimms: int
    records: int
    errors: int
    uncorrected: int
    first_ns: int | None
    last_ns: int | None
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.records:,} records ({self.errors:,} errors, {self.uncorrected:,} uncorrected) "
            f"of {self.dimms} DIMMs as {self.format} in {self.seconds:.1f} s"
        )


@dataclass(slots=True)
class Tally:
    """What went by so far."""

    records: int = 0
    errors: int = 0
    uncorrected: int = 0
    first_ns: int | None = None
    last_ns: int | None = None

    def counting(self, found: Iterator[Record]) -> Iterator[Record]:
        for record in found:
            self.records += 1
            self.errors += max(record.count, 1)
            self.uncorrected += record.kind == "ue"
            self.first_ns = record.time_ns if self.first_ns is None else self.first_ns
            self.last_ns = record.time_ns
            yield record


def run(choice: Choice) -> Recorded:
    """Write it, and tell what was written.

    Raises:
        EmulatorError: if the choice is none, or the file cannot be written.
    """
    started = time.monotonic()
    form = _format(choice.form)
    loaded = settings.load(choice.config, {("seed",): choice.seed})
    course = _course(choice, loaded)
    form.check(course.layout)
    tally = Tally()
    machine = _machine(course, loaded.host.name)
    with _progress(tally) as watched:
        _write(choice, form, watched(_records(course)), machine)
    return Recorded(
        file=choice.file,
        format=form.name,
        host=machine.host,
        dimms=course.geometry.dimms,
        **asdict(tally),
        seconds=round(time.monotonic() - started, 3),
    )


def _format(name: str) -> Format:
    form = FORMATS.get(name)
    if form is None:
        raise EmulatorError(f"--format: there is no {name!r}; there are: {', '.join(FORMATS)}")
    return form


def _course(choice: Choice, loaded: EmulatorConfig) -> Course:
    if (choice.scenario is None) == (choice.worn is None):
        raise EmulatorError("name a --scenario or a --preset, one of them")
    if choice.worn is not None:
        course = _by_itself(choice.worn, choice.seed, is_amd=choice.is_amd)
    else:
        course = course_of(scenario.load(choice.scenario or ""), loaded, is_amd=choice.is_amd)
    course.check()
    return course


def _by_itself(worn: Worn, seed: int, *, is_amd: bool) -> Course:
    if worn.dimms > _CHANNELS and worn.dimms % _CHANNELS:
        raise EmulatorError(
            f"--dimms: a socket has {_CHANNELS}, so that more must be a multiple of it "
            f"(got {worn.dimms})"
        )
    sockets = max(worn.dimms // _CHANNELS, 1)
    kind = presets.load(worn.preset)
    geometry = replace(
        kind.host,
        memory=worn.dimms * _DIMM_BYTES,
        sockets=sockets,
        channels=worn.dimms // sockets,
    )
    return Course(_scenario(worn), geometry, seed, ReportingSettings(), is_amd=is_amd)


def _scenario(worn: Worn) -> Scenario:
    title = f"{worn.dimms} DIMMs of {worn.preset}, by themselves for {worn.span}."
    fields = {"preset": worn.preset, "span": worn.span, "wear": worn.wear}
    return checked(Scenario, {"title": title, **fields}, "command line")


def _machine(course: Course, host: str) -> Machine:
    """Its boot's id follows from what it is to go through, so that the same bytes come out."""
    boot_id = uuid5(NAMESPACE_URL, f"pagewarden:course:{course.scenario.title}:{course.seed}")
    return Machine(
        host,
        boot_id,
        course.started_ns,
        course.layout,
        course.geometry.banks_per_group,
        has_threshold=course.reporting.yellow_from is not None,
    )


def _records(course: Course) -> Iterator[Record]:
    for found in course.harvests():
        yellow_from = course.reporting.yellow_from
        yield from records(found, course.geometry, course.layout, yellow_from)


def _write(choice: Choice, form: Format, found: Iterator[Record], machine: Machine) -> None:
    path = Path(choice.file)
    if choice.file == STDOUT and form.write is None:
        raise EmulatorError(f"--format {form.name} is a database: name a file")
    if choice.file != STDOUT and path.exists() and not choice.force:
        raise EmulatorError(f"{path}: is there already; replace it with --force")
    try:
        if form.write is None:
            path.unlink(missing_ok=True)
            write_database(path, found, machine)
            return
        with _opened(choice.file) as out:
            out.writelines(form.write(found, machine))
    except BrokenPipeError:
        raise
    except (OSError, sqlite3.Error) as error:
        raise EmulatorError(f"{path}: cannot be written: {error}") from None


@contextmanager
def _opened(file: str) -> Generator[BinaryIO]:
    if file == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with Path(file).open("wb") as out:
        yield out


@contextmanager
def _progress(tally: Tally) -> Generator[Watch]:
    """How many records there are so far, on stderr, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.completed:,} records"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("records", total=None)
        yield lambda found: _watched(tally.counting(found), progress, task)


def _watched(found: Iterator[Record], progress: Progress, task: TaskID) -> Iterator[Record]:
    for number, each in enumerate(found, 1):
        if number % _TOLD_EVERY == 0:
            progress.update(task, completed=number)
        yield each
