"""The kernel's messages out of systemd's journal, by way of a `journalctl` that the test wrote."""

import asyncio
import json
import os
import stat
from contextlib import aclosing
from pathlib import Path
from uuid import UUID

import pytest

from agent.adapters.sources import journalctl
from agent.adapters.sources.journalctl import JournalSource
from agent.contract.errors import AgentError
from agent.telemetry.window import Line

BOOT, EARLIER = UUID(int=2), UUID(int=1)

# Prints what lies behind the cursor (a number here), or all of the boot; then waits, or ends.
PROGRAM = """#!/usr/bin/env python3
import json, sys, time
after, boot, follows = 0, None, "--follow" in sys.argv
for argument in sys.argv[1:]:
    name, _, value = argument.partition("=")
    after = int(value) - 1 if name == "--cursor" else after
    boot = value if name == "_BOOT_ID" else boot
assert "_TRANSPORT=kernel" in sys.argv and "--output=json" in sys.argv
for number in range(COMPLAINTS):
    print(f"Journal file {number} is truncated, ignoring file.", file=sys.stderr)
printed = 0
for line in open(JOURNAL):
    try:
        entry = json.loads(line)
        if int(entry["__CURSOR"]) <= after or boot and entry["_BOOT_ID"] != boot:
            continue
    except (ValueError, KeyError, TypeError):
        pass
    if printed == ENDS_AFTER:
        sys.exit("it was killed")
    sys.stdout.write(line)
    sys.stdout.flush()
    printed += 1
while follows:
    time.sleep(1)
"""


def entry(cursor: int, message: object, boot: UUID = BOOT, **more: object) -> dict[str, object]:
    stamp = str(1_700_000_000_000_000 + cursor)
    fields = {"__CURSOR": str(cursor), "__REALTIME_TIMESTAMP": stamp, "_BOOT_ID": boot.hex}
    return fields | {"MESSAGE": message, "_HOSTNAME": "hv-1"} | more


class Journal:
    """What is on the disk, and the program in front of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries = folder / "entries"
        self._entries.touch()
        self.told: list[str] = []

    def install(self, ends_after: int = -1, complaints: int = 0) -> None:
        program = self._folder / "journalctl"
        values = (str(self._entries), ends_after, complaints)
        head = f"JOURNAL, ENDS_AFTER, COMPLAINTS = {values!r}\n"
        shebang, _, rest = PROGRAM.partition("\n")
        program.write_text(f"{shebang}\n{head}{rest}")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def write(self, *entries: object) -> None:
        with self._entries.open("a") as file:
            file.writelines(
                f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in entries
            )

    async def read(self, mark: str | None = None, *, count: int = 0) -> list[Line]:
        """All there is; with `count`, so many lines of a journal that is followed."""
        source = JournalSource(BOOT, self.told.append, follows=bool(count))
        await source.begin(mark)
        lines: list[Line] = []
        try:
            async with aclosing(source.pieces()) as pieces:
                async for piece in pieces:
                    lines += piece.items
                    if len(lines) >= count if count else piece.ends and lines:
                        break
        finally:
            await source.close()
        return lines


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(journalctl, "RESTART_SECONDS", 0.0)
    journal = Journal(tmp_path)
    journal.install()
    return journal


async def test_a_message_comes_with_its_time_its_host_and_its_boot(journal: Journal) -> None:
    journal.write(entry(7, "EDAC MC0: 1 CE"))
    (line,) = await journal.read()
    assert line.raw == b"2023-11-14T22:13:20.000007+00:00 hv-1 kernel: EDAC MC0: 1 CE\n"
    assert (line.boot_id, line.mark) == (BOOT, "7")


async def test_closing_does_not_wait_for_what_nobody_reads(journal: Journal) -> None:
    """A storm fills the pipe while the bridge stops: the program's end was never told."""
    journal.write(*(entry(number, "x" * 1000) for number in range(1, 2000)))
    source = JournalSource(BOOT, journal.told.append)
    await source.begin(None)
    async with aclosing(source.pieces()) as pieces:
        async for piece in pieces:
            if piece.items:
                break
        await asyncio.sleep(0.5)  # it writes as much as there is room for
    async with asyncio.timeout(60):
        await source.close()


