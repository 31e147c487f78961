"""Who reads a bank, and when: what a count of errors goes through before anybody hears of it.

    each            every error is read at once: a host that has nothing else to do
    cmci            the bank raises an interrupt when its count has reached the threshold; too many
                    within a second are a storm: the interrupt is switched off and the bank polled,
                    until it has been quiet for long enough. So Linux does it
    poll            the bank is read at fixed times, as by Xen without CMCI
    firmware-first  the firmware reads it, on every `threshold`-th error, and tells by GHES what it
                    found: an address and no count, and no machine-check record

    CMCI ──── `storm_cmcis` within a second ────► polled each `storm_poll_ns`
      ▲                                               │
      └──── a poll `calm_ns` after the last error ────┘

So counts arrive in lumps, and an address is lost (OVER) where errors at two places fall between two
readings. `Reporter` is one bank, error by error; `harvests.py` does the same to columns.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from emulator.machine.banks import COUNT_MAX, Bank, Registers, Uncorrected

SECOND_NS = 10**9


class How(StrEnum):
    """Who reads the banks."""

    EACH = "each"
    CMCI = "cmci"
    POLL = "poll"
    FIRMWARE_FIRST = "firmware-first"


@dataclass(frozen=True, slots=True)
class Reporting:
    """One host's way. Polls fall on whole multiples of their period.

    Banks with a threshold of their own are yellow from `yellow_from` errors on, and green below.
    """

    how: How = How.EACH
    threshold: int = 1
    poll_ns: int = 8 * SECOND_NS  # Xen's poller, when it starts
    storm_cmcis: int = 15  # Linux before 6.8, and so the calm
    storm_poll_ns: int = SECOND_NS
    calm_ns: int = 30 * SECOND_NS
    yellow_from: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.threshold <= COUNT_MAX:
            raise ValueError(f"threshold must be 1 to {COUNT_MAX} (got {self.threshold})")
        if self.storm_cmcis < 2:
            raise ValueError(f"storm_cmcis must be at least 2 (got {self.storm_cmcis})")
        if min(self.poll_ns, self.storm_poll_ns, self.calm_ns) < 1:
            raise ValueError("poll_ns, storm_poll_ns and calm_ns must be above 0")

    def is_calm_at(self, now_ns: int, last_ns: int) -> bool:
        """True if some poll up to `now_ns` found that long enough nothing had happened."""
        poll_ns = self.storm_poll_ns
        return -(-(last_ns + self.calm_ns) // poll_ns) * poll_ns <= now_ns


@dataclass(frozen=True, slots=True)
class Harvest:
    """What was read from a bank, and when."""

    time_ns: int
    registers: Registers


class Reporter:
    """One bank and its reader. Times never go back."""

    def __init__(self, reporting: Reporting, channel: int) -> None:
        self._reporting = reporting
        self._channel = channel
        self._bank = Bank(reporting.yellow_from)
        self._is_storm = False
        self._poll_at: int | None = None
        self._last_ns: int | None = None
        self._cmcis: deque[int] = deque(maxlen=reporting.storm_cmcis)

    @property
    def is_to_be_read(self) -> bool:
        """True if a poll is to come that will find something."""
        return self._poll_at is not None

    def log(
        self, address: int, time_ns: int, errors: int = 1, *, is_scrub: bool = False
    ) -> Iterator[Harvest]:
        """Corrected errors at `time_ns`; what was read until then and because of them."""
        yield from self.read(time_ns)
        self._heed_calm(time_ns)
        while errors > 0:
            part = min(errors, self._room)
            self._bank.log(address, self._channel, part, is_scrub=is_scrub)
            errors -= part
            self._last_ns = time_ns
            yield from self._noticed(time_ns)

    def log_uncorrected(
        self, address: int, time_ns: int, severity: Uncorrected = Uncorrected.SRAO
    ) -> Iterator[Harvest]:
        """An uncorrected error is read at once, by the #MC handler, whatever the way."""
        yield from self.read(time_ns)
        self._heed_calm(time_ns)
        self._bank.log_uncorrected(address, self._channel, severity)
        yield from self._harvested(time_ns)

    def read(self, now_ns: int) -> Iterator[Harvest]:
        """What a poll that fell due by `now_ns` found."""
        if self._poll_at is not None and self._poll_at <= now_ns:
            yield from self._harvested(self._poll_at)

    @property
    def _is_polled(self) -> bool:
        return self._is_storm or self._reporting.how is How.POLL

    @property
    def _room(self) -> int:
        """How many errors at once go by before anybody looks."""
        if self._is_polled or self._reporting.how is How.EACH:
            return COUNT_MAX
        return self._reporting.threshold - self._bank.count

    def _heed_calm(self, now_ns: int) -> None:
        last_ns = self._last_ns
        if self._is_storm and last_ns is not None and self._reporting.is_calm_at(now_ns, last_ns):
            self._is_storm = False
            self._cmcis.clear()

    def _noticed(self, now_ns: int) -> Iterator[Harvest]:
        if self._is_polled:
            poll_ns = self._storm_or_poll_ns
            self._poll_at = (now_ns // poll_ns + 1) * poll_ns
        elif self._reporting.how is How.EACH or self._bank.count >= self._reporting.threshold:
            yield from self._harvested(now_ns)
            if self._reporting.how is How.CMCI:
                self._interrupted(now_ns)

    @property
    def _storm_or_poll_ns(self) -> int:
        return self._reporting.storm_poll_ns if self._is_storm else self._reporting.poll_ns

    def _interrupted(self, now_ns: int) -> None:
        self._cmcis.append(now_ns)
        is_full = len(self._cmcis) == self._reporting.storm_cmcis
        self._is_storm = is_full and now_ns - self._cmcis[0] < SECOND_NS

    def _harvested(self, time_ns: int) -> Iterator[Harvest]:
        self._poll_at = None
        registers = self._bank.harvest()
        if registers is not None:
            yield Harvest(time_ns, registers)
