"""What a log told of an error in poor words, held back because a full line may explain it.

    EDAC skx MC0: HANDLING MCE MEMORY ERROR      ← held
    EDAC skx MC0: ADDR 0x30aa905a80              ← adds to it
    EDAC MC0: 1 CE memory read error on …        ← explains it: one error, told twice

Writers tell of an error in poor words right before they do so in full. So a full line explains what
its own writer said before: of each form the oldest that is held and has its address, or, where
addresses cannot be compared, the oldest. Of what others said `company` keeps count. At most
`HELD_MAX` are held, and none for longer than errors are remembered.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from agent.telemetry import ghes, mc_event, mce_block
from agent.telemetry.company import QUIET_NS
from agent.telemetry.ghes import Section
from agent.telemetry.mce_block import Block
from agent.telemetry.prefixes import Stamped
from agent.telemetry.record import Decoded

HELD_MAX = 64
LINES_HELD_MAX = 1000

EDAC_LINE = "an EDAC line"
TRACED = "an mce_record line"
LOGGED = "an mce_record line of rasdaemon"

# Whom a full line explains: its neighbours, written right ahead of it by the same writer.
_NEIGHBOURS: dict[str, frozenset[str]] = {
    EDAC_LINE: frozenset({mce_block.ANNOUNCED, mce_block.AMDS, ghes.FORM}),
    mc_event.FORM: frozenset({TRACED}),
    mc_event.LOGGED: frozenset({LOGGED}),
}


@dataclass(frozen=True, slots=True)
class Whole:
    """An error that one decoder has read completely, but that knows no DIMM."""

    line: int
    said: Stamped
    form: str
    record: Decoded

    @property
    def key(self) -> None:
        """No other line adds to it."""

    @property
    def place(self) -> int | None:
        return self.record.address

    @property
    def time_ns(self) -> int | None:
        return self.record.time_ns

    @property
    def is_of_memory(self) -> bool:
        return True

    @property
    def is_over(self) -> bool:
        return True

    def continued(self, _text: str) -> "Whole":
        return self

    def outcome(self) -> Decoded:
        return self.record


Held = Block | Section | Whole


@dataclass(slots=True)
class Waiting:
    """Everything that is held, the oldest first."""

    _held: list[Held] = field(default_factory=list[Held])

    def __iter__(self) -> Iterator[Held]:
        return iter(tuple(self._held))

    def add(self, held: Held) -> None:
        self._held.append(held)

    def remove(self, held: Held) -> None:
        self._held.remove(held)

    def goes_on(self, key: str | None, text: str) -> bool:
        """Add `text` to the newest that has this key, unless that is over; false if it is."""
        for at in range(len(self._held) - 1, -1, -1):
            held = self._held[at]
            if key is not None and held.key == key:
                self._held[at] = held if held.is_over else held.continued(text)
                return not held.is_over
        return False

    def overdue(self, line: int, now_ns: int | None) -> list[Held]:
        """Those that are held no longer at this line, which says that it is `now_ns`."""
        too_many = len(self._held) - HELD_MAX
        late = enumerate(self._held)
        kept = (at for at, held in late if at >= too_many and not _is_overdue(held, line, now_ns))
        return self._held[: next(kept, None)]

    def explained(self, means: Callable[[int], bool] | None, form: str) -> list[Held]:
        """Those that a full line of this form explains; `means` tells its address, if known."""
        found: dict[str, Held] = {}
        neighbours = [held for held in self._held if held.form in _NEIGHBOURS[form]]
        for held in neighbours:
            if means and held.place is not None and means(held.place):
                found.setdefault(held.form, held)
        for held in neighbours:
            if (means is None or held.place is None) and held.is_of_memory:
                found.setdefault(held.form, held)
        return list(found.values())


def _is_overdue(held: Held, line: int, now_ns: int | None) -> bool:
    if line - held.line > LINES_HELD_MAX:
        return True
    stamp_ns = held.said.time_ns
    return stamp_ns is not None and now_ns is not None and now_ns - stamp_ns > QUIET_NS
