"""`--from rasdaemon-db`: the rows that rasdaemon adds to its database.

rasdaemon tells of one error in two tables, a row in each, and decoders match them. So new rows are
read together, when none has come for a while, and their ereports are one piece: its place is the
last id of each table. Where too many have come to wait for that (or were there before), or the
first of them has waited too long, they are read up to a pause in the later half of them: the
longest across which no error is told. Rows say whole seconds, so in a storm all pauses are alike,
and some lie within an error: the two parts must say what they say as one.

The database is rasdaemon's: it is only read, a page at a time. Where a table was made anew or
emptied, ids begin anew; that shows by the row at our place, which is another one then, or gone with
all behind it. The other tables are gone on with: their rows would count twice.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise, product, takewhile
from pathlib import Path

from pydantic import Field, ValidationError

from agent.adapters import database
from agent.adapters.sources.port import POLL_SECONDS, Piece, Tell
from agent.adapters.sources.reader import Row
from agent.contract.ereport import Wire
from agent.contract.errors import AgentError
from agent.telemetry import rasdaemon
from agent.telemetry.instant import instant_ns
from agent.telemetry.prefixes import Unsaid
from agent.telemetry.rasdaemon import CHECKS, EVENTS, MAGIC, Cell
from agent.telemetry.record import Decoded

DATABASE = Path("/var/lib/rasdaemon/ras-mc_event.db")
ROWS_MAX = 2000  # of a table, in one piece
PAUSES_MAX = 3  # looked at for a cut, each of which reads these rows once more
AHEAD_MAX = 2  # rows that one table may be ahead of the other at a cut
WAITS_MAX = 5  # so many times as long as none is to come: then a row has waited too long
TABLES = (EVENTS, CHECKS, "extlog_event")


class TablePlace(Wire):
    """Behind which row a table was read, and when that one says that it was written."""

    id: int = Field(default=0, ge=0)
    timestamp: str = ""


_Rows = Mapping[str, Sequence[TablePlace]]  # of each table the next ones, as places behind them


class DatabasePlace(Wire):
    """A place in each table that was read, as it is written down."""

    tables: Mapping[str, TablePlace] = {}

    @classmethod
    def parse(cls, text: str) -> "DatabasePlace":
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return cls()

    def of(self, table: str) -> TablePlace:
        return self.tables.get(table, TablePlace())

    def __str__(self) -> str:
        return self.model_dump_json()


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of some tables between two places, as a decoder asks for them."""

    path: Path
    after: DatabasePlace
    upto: DatabasePlace
    head: bytes = field(default=MAGIC)

    def chunks(self) -> Iterator[bytes]:
        return iter(())

    def columns(self, table: str) -> Sequence[str]:
        return database.columns(self.path, table)

    def rows(self, table: str, names: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
        at, last = tuple(names).index("id"), self.upto.of(table).id
        found = database.rows(self.path, table, names, self.after.of(table).id)

        def is_in(row: tuple[Cell, ...]) -> bool:
            number = row[at]
            return isinstance(number, int) and number <= last

        return takewhile(is_in, found)


class DatabaseSource:
    """Rows of the database at `path`."""

    forgets = False

    def __init__(
        self, path: Path, tell: Tell, unsaid: Callable[[], Unsaid], settle_seconds: float
    ) -> None:
        self.name = f"rasdaemon-db:{path.absolute()}"
        self._path = path
        self._tell = tell
        self._told = ""
        self._unsaid = unsaid
        self._settle_seconds = settle_seconds
        self._after = self._seen = DatabasePlace()
        self._seen_at = self._done_at = time.monotonic()  # of new rows; with all or some of them

    async def begin(self, mark: str | None) -> bool:
        self._after = self._seen = DatabasePlace.parse(mark or "{}")
        return True

    async def close(self) -> None:
        """Nothing is held between two looks."""

    async def pieces(self) -> AsyncGenerator[Piece[Row], None]:
        while True:
            piece = await asyncio.to_thread(self._look)
            yield piece
            if not piece.items:
                await asyncio.sleep(POLL_SECONDS)

    def _look(self) -> Piece[Row]:
        try:
            return self._read()
        except AgentError as error:
            if str(error) != self._told:
                self._tell(f"{self._path}: {error}; trying again")
            self._told = str(error)
            return Piece(ends=not self._path.exists())

    def _read(self) -> Piece[Row]:
        self._see_whether_it_is_the_same()
        new = {table: self._new(table) for table in TABLES}
        last = _behind(self._after, new)
        now = time.monotonic()
        if last == self._after:
            self._done_at = now
            return Piece(ends=True)
        if last != self._seen:
            self._seen, self._seen_at = last, now
        is_much = any(len(rows) == ROWS_MAX for rows in new.values())
        if not is_much and now - self._seen_at >= self._settle_seconds:
            return self._decoded(last)
        if is_much or now - self._done_at >= WAITS_MAX * self._settle_seconds:
            return self._decoded(self._cut(new, last))
        return Piece()

    def _cut(self, new: _Rows, last: DatabasePlace) -> DatabasePlace:
        """A place within no error; that of the best pause, if there is none."""
        cuts = [_behind(self._after, rows) for rows in _cuts(new, self._time_ns)]
        whole = self._said(self._after, last)
        for cut in cuts:
            if self._said(self._after, cut) + self._said(cut, last) == whole:
                return cut
        return cuts[0]

    def _said(self, after: DatabasePlace, upto: DatabasePlace) -> Counter[Decoded]:
        """The errors that the rows between two places report, if nothing else is known."""
        outcomes = rasdaemon.decode(_Part(self._path, after, upto), self._unsaid())
        return Counter(said for said in outcomes if isinstance(said, Decoded))

    def _new(self, table: str) -> list[TablePlace]:
        """The next rows of a table, each as the place behind it."""
        if not {"id", "timestamp"} <= set(database.columns(self._path, table)):
            return []
        after = self._after.of(table).id
        rows = database.rows(self._path, table, ("id", "timestamp"), after)
        return [
            TablePlace(id=number, timestamp=str(written))
            for number, written in islice(rows, ROWS_MAX)
            if isinstance(number, int)
        ]

    def _decoded(self, upto: DatabasePlace) -> Piece[Row]:
        part = _Part(self._path, self._after, upto)
        outcomes = list(rasdaemon.decode(part, self._unsaid()))
        self._after, self._done_at, self._told = upto, time.monotonic(), ""
        rows = [Row(outcome, upto, outcome.line) for outcome in outcomes]
        return Piece(rows) if rows else Piece(begins=upto)

    def _time_ns(self, row: TablePlace) -> int:
        return instant_ns(row.timestamp, self._unsaid()) or 0

    def _see_whether_it_is_the_same(self) -> None:
        there = {
            table: place
            for table, place in self._after.tables.items()
            if self._is_there(table, place)
        }
        if there != self._after.tables:
            anew = ", ".join(sorted(self._after.tables.keys() - there))
            self._tell(f"{self._path}: {anew} made anew or emptied: read from the start")
            self._after = self._seen = DatabasePlace(tables=there)

    def _is_there(self, table: str, place: TablePlace) -> bool:
        """True if the row at `place` is the one that was read, or rows behind it are there."""
        if not place.id or "timestamp" not in database.columns(self._path, table):
            return True
        rows = database.rows(self._path, table, ("id", "timestamp"), place.id - 1)
        number, written = next(rows, (0, ""))
        return number != 0 and (number != place.id or str(written) == place.timestamp)


def _behind(after: DatabasePlace, new: _Rows) -> DatabasePlace:
    """The place behind `after` and all of the `new` rows."""
    last = {table: rows[-1] for table, rows in new.items() if rows}
    return DatabasePlace(tables={**after.tables, **last})


def _cuts(new: _Rows, time_ns: Callable[[TablePlace], int]) -> Iterator[_Rows]:
    """The rows before a pause, the best first; then with a few more of one of the tables.

    Where a pause lies within an error, its other row is the next one of the other table.
    """
    whole = [_before(new, last_ns, time_ns) for last_ns in _pauses(new, time_ns)]
    yield from whole
    for rows, ahead in product(whole, range(1, AHEAD_MAX + 1)):
        for table, some in rows.items():
            yield {**rows, table: new[table][: len(some) + ahead]}


def _before(new: _Rows, last_ns: int, time_ns: Callable[[TablePlace], int]) -> _Rows:
    cut = {
        table: list(takewhile(lambda row: time_ns(row) <= last_ns, rows))
        for table, rows in new.items()
    }
    return cut if any(cut.values()) else new


def _pauses(new: _Rows, time_ns: Callable[[TablePlace], int]) -> list[int]:
    """When pauses begin, in the later half of what is known of every table.

    The longest come first, of such as are alike the earliest: more is known of what is near it.
    """
    all_ns = {time_ns(row) for rows in new.values() for row in rows}
    full = (time_ns(rows[-1]) for rows in new.values() if len(rows) == ROWS_MAX)
    horizon_ns = min(full, default=max(all_ns))
    known = sorted(at for at in all_ns if at <= horizon_ns)
    pauses = sorted((at - behind, at) for at, behind in pairwise(known[len(known) // 2 :]))
    return [at for _, at in pauses[:PAUSES_MAX]] or [horizon_ns]
