"""Machine checks as kernels print them: with and without an EDAC driver, Intel's and AMD's."""

import pytest

from agent.telemetry.record import Decoded, Outcome, Refused
from tests.support.logs import decoded, decoded_all, errors, refused

RAW = """\
[   12.000000] mce: [Hardware Error]: Machine check events logged
[   12.000001] mce: [Hardware Error]: CPU 3: Machine Check: 0 Bank 7: 8c00014000010092
[   12.000002] mce: [Hardware Error]: TSC 0 ADDR 12345680 MISC 40584e86
[   12.000003] mce: [Hardware Error]: PROCESSOR 0:50654 TIME 1681559382 SOCKET 1 APIC 20 microcode 1
"""

SANDY_BRIDGE = """\
[   12.000001] EDAC sbridge MC0: HANDLING MCE MEMORY ERROR
[   12.000002] EDAC sbridge MC0: CPU 0: Machine Check Event: 0 Bank 5: 8c00004000010092
[   12.000003] EDAC sbridge MC0: TSC 0
[   12.000003] EDAC sbridge MC0: ADDR 849923380 EDAC sbridge MC0: MISC 42525286 EDAC sbridge MC0: \
PROCESSOR 0:206d7 TIME 1580149818 SOCKET 0 APIC 0
"""

AMD = """\
[   12.000001] [Hardware Error]: Corrected error, no action required.
[   12.000002] [Hardware Error]: CPU:0 (17:71:0) MC18_STATUS[Over|CE|MiscV|AddrV|-|-|SyndV|CECC|-\
|-|-]: 0xdc2040000000011b
[   12.000003] [Hardware Error]: Error Addr: 0x000000036e701dc0
[   12.000004] [Hardware Error]: IPID: 0x0000009600250f00, Syndrome: 0x5bf00000b800001
[   12.000005] [Hardware Error]: Unified Memory Controller Ext. Error Code: 0, DRAM ECC error.
"""
AMDS_LINE = (
    "[   12.000006] EDAC MC0: 1 CE on mc#0csrow#2channel#1 (csrow:2 channel:1 page:0x6e1b83 "
    "offset:0x9c0 grain:64 syndrome:0xb800)\n"
)
AMDS_END = "[   12.000007] [Hardware Error]: cache level: L3/GEN, tx: GEN, mem-tx: RD\n"

OPTERON = """\
[   12.000001] [Hardware Error]: CPU:24 MC4_STATUS[Over|CE|MiscV|-|AddrV|CECC]: 0xdc0a400079080a13
[   12.000002] [Hardware Error]: MC4_ADDR: 0x0000001fc2ea6fc0
[   12.000003] [Hardware Error]: Northbridge Error (node 6): DRAM ECC error detected on the NB.
"""


def of(text: str) -> list[Outcome]:
    return decoded_all(text, name="edac")


def test_registers_that_no_driver_explains_are_an_error() -> None:
    assert decoded(RAW) == Decoded(
        line=2,
        time_ns=1681559382 * 10**9,
        count=5,
        address=0x12345680,
        detail="memory read error: socket:1 channel:2 mca_bank:7",
    )


def test_older_drivers_leave_out_0x_and_put_registers_on_one_line() -> None:
    record = decoded(SANDY_BRIDGE)
    assert (record.address, record.time_ns) == (0x849923380, 1580149818 * 10**9)


def test_without_a_time_of_its_own_the_lines_time_counts() -> None:
    assert decoded("\n".join(RAW.splitlines()[:3])).time_ns == 12_000_001_000


def test_without_misc_the_address_is_not_vouched_for() -> None:
    assert decoded(RAW.replace("MISC 40584e86", "")).address is None


def test_an_error_of_something_else_is_refused_by_its_name() -> None:
    assert "cache error" in refused(RAW.replace("8c00014000010092", "9400004000040150")).reason