async def test_the_kernels_own_time_is_better_than_the_journals(journal: Journal) -> None:
    journal.write(entry(7, "x", _SOURCE_REALTIME_TIMESTAMP="1600000000000000"))
    (line,) = await journal.read()
    assert line.raw.startswith(b"2020-09-13T12:26:40.000000+00:00 ")


async def test_the_first_time_only_this_boot_is_read(journal: Journal) -> None:
    journal.write(entry(1, "old", EARLIER), entry(2, "new"))
    assert [line.mark for line in await journal.read()] == ["2"]


async def test_the_start_of_a_boot_is_a_place_too(journal: Journal) -> None:
    """Whoever stopped right there reads that boot after a reboot, and then this one."""
    journal.write(entry(1, "a", UUID(int=0)), entry(2, "b", EARLIER), entry(3, "c"))
    lines = await journal.read(f"boot:{EARLIER.hex}")
    assert [line.mark for line in lines] == ["2", "3"]


async def test_later_lives_go_on_behind_the_cursor_across_boots(journal: Journal) -> None:
    journal.write(entry(1, "a", EARLIER), entry(2, "b", EARLIER), entry(3, "c"))
    lines = await journal.read("1")
    assert [(line.mark, line.boot_id) for line in lines] == [("2", EARLIER), ("3", BOOT)]


async def test_an_entry_that_is_gone_takes_no_other_with_it(journal: Journal) -> None:
    """The nearest one is handed out in its place."""
    journal.write(entry(1, "a"), entry(5, "b"))
    lines = await journal.read("3")
    assert ([line.mark for line in lines], len(journal.told)) == (["5"], 1)


async def test_a_message_of_several_lines_has_one_place(journal: Journal) -> None:
    """To go on in the middle of it is not possible."""
    journal.write(entry(1, "a\nb"))
    assert [line.mark for line in await journal.read()] == [None, "1"]


async def test_a_message_that_is_not_text_comes_as_bytes(journal: Journal) -> None:
    journal.write(entry(1, [69, 68, 255]))
    (line,) = await journal.read()
    assert line.raw.endswith("kernel: ED\ufffd\n".encode())


@pytest.mark.parametrize(
    "bad",
    [
        "no JSON",
        "[1]",
        '{"__CURSOR": "1"}',
        json.dumps(entry(1, None)),
        json.dumps(entry(1, [256])),
        json.dumps(entry(1, "x", __REALTIME_TIMESTAMP="never")),
        json.dumps(entry(1, "x", __REALTIME_TIMESTAMP="9" * 30)),
    ],
)
async def test_what_is_no_entry_is_told_and_passed_over(journal: Journal, bad: str) -> None:
    journal.write(bad, entry(2, "good"))
    lines = await journal.read()
    assert ([line.mark for line in lines], len(journal.told)) == (["2"], 1)


async def test_an_entry_without_end_is_bounded(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journalctl, "ENTRY_BYTES_MAX", 1000)
    journal.write(entry(1, "x" * 500_000), entry(2, "good"))
    lines = await journal.read()
    assert lines[-1].mark == "2"
    assert "is passed over" in journal.told[0]


async def test_when_the_program_ends_another_goes_on_behind_its_last(journal: Journal) -> None:
    journal.write(*(entry(number, "x") for number in range(1, 6)))
    journal.install(ends_after=2)
    lines = await journal.read(count=5)
    assert [line.mark for line in lines] == ["1", "2", "3", "4", "5"]
    assert "it was killed" in journal.told[0]


async def test_without_the_program_it_says_what_else_there_is(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(AgentError, match="file:PATH"):
        await journal.read()


async def test_a_program_that_may_not_read_anything_says_so(journal: Journal) -> None:
    journal.write(entry(1, "x"))
    journal.install(ends_after=0)
    with pytest.raises(AgentError, match="it was killed"):
        await journal.read()


async def test_a_program_that_complains_at_length_is_read_all_the_same(journal: Journal) -> None:
    """It would wait for somebody to read its complaints, and print no entry any more."""
    journal.write(entry(1, "x"))
    journal.install(complaints=5000)
    assert [line.mark for line in await journal.read(count=1)] == ["1"]


async def test_of_many_complaints_the_last_one_says_why_it_ended(journal: Journal) -> None:
    journal.write(entry(1, "x"))
    journal.install(ends_after=0, complaints=5000)
    with pytest.raises(AgentError, match="it was killed"):
        await journal.read()
