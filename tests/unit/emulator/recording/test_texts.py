"""What is written, held against lines of real machines: layout, padding and order are theirs."""

import struct
from dataclasses import replace
from uuid import UUID

import pytest

from emulator.errors import EmulatorError
from emulator.machine.banks import YELLOW
from emulator.recording import edac, ghes, mce_struct, mcelog, traces, xen_console
from emulator.recording.formats import FORMATS
from emulator.recording.record import Layout, Machine, Place, Record

INTEL = Machine("hv-1", UUID(int=7), 0, Layout.INTEL, banks_per_group=4)
AMD = replace(INTEL, layout=Layout.AMD)
ERROR = Record(
    time_ns=1_700_925_409_123_456_789,
    kind="ce",
    count=1,
    address=0x45678040,
    is_scrub=False,
    is_over=False,
    socket=0,
    channel=0,
    slot=0,
    dimm="CPU0_C0_D0",
    place=Place(1, 2, 3, 0x402C3, 0x1F0),
    status=0x8C00004000010090,
    bank_address=0x45678040,
    misc=0x86,
)
UNLOCATED = replace(ERROR, address=None, place=None, status=0x8000004000010090, misc=0)


def test_xens_console_pads_with_spaces() -> None:
    stamp = "(XEN) [2023-11-25 15:16:49.123]"
    assert xen_console.text(ERROR, INTEL, 0) == (
        f"{stamp} CMCI occurred on CPU 0.\n"
        f"{stamp} Bank 13: 8c00004000010090[              86] at         45678040\n"
    )


def test_xens_console_shows_neither_misc_nor_address_that_is_not_valid() -> None:
    assert xen_console.text(UNLOCATED, INTEL, 0).endswith("Bank 13: 8000004000010090\n")


def test_mcelogs_text_has_the_lines_of_mcelog() -> None:
    lines = mcelog.text(ERROR, INTEL, 3).splitlines()
    assert lines[:6] == [
        "Hardware event. This is not a software error.",
        "MCE 3",
        "CPU 0 BANK 13 ",
        "MISC 86 ADDR 45678040 ",
        "TIME 1700925409 Sat Nov 25 15:16:49 2023",
        "MCG status:",
    ]


def test_mcelogs_text_names_the_light_of_a_bank_that_has_one() -> None:
    yellow = replace(ERROR, status=ERROR.status | YELLOW)
    text = mcelog.text(yellow, replace(INTEL, has_threshold=True), 0)
    assert "Threshold based error status: yellow\n" in text


def test_a_struct_mce_has_its_fields_where_the_kernel_has_them() -> None:
    packed = mce_struct.packed(ERROR, INTEL)
    status, misc, address = struct.unpack_from("<3Q", packed)
    assert (len(packed), status, misc, address) == (112, ERROR.status, 0x86, 0x45678040)
    assert (packed[56], packed[65], packed[67]) == (0, 13, 1)  # vendor, bank, finished


def test_the_longer_struct_begins_like_the_shorter() -> None:
    short, long = mce_struct.packed(ERROR, INTEL), mce_struct.packed_long(ERROR, INTEL)
    assert (len(long), long[:112]) == (128, short)


def test_a_line_of_mce_record_is_that_of_the_kernel() -> None:
    said = traces.mce_record(ERROR, INTEL, 0).partition("mce_record: ")[2]
    assert said == (
        "CPU: 0, MCGc/s: f000420/0, MC13: 8c00004000010090, IPID: 0000000000000000, "
        "ADDR/MISC/SYND: 0000000045678040/0000000000000086/0000000000000000, "
        "RIP: 00:<0000000000000000>, TSC: 0, PROCESSOR: 0:806f8, TIME: 1700925409, SOCKET: 0, "
        "APIC: 0\n"
    )


def test_an_edac_line_follows_the_block_that_it_explains() -> None:
    said = [line.partition("kernel: ")[2] for line in edac.text(ERROR, INTEL, 0).splitlines()]
    assert said[0] == "EDAC skx MC0: HANDLING MCE MEMORY ERROR"
    assert said[-1] == (
        "EDAC MC0: 1 CE memory read error on CPU0_C0_D0 (channel:0 slot:0 page:0x45678 offset:0x40 "
        "grain:32 syndrome:0x0 -  err_code:0x0000:0x0090 socket:0 imc:0 rank:1 bg:2 ba:3 "
        "row:0x402c3 col:0x1f0)"
    )


def test_an_uncorrected_error_has_no_syndrome_in_its_edac_line() -> None:
    assert "syndrome" not in edac.text(replace(ERROR, kind="ue"), INTEL, 0)


def test_on_amd_the_block_names_the_bits_as_the_kernel_does() -> None:
    over = replace(ERROR, status=0xDC2040000000011B, ipid=0x9600350F00, socket=0)
    assert (
        "CPU:0 (19:11:1) MC13_STATUS[Over|CE|MiscV|AddrV|-|-|SyndV|CECC|-|-|-]: 0xdc2040000000011b"
        in edac.text(over, AMD, 0)
    )


def test_firmware_numbers_its_events_from_one() -> None:
    first, second = ghes.text(ERROR, INTEL, 0), ghes.text(ERROR, INTEL, 1)
    assert ("{1}[Hardware Error]" in first, "{2}[Hardware Error]" in second) == (True, True)


@pytest.mark.parametrize(
    ("name", "layout", "says"),
    [
        ("mcelog", Layout.AMD, "has no room for AMD's IPID"),
        ("mce-struct", Layout.FIRMWARE, "holds machine checks"),
    ],
)
def test_a_format_without_room_for_a_host_says_which_have_it(
    name: str, layout: Layout, says: str
) -> None:
    with pytest.raises(EmulatorError, match=f"--format {name} {says}.*; there are: ereports, "):
        FORMATS[name].check(layout)
