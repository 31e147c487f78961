"""Every error once: what is told of it, in full or in poor words, goes in, and the error comes out.

What is told in full comes out at once, unless it was told before, and takes with it what was held
and is explained by it. What is told in poor words is held. It comes out when nothing has explained
it in time, unless another form has told of it by then.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from agent.telemetry.company import Company, Place
from agent.telemetry.held import Held, Waiting, Whole
from agent.telemetry.prefixes import Stamped
from agent.telemetry.record import Decoded, Outcome, Refused


@dataclass(slots=True)
class Once:
    """What was told, and what is held, between two lines."""

    _company: Company = field(default_factory=Company)
    _waiting: Waiting = field(default_factory=Waiting)

    def hold(self, held: Held) -> None:
        self._waiting.add(held)

    def goes_on(self, key: str | None, text: str) -> bool:
        """Add `text` to the newest held that has this key; false if that is over."""
        return self._waiting.goes_on(key, text)

    def poor(self, form: str, said: Stamped, outcomes: Iterable[Outcome]) -> Iterator[Refused]:
        """Told by one that knows no DIMM. What is refused is told, whoever else may know of it."""
        for outcome in outcomes:
            if isinstance(outcome, Refused):
                yield outcome
                continue
            held = Whole(outcome.line, said, form, outcome)
            if self._is_company(held):
                self._tell(form, {held.place}, _times(held))
            else:
                self._waiting.add(held)

    def explained(self, form: str, means: Callable[[int], bool] | None) -> list[Held]:
        """What an error that is told in full in this form explains, of what is held."""
        return self._waiting.explained(means, form)

    def is_told(self, form: str, place: Place, times: Iterable[int]) -> bool:
        """True if the error that `form` is about to tell of was told already."""
        return self._company.knows(form, place, times)

    def owed(self, now_ns: int | None) -> Mapping[Place, Mapping[str, int]]:
        """How many errors each form still has to tell that another has told."""
        return self._company.owed(now_ns)

    def full(
        self, form: str, said: Stamped, record: Outcome, explained: list[Held]
    ) -> Iterator[Outcome]:
        """Told in full. What it explains has nothing more to say."""
        if isinstance(record, Refused):
            yield record
            return
        times = frozenset({record.time_ns, said.time_ns or record.time_ns})
        is_new = not self.is_told(form, record.address, times)
        for held in explained:
            self._waiting.remove(held)
            self._tell(held.form, {record.address, held.place}, times | _times(held))
        self._tell(form, {record.address, *(held.place for held in explained)}, times)
        if is_new:
            yield record

    def event(self, form: str, said: Stamped, record: Outcome) -> Iterator[Outcome]:
        """Told in full, with its whole address, by an mc_event."""
        explained: list[Held] = []
        if isinstance(record, Decoded):
            means = None if record.address is None else record.address.__eq__
            explained = self.explained(form, means)
            record = replace(record, time_ns=time_ns_of(explained) or record.time_ns)
        yield from self.full(form, said, record, explained)

    def overdue(self, line: int, now_ns: int | None) -> Iterator[Outcome]:
        """What speaks for itself now, because nothing has explained it in time."""
        for held in self._waiting.overdue(line, now_ns):
            yield from self._alone(held)

    def rest(self) -> Iterator[Outcome]:
        """What is still held: nothing will explain it."""
        for held in self._waiting:
            yield from self._alone(held)

    def _alone(self, held: Held) -> Iterator[Outcome]:
        self._waiting.remove(held)
        outcome = held.outcome()
        if isinstance(outcome, Refused):
            yield outcome
            return
        is_new = not self._is_company(held)
        self._tell(held.form, {held.place}, _times(held))
        if is_new:
            yield outcome

    def _is_company(self, held: Held) -> bool:
        return self.is_told(held.form, held.place, _times(held))

    def _tell(self, form: str, places: Iterable[Place], times: frozenset[int]) -> None:
        for place in places:
            self._company.told(form, place, times)


def time_ns_of(explained: Iterable[Held]) -> int | None:
    """When the error happened, if one of those that are explained knows."""
    return next((held.time_ns for held in explained if held.time_ns), None)


def _times(held: Held) -> frozenset[int]:
    """When it happened, and when the log says that it was told."""
    return frozenset(time for time in (held.time_ns, held.said.time_ns) if time is not None)