def test_what_is_printed_again_behind_the_edac_line_counts_once() -> None:
    """With `mce=print_all` the kernel prints what EDAC has handled, too."""
    line = (
        "[   12.000001] EDAC MC0: 5 CE memory read error on A1 (channel:2 slot:0 page:0x12345 "
        "offset:0x680 grain:32 syndrome:0x0)\n"
    )
    assert errors(of(line + RAW)) == 5


def test_errors_that_are_printed_again_are_still_as_many() -> None:
    line = (
        "[   12.000001] EDAC MC0: 5 CE memory read error on A1 (channel:2 slot:0 page:0x12345 "
        "offset:0x680 grain:32 syndrome:0x0)\n"
    )
    assert errors(of((line + RAW) * 3)) == 15


def test_amds_address_is_none_of_the_host() -> None:
    record = decoded(AMD)
    assert (record.line, record.address) == (2, None)
    assert record.detail == "DRAM ECC error: channel:2 csrow:1 mca_bank:18 OVERFLOW"


def test_amds_block_and_the_edac_line_in_its_midst_are_one_error() -> None:
    (record,) = of(AMD + AMDS_LINE + AMDS_END)
    assert isinstance(record, Decoded)
    assert (record.address, record.dimm) == (0x6E1B839C0, "mc#0csrow#2channel#1")


def test_a_cache_error_of_amd_is_not_explained_by_the_next_edac_line() -> None:
    cache = AMD.replace("0x0000009600250f00", "0x000000b000000000")
    kinds = [type(outcome) for outcome in of(cache + AMDS_LINE)]
    assert sorted(kind.__name__ for kind in kinds) == ["Decoded", "Refused"]


def test_an_opterons_block_is_explained_by_its_edac_line() -> None:
    line = AMDS_LINE.replace("0x6e1b83", "0x1fc2ea6").replace("0x9c0", "0xfc0")
    (record,) = of(OPTERON + line)
    assert isinstance(record, Decoded)
    assert record.address == 0x1FC2EA6FC0


def test_an_opterons_block_alone_is_refused() -> None:
    assert isinstance(refused(OPTERON), Refused)


@pytest.mark.parametrize("lost", [0, 2, 3])
def test_a_torn_block_is_one_error_as_long_as_its_status_is_there(lost: int) -> None:
    lines = RAW.splitlines()
    del lines[lost]
    assert errors(of("\n".join(lines))) == 5


def test_registers_whose_first_line_is_lost_are_refused_once() -> None:
    lines = RAW.splitlines()
    assert "without its STATUS" in refused("\n".join(lines[2:])).reason


def test_registers_of_a_lost_block_are_not_those_of_the_block_before() -> None:
    torn = RAW.splitlines()[2].replace("12345680", "777000")
    outcomes = of(f"{RAW}{torn}\n")
    assert [o.address for o in outcomes if isinstance(o, Decoded)] == [0x12345680]
    assert [o.line for o in outcomes if isinstance(o, Refused)] == [5]


def test_an_edac_line_explains_a_block_whose_first_lines_are_lost() -> None:
    lines = SANDY_BRIDGE.splitlines()
    line = (
        "[   12.000004] EDAC MC0: 1 CE read error on A1 (channel:2 page:0x849923 offset:0x380 "
        "grain:32 syndrome:0x0)"
    )
    assert errors(of("\n".join([*lines[2:], line]))) == 1


def test_the_registers_of_two_blocks_that_are_mixed_are_never_guessed_at() -> None:
    first, second = RAW.splitlines(), RAW.replace("12345680", "777000").splitlines()
    mixed = [first[1], second[1], first[2], second[2], first[3], second[3]]
    outcomes = of("\n".join(mixed))
    assert {o.address for o in outcomes if isinstance(o, Decoded)} == {None}
    assert "mixed with another" in next(o.reason for o in outcomes if isinstance(o, Refused))


def test_two_blocks_without_an_end_between_them_are_two() -> None:
    torn = "\n".join(RAW.splitlines()[:2]) + "\n"
    assert [o.address for o in of(torn + RAW) if isinstance(o, Decoded)] == [None, 0x12345680]
