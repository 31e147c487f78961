"""Sources of records, read by bridges that die at any step: each error once, or its number missing.

One moment cannot be survived: between the device's answer, which is gone from it, and the commit.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent.adapters.sources import mcelog_device, rasdaemon_db
from agent.adapters.sources.mcelog_device import DeviceSource
from agent.adapters.sources.rasdaemon_db import DatabaseSource
from agent.adapters.spool import Spool
from agent.bridge import service, wanted
from agent.bridge.events import ErrorsLost
from agent.bridge.keeping import Keeping
from tests.support.mcelog import FakeDevice, a_record
from tests.support.memory_bus import Steps
from tests.support.mortal import Mortal
from tests.support.rasdaemon import check, event, make

STEPS = range(1, 45)


def address(page: int) -> int:
    return page << 12 | 0x040


@contextmanager
def a_device(device: FakeDevice) -> Iterator[Mortal]:
    """A bridge from `device`."""
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(mcelog_device, "POLL_SECONDS", 0.0)
        source = partial(DeviceSource, open_device=lambda _: device)
        patch.setattr(wanted, "DeviceSource", source)
        mortal = Mortal(Path(folder), patch, "mcelog-device")
        patch.setattr(Keeping, "receive", receiving(mortal))
        yield mortal


def receiving(mortal: Mortal) -> Callable[[Keeping, str, Sequence[bytes]], object]:
    """What the device has handed out is written down, whatever comes; death may come after it."""

    async def receive(keeping: Keeping, source: str, records: Sequence[bytes]) -> None:
        steps, mortal.bus.steps = mortal.bus.steps, Steps(1 << 30)
        await keeping.do(partial(Spool.receive, source=source, records=records, at_ns=7))
        mortal.bus.steps = steps
        steps.step()

    return receive


def test_a_device_loses_nothing_to_death_at_each_step_in_turn() -> None:
    for steps in STEPS:
        device = FakeDevice(a_record(1), a_record(2))
        with a_device(device) as bridge:
            bridge.live(steps)
            device.log.append(a_record(3))
            bridge.end()
            assert bridge.bus.addresses == {address(page): 1 for page in (1, 2, 3)}, steps


def test_what_had_to_make_room_is_counted_and_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source cannot wait: of what is not on its way the oldest goes, a hole in the numbers."""
    monkeypatch.setattr(service, "PARCELS_MAX", 1)
    device = FakeDevice(*map(a_record, range(1, 4)))
    with a_device(device) as bridge:
        bridge.bus.is_there = False
        bridge.live(100)
        for pages in (range(4, 7), range(7, 10)):
            device.log += map(a_record, pages)
            bridge.live(100, keep_max=4)
        bridge.bus.is_there = True
        bridge.live(200)
    assert ErrorsLost(3) in bridge.events
    assert bridge.bus.addresses == {address(page): 1 for page in (1, 2, 3, 7, 8, 9)}
    assert bridge.bus.admission.missing == 3


@contextmanager
def a_database() -> Iterator[tuple[Path, Mortal]]:
    """A bridge from a database of rasdaemon, and its path."""
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        path = Path(folder) / "ras-mc_event.db"
        make(path)
        patch.setattr(rasdaemon_db, "POLL_SECONDS", 0.0)
        mortal = Mortal(Path(folder), patch, f"rasdaemon-db:{path}")
        patch.setattr(DatabaseSource, "_look", mortal.looking(DatabaseSource._look))
        yield path, mortal


def test_a_database_loses_nothing_to_death_at_each_step_in_turn() -> None:
    """A life that waits for company reads nothing; one that need not wait reads and dies."""
    for steps in STEPS[::3]:
        with a_database() as (path, bridge):
            check(path, 1, 0)
            event(path, 1, 0)
            event(path, 2, 60)
            bridge.live(steps, settle_seconds=0)
            event(path, 3, 120)
            bridge.end()
            assert bridge.bus.addresses == {page << 12: 1 for page in (1, 2, 3)}, steps
