"""A device that forgets what it hands out: nothing of it is lost on the way, whenever we stop."""

import errno
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.adapters.sources import mcelog_device
from agent.adapters.sources.mcelog_device import CharacterDevice, DeviceSource
from agent.adapters.spool import Received
from agent.contract.errors import AgentError
from agent.telemetry.record import Decoded, Refused
from tests.support.logs import UNSAID
from tests.support.mcelog import FakeDevice, a_record

XENS = a_record()
READ_NS = 1_700_000_000 * 10**9


class FakeInbox:
    """Keeps everything; `is_broken`: nothing can be written down."""

    def __init__(self) -> None:
        self.kept: list[Received] = []

    async def receive(self, _source: str, records: Sequence[bytes]) -> None:
        for record in records:
            self.kept.append(Received(len(self.kept) + 1, READ_NS, record))

    async def received(self, after: int, limit: int) -> list[Received]:
        return [each for each in self.kept if each.id > after][:limit]


class Reading:
    """A source over a fake device."""

    def __init__(self, device: FakeDevice, inbox: FakeInbox | None = None) -> None:
        self.told: list[str] = []
        self.inbox = inbox or FakeInbox()
        self.source = DeviceSource(
            Path("/dev/mcelog"), self.inbox, self.told.append, lambda: UNSAID, lambda _: device
        )

    async def outcomes(self, mark: str | None = None) -> list[object]:
        """All that is there."""
        await self.source.begin(mark)
        found: list[object] = []
        async for piece in self.source.pieces():
            found += [row.outcome for row in piece.items]
            if piece.ends:
                break
        return found


async def test_a_record_is_an_error() -> None:
    (outcome,) = await Reading(FakeDevice(XENS)).outcomes()
    assert isinstance(outcome, Decoded)
    assert (outcome.kind, outcome.count, outcome.address) == ("ce", 0, 0x45678040)


async def test_a_record_without_a_time_has_that_at_which_it_was_read() -> None:
    """Xen gives none."""
    (outcome,) = await Reading(FakeDevice(XENS)).outcomes()
    assert isinstance(outcome, Decoded)
    assert outcome.time_ns == READ_NS


async def test_a_whole_log_is_asked_for_at_once() -> None:
    """The driver refuses a read that has no room for all of it."""
    device = FakeDevice(XENS)
    await Reading(device).outcomes()
    assert set(device.sizes) == {32 * 112}


async def test_what_was_read_is_safe_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the decoder does, and wherever it ends."""

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(mcelog_device, "_decoded", broken)
    reading = Reading(FakeDevice(XENS, XENS))
    with pytest.raises(RuntimeError):
        await reading.outcomes()
    assert [each.record for each in reading.inbox.kept] == [XENS, XENS]


async def test_the_next_life_decodes_what_the_last_one_only_wrote_down() -> None:
    inbox = FakeInbox()
    await inbox.receive("", [XENS, XENS])
    assert len(await Reading(FakeDevice(), inbox).outcomes("1")) == 1


async def test_records_that_were_dropped_are_told() -> None:
    device = FakeDevice(XENS)
    device.is_full = True
    reading = Reading(device)
    await reading.outcomes()
    assert len(reading.told) == 1
    assert "dropped" in reading.told[0]


async def test_what_is_no_error_of_memory_is_refused() -> None:
    (outcome,) = await Reading(FakeDevice(a_record(mcacod=0x0151))).outcomes()
    assert isinstance(outcome, Refused)


async def test_half_a_record_is_refused_and_kept() -> None:
    reading = Reading(FakeDevice(XENS, XENS[:50]))
    outcomes = await reading.outcomes()
    assert [type(outcome) for outcome in outcomes] == [Decoded, Refused]


async def test_a_device_that_fails_ends_it_with_its_reason() -> None:
    device = FakeDevice()
    device.fails = OSError(errno.EIO, "Input/output error")
    with pytest.raises(AgentError, match="/dev/mcelog: Input/output error"):
        await Reading(device).outcomes()


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOENT, "--from journal"),
        (errno.EBUSY, "stop mcelog"),
        (errno.EACCES, "only root"),
        (errno.ENOTTY, "Inappropriate ioctl"),
    ],
)
async def test_a_device_that_cannot_be_had_says_what_to_do(number: int, said: str) -> None:
    def refuse(_: Path) -> FakeDevice:
        raise OSError(number, "Inappropriate ioctl for device")

    source = DeviceSource(Path("/dev/mcelog"), FakeInbox(), print, lambda: UNSAID, refuse)
    with pytest.raises(AgentError, match=said):
        await source.begin(None)


async def test_a_file_is_no_such_device(tmp_path: Path) -> None:
    """The real calls, as far as they go without the real device."""
    path = tmp_path / "file"
    with path.open("w") as file:
        file.write("x")
    device = CharacterDevice(path)
    with pytest.raises(OSError, match="ioctl"):
        device.record_bytes()
    assert device.read(10) == b"x"
    device.close()
