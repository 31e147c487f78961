"""One error told in several forms counts once: who has told how many errors at each place.

One log may tell of an error in a machine-check block, in an EDAC line, in a tracepoint's line and
in what a daemon made of it. Each form tells of each error once. So the n-th telling of a form at a
place is the n-th error there, and it is company, no new error, if another form has told n before:

    EDAC line     A     A         the form that tells most has told them all: two errors at A.
    mc_event line   A     A       Each of its lines is company of an EDAC line.

Tellings that are far apart are not about the same error: once a place was quiet for a while, it is
forgotten. Places are addresses; None is the place of all errors whose address is not known.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

PLACES_MAX = 1024  # remembered at once; the quietest is forgotten first
QUIET_NS = 5_000_000_000

Place = int | None


@dataclass(slots=True)
class _Told:
    """How often each form told of one place, and when it was told of last, on every clock."""

    times: frozenset[int]
    by_form: dict[str, int] = field(default_factory=dict[str, int])

    def is_near(self, times: Iterable[int]) -> bool:
        return any(abs(mine - theirs) <= QUIET_NS for mine in self.times for theirs in times)

    def owes(self, form: str) -> bool:
        """True if another form has told of more errors than `form` has."""
        return max(self.by_form.values(), default=0) > self.by_form.get(form, 0)

    def owed(self) -> Mapping[str, int]:
        """By each form that has told of fewer errors than another has: how many fewer."""
        most = max(self.by_form.values(), default=0)
        return {form: most - told for form, told in self.by_form.items() if told < most}


@dataclass(slots=True)
class Company:
    """Everything that was told lately."""

    _told: dict[Place, _Told] = field(default_factory=dict[Place, _Told])

    def knows(self, form: str, place: Place, times: Iterable[int]) -> bool:
        """True if the error that `form` is about to tell of was told already."""
        told = self._told.get(place)
        return told is not None and told.owes(form) and told.is_near(times)

    def owed(self, now_ns: int | None) -> Mapping[Place, Mapping[str, int]]:
        """How many errors less than another each form told, where that may change its next one.

        Without a time, now is when something was told last.
        """
        last = next(reversed(self._told.values())).times if self._told else ()
        now = last if now_ns is None else (now_ns,)
        near = ((place, told.owed()) for place, told in self._told.items() if told.is_near(now))
        return {place: owed for place, owed in near if owed}

    def told(self, form: str, place: Place, times: frozenset[int]) -> None:
        """Remember that `form` told of an error at `place`."""
        told = self._told.pop(place, None)
        if told is None or not told.is_near(times):
            told = _Told(times)
        told.times = times
        told.by_form[form] = told.by_form.get(form, 0) + 1
        self._told[place] = told
        if len(self._told) > PLACES_MAX:
            del self._told[next(iter(self._told))]
