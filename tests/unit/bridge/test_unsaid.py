"""What a host's own log leaves unsaid, and the bridge says for it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.adapters.sources.reader import LogReader
from agent.adapters.spool import Place
from agent.bridge.keeping import open_keeping
from agent.bridge.wanted import Making
from agent.telemetry.record import Decoded
from agent.telemetry.window import Line
from tests.support.books import HOST
from tests.support.bridging import BEGAN, UNSAID, a_host
from tests.support.logs import EDAC


class Calendar:
    """A clock that goes on by some days before each line."""

    def __init__(self, days: int = 0) -> None:
        self._now = datetime(2026, 3, 5, tzinfo=UTC)
        self._days = timedelta(days=days)

    def __call__(self) -> int:
        return int(self._now.timestamp()) * 10**9

    def go_on(self) -> None:
        self._now += self._days


async def times(folder: Path, calendar: Calendar, *lines: str) -> list[datetime]:
    """When the errors in `lines` happened, each read by itself."""
    host = a_host(folder / "root")
    boot = host.boot()
    inventory = host.inventory(HOST, boot.id)
    async with open_keeping(folder / "state", boot, inventory, calendar) as keeping:
        making = Making(keeping, print, UNSAID, follows=True, settle_seconds=1)
        reader = LogReader(Place(), making.unsaid_now)
        found = []
        for line in lines:
            calendar.go_on()
            found += [*reader.feed([Line(f"{line}\n".encode(), mark="m")]), *reader.conclude()]
        outcomes = [each.outcome for each in found]
    return [
        datetime.fromtimestamp(outcome.time_ns // 10**9, UTC)
        for outcome in outcomes
        if isinstance(outcome, Decoded)
    ]


async def test_seconds_since_boot_are_of_this_boot(tmp_path: Path) -> None:
    (time,) = await times(tmp_path, Calendar(), f"[   90.000000] {EDAC}")
    assert (time - BEGAN).total_seconds() == 90


async def test_a_date_without_a_year_is_not_in_the_future(tmp_path: Path) -> None:
    lines = (f"Mar  4 10:00:00 hv-1 kernel: {EDAC}", f"Dec 31 10:00:00 hv-1 kernel: {EDAC}")
    assert [time.year for time in await times(tmp_path, Calendar(), *lines)] == [2026, 2025]


async def test_a_bridge_that_lives_long_knows_what_year_it_is(tmp_path: Path) -> None:
    lines = [f"Mar  4 10:00:00 hv-1 kernel: {EDAC}"] * 2
    assert [time.year for time in await times(tmp_path, Calendar(365), *lines)] == [2027, 2028]
