"""Every number that an alert compares with and a panel draws, with its reason."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """Beyond `warn` a panel is amber and an alert fires, from `page` on it is red; a floor is bad
    below.
    """

    warn: float
    why: str
    page: float | None = None
    is_floor: bool = False


# Where one is too many. Not 0, which a panel that has nothing to show would reach.
ANY = Limit(0.001, "one is too many")
ANY_NOW = Limit(0.001, "one is too many, at any hour", page=0.001)

# The agent
HEALTHY = Limit(1, "1 is well, and there is nothing in between", is_floor=True)
RESTARTS = Limit(3, "more than three starts in half an hour are no upgrade")
LOOP_LAG_SECONDS = Limit(0.25, "the longest pause that is promised to guests: a call waits so long")
COMMIT_SECONDS = Limit(1.0, "a healthy disk syncs within 50 ms; 20 times that is a disk in trouble")
COMMITS_MIN = Limit(10, "a quantile of fewer than ten says nothing")

# Intake
DELAY_SECONDS = Limit(30, "ten times the patience of a source that sends again")
REFUSED_MESSAGES = Limit(5, "one bad message is an accident, more are a sender to be mended")

# The memory
ERRORS_PER_DAY = Limit(100, "twice what rasdaemon allows a page: of no healthy DIMM")
ERRORS_LATELY = Limit(3, "and it must go on: a burst that is over is no reason to get up")
DIMM_RATIO = Limit(0.8, "time to order another DIMM", page=1.0)
RETIRED_RATIO = Limit(0.8, "the rest is soon gone if it goes on like that", page=1.0)

# Retirement
CASE_SECONDS = Limit(900, "a guest's save and restore takes minutes, nothing takes a quarter hour")
PARKED_SECONDS = Limit(86_400, "a guest that is never rebooted may keep a page for ever")
FAILED_CALLS = Limit(3, "one may be chance, and is tried again; four are not")

# Guests
PAUSE_SECONDS = Limit(0.25, "shorter than the stop of a live migration: clients do not notice it")
PAUSES_MIN = Limit(10, "a quantile of fewer than ten says nothing")
PAUSED_SECONDS_PER_HOUR = Limit(
    3, "12 stops an hour by exchange come to about a second; three are something else"
)
PAUSED_SECONDS_LATELY = Limit(0.5, "and it must go on")
