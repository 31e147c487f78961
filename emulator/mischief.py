"""What goes wrong with the calls to the host, because somebody asked for it.

A rule names a call and what happens to it. A call takes the rules in the order in which they were
made; each that names it and has still to `skip` lets it by, and the first that has not is what
happens. A rule is gone once it has happened `times` times.

                  the act is done   the caller hears
    refuse              no          "refused", as that door says it; so fail, try_again, damage
    hang                no          nothing, as long as it waits
    lose_answer         yes         the connection close
    slow                yes         the answer, after so many `seconds` more
    late                yes         nothing; it is done so many `seconds` after the caller gave up
    half_way            begun       that it failed in the middle
    fast_path           yes         the answer; but the guest went on by the fast path
    crash_domain        –           what there is to say of a domain that has just died
    change_owner        yes         an answer that names an owner who has the page no more
    crash_host          no          the connection close; so reboot_host

Who hangs up on a `slow` call has called it off. No real toolstack promises that: hence `late`.

Pure: the rules and their counting are here, what happens is done at the doors.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from emulator.toml import Settings

RULES_MAX = 64
SECONDS_MAX = 3600.0


class Name(StrEnum):
    """The calls, as rules name them. `ANY` is every one of them."""

    ANY = "*"
    OFFLINE = "offline"
    QUERY = "query"
    ONLINE = "online"
    SWAP = "swap"
    SYSCTL = "sysctl"
    SUSPEND = "suspend"
    EXCHANGE = "exchange"
    RESUME = "resume"
    SAVE = "save"
    RESTORE = "restore"
    MIGRATE = "migrate"
    DETACH = "detach"
    ATTACH = "attach"
    DROP_SHADOWS = "drop_shadows"
    BALLOON = "balloon"
    CREATE = "create"
    DESTROY = "destroy"
    REBOOT = "reboot"


class Do(StrEnum):
    """What happens to a call."""

    REFUSE = "refuse"
    FAIL = "fail"
    TRY_AGAIN = "try_again"
    DAMAGE = "damage"
    HANG = "hang"
    LOSE_ANSWER = "lose_answer"
    SLOW = "slow"
    LATE = "late"
    HALF_WAY = "half_way"
    FAST_PATH = "fast_path"
    CRASH_DOMAIN = "crash_domain"
    CRASH_HOST = "crash_host"
    REBOOT_HOST = "reboot_host"
    CHANGE_OWNER = "change_owner"


CALLS = frozenset(Name) - {Name.ANY}
ABOUT_PAGES = frozenset({Name.OFFLINE, Name.QUERY, Name.ONLINE, Name.SWAP, Name.SYSCTL})
ABOUT_GUESTS = CALLS - ABOUT_PAGES

TIMED = frozenset({Do.SLOW, Do.LATE})

# Where a thing can happen, if not everywhere.
WHERE: dict[Do, frozenset[Name]] = {
    Do.DAMAGE: ABOUT_GUESTS,
    Do.HALF_WAY: frozenset({Name.EXCHANGE, Name.SAVE, Name.RESTORE, Name.MIGRATE}),
    Do.FAST_PATH: frozenset({Name.RESUME}),
    Do.CRASH_DOMAIN: CALLS - {Name.RESTORE, Name.CREATE},
    Do.CHANGE_OWNER: frozenset({Name.OFFLINE, Name.QUERY, Name.SYSCTL}),
}


class Rule(Settings):
    """`do` happens to `call`, so many `times`, after it was let by `skip` times."""

    call: Name
    do: Do
    times: Annotated[int, Field(ge=1)] | Literal["unlimited"] = 1
    skip: Annotated[int, Field(ge=0)] = 0
    seconds: Annotated[float, Field(gt=0, le=SECONDS_MAX)] | None = None

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        if not self.calls:
            there = ", ".join(sorted(WHERE[self.do]))
            raise ValueError(f"{self.do} cannot happen to {self.call}; it can to: {there}")
        if (self.do in TIMED) != (self.seconds is not None):
            raise ValueError("seconds belongs to `slow` and `late`, and they need it")
        return self

    @property
    def calls(self) -> frozenset[Name]:
        """The calls that it can happen to."""
        named = CALLS if self.call is Name.ANY else frozenset({self.call})
        return named & WHERE.get(self.do, CALLS)


@dataclass(slots=True)
class Armed:
    """A rule, by its number, and what is left of it."""

    number: int
    rule: Rule
    met: int = 0  # calls that it was asked about

    @property
    def happened(self) -> int:
        return max(self.met - self.rule.skip, 0)

    @property
    def is_spent(self) -> bool:
        return self.rule.times != "unlimited" and self.happened >= self.rule.times

    def meet(self) -> bool:
        """True if this call is one that it happens to."""
        self.met += 1
        return self.happened > 0


@dataclass(slots=True)
class Mischief:
    """The rules of one world, at most `RULES_MAX`. No number is given twice."""

    _armed: dict[int, Armed] = field(default_factory=dict[int, Armed])
    _made: int = 0

    def __iter__(self) -> Iterator[Armed]:
        return iter(self._armed.values())

    def add(self, rule: Rule) -> int:
        """The number of the new rule.

        Raises:
            ValueError: if there are `RULES_MAX` already.
        """
        if len(self._armed) >= RULES_MAX:
            raise ValueError(f"{RULES_MAX} rules are armed already; clear some first")
        self._made += 1
        self._armed[self._made] = Armed(self._made, rule)
        return self._made

    def clear(self, number: int | None = None) -> None:
        """Disarm one rule, or all of them. One that is gone already is no mistake."""
        gone = list(self._armed) if number is None else [number]
        for each in gone:
            self._armed.pop(each, None)

    def meet(self, call: Name) -> Rule | None:
        """What happens to this call, if anything. Counts the call, so ask once."""
        for armed in list(self):
            if call in armed.rule.calls and armed.meet():
                if armed.is_spent:
                    del self._armed[armed.number]
                return armed.rule
        return None
