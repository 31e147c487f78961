"""What a machine shows of itself, from folders of the shape that Linux gives them."""

import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import TZPATH

import pytest

from agent.adapters.this_host import ThisHost
from agent.contract.errors import AgentError
from agent.telemetry.dmi import memory_device

BOOT = UUID("c2c8eba6-e0d5-44e1-93b0-9f529914eccd")


def a_record(size: int, extended: int = 0, *texts: str) -> bytes:
    """A type 17 record of SMBIOS 3: locator, serial and part are strings 1, 2 and 3."""
    record = bytearray(40)
    record[0:2] = bytes((17, len(record)))
    struct.pack_into("<H", record, 12, size)
    record[16], record[24], record[26] = 1, 2, 3
    struct.pack_into("<I", record, 28, extended)
    return bytes(record) + b"".join(f"{text}\0".encode() for text in texts) + b"\0"


DIMM = a_record(0x7FFF, 65_536, "CPU1_DIMM_A1", "4F2D11AB", "M393A8G40AB2-CWE  ")


def write(root: Path, name: str, content: str | bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "proc/sys/kernel/random/boot_id", f"{BOOT}\n")
    write(tmp_path, "proc/stat", "cpu 1 2\nbtime 1700000000\nprocesses 3\n")
    write(tmp_path, "proc/meminfo", "MemTotal:       4028000 kB\nMemFree: 1 kB\n")
    return tmp_path


def with_edac(root: Path) -> None:
    for name, label, mebibytes in (("dimm0", "CPU_SrcID#0_DIMM#0", 32_768), ("dimm1", "", 0)):
        write(root, f"sys/devices/system/edac/mc/mc0/{name}/dimm_label", f"{label}\n")
        write(root, f"sys/devices/system/edac/mc/mc0/{name}/size", f"{mebibytes}\n")


def test_the_boot_and_when_it_began(root: Path) -> None:
    boot = ThisHost(root).boot()
    assert (boot.id, boot.began_ns) == (BOOT, 1_700_000_000 * 10**9)


def test_a_machine_that_is_no_linux_is_told(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="/proc"):
        ThisHost(tmp_path).boot()


@pytest.mark.parametrize("content", [None, "no zone at all"])
def test_a_clock_whose_zone_is_not_told_is_in_utc(root: Path, content: str | None) -> None:
    if content is not None:
        write(root, "etc/localtime", content)
    assert ThisHost(root).zone() is UTC


def test_the_zone_of_the_clock_knows_summer_and_winter(root: Path) -> None:
    files = (Path(folder) / "Europe/Berlin" for folder in TZPATH)
    berlin = next((file for file in files if file.is_file()), None)
    if berlin is None:
        pytest.skip("no zones are installed here")
    write(root, "etc/localtime", berlin.read_bytes())
    zone = ThisHost(root).zone()
    hours = [datetime(2024, month, 1, tzinfo=zone).utcoffset() for month in (1, 7)]
    assert hours == [timedelta(hours=1), timedelta(hours=2)]


def test_a_host_that_shows_nothing_has_the_memory_that_its_kernel_uses(root: Path) -> None:
    inventory = ThisHost(root).inventory("hv-1", BOOT)
    assert (inventory.memory_bytes, inventory.dimms) == (4028000 << 10, ())


def test_dimms_are_named_as_edac_names_them(root: Path) -> None:
    with_edac(root)
    write(root, "sys/firmware/dmi/entries/17-0/raw", DIMM)
    inventory = ThisHost(root).inventory("hv-1", BOOT)
    assert (inventory.memory_bytes, inventory.dimms) == (32 << 30, ("CPU_SrcID#0_DIMM#0",))
    assert [module.identity for module in inventory.modules] == ["M393A8G40AB2-CWE/4F2D11AB"]


def test_without_edac_the_firmware_says_what_is_plugged_in(root: Path) -> None:
    write(root, "sys/firmware/dmi/entries/17-0/raw", DIMM)
    inventory = ThisHost(root).inventory("hv-1", BOOT)
    assert (inventory.memory_bytes, inventory.dimms) == (64 << 30, ("CPU1_DIMM_A1",))


@pytest.mark.parametrize(
    ("size", "bytes_"), [(0x4000, 16 << 30), (0x8200, 512 << 10), (0x7FFF, 64 << 30)]
)
def test_a_size_is_in_one_of_three_units(size: int, bytes_: int) -> None:
    device = memory_device(a_record(size, 65_536, "A"))
    assert device is not None
    assert device.bytes == bytes_


@pytest.mark.parametrize(
    "raw", [b"", DIMM[:20], b"\x01" + DIMM[1:], a_record(0), a_record(0xFFFF), b"\x11\xff" * 20]
)
def test_an_empty_socket_and_what_is_no_record_are_no_dimm(raw: bytes) -> None:
    assert memory_device(raw) is None


def test_a_phrase_that_says_nothing_is_nothing() -> None:
    device = memory_device(a_record(0x4000, 0, "A", "Unknown", "Not Specified"))
    assert device is not None
    assert (device.part, device.serial) == ("", "")
