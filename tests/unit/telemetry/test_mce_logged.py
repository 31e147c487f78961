"""What rasdaemon logs of machine checks."""

import pytest

from agent.telemetry.record import Decoded, Outcome
from tests.support.logs import decoded, decoded_all, errors, refused

INTEL = (
    "Nov 23 18:40:06 hv-1 rasdaemon[1337]:            <...>-1042  [000] .....     0.053030: "
    "mce_record: [ERROR] 2026-11-23 18:40:05 +0000 bank=7, status= 8c00008000010091, Corrected "
    "error, no action required., mci=Corrected_error, mca=MEMORY CONTROLLER RD_CHANNEL1_ERR, "
    "cpu_type= Intel generic architectural MCA, cpu= 3, socketid= 1, misc= 40584e86, "
    "addr= 91b2f55c0, mcgstatus= 0, mcgcap= 7000c16, apicid= 20"
)
AMD = (
    "Nov 23 18:40:05 hv-1 rasdaemon[1337]:            <...>-1042  [000] .....     0.053030: "
    "mce_record:          2026-11-23 18:40:05 +0000 Unified Memory Controller (bank=17), "
    "status= 9c2041000000011b, Corrected error, no action required., mci=CECC, "
    "mca=DRAM ECC error. Ext Err Code: 0, memory_channel=0,csrow=2, "
    "cpu_type= AMD Scalable MCA, cpu= 2, socketid= 0, misc= d01a001401000000, addr= 27aad20c0, "
    "synd= b800, ipid= 9600050f00, mcgstatus=0, mcgcap= 11c, apicid= 4"
)
EVENT = (
    "Nov 23 18:40:06 hv-1 rasdaemon[1337]:            <...>-1042  [000] .....     0.053030: "
    "mc_event: [ERROR] 2026-11-23 18:40:05 +0000 2 Corrected errors: memory read error on A1 "
    "(mc: 1 location: 0:1 address: 0x91b2f55c0 grain: 5 syndrome: 0x00000000 rank:1)"
)


def of(*lines: str) -> list[Outcome]:
    return decoded_all("\n".join(lines), name="edac")


def test_a_machine_check_of_intel_is_read() -> None:
    assert decoded(INTEL) == Decoded(
        line=1,
        time_ns=1795459205 * 10**9,
        count=2,
        address=0x91B2F55C0,
        detail="memory read error: socket:1 channel:1 mca_bank:7",
        host="hv-1",
    )


def test_amds_bank_is_decimal_and_its_address_is_none_of_the_host() -> None:
    record = decoded(AMD)
    assert (record.address, record.detail) == (
        None,
        "DRAM ECC error: socket:0 channel:0 csrow:0 mca_bank:17",
    )


@pytest.mark.parametrize("line", [INTEL[:-12], INTEL.replace("status= 8c00", "status= x")])
def test_a_line_that_lost_its_status_or_its_end_is_refused(line: str) -> None:
    assert "cut off" in refused(line).reason


def test_both_of_rasdaemons_lines_about_one_error_are_one() -> None:
    (record,) = of(INTEL, EVENT)
    assert isinstance(record, Decoded)
    assert (record.count, record.dimm) == (2, "A1")


def test_amds_machine_check_is_explained_by_the_event_that_follows() -> None:
    assert errors(of(AMD, EVENT)) == 2


def test_all_four_forms_of_one_error_are_one() -> None:
    block = (
        "EDAC skx MC1: HANDLING MCE MEMORY ERROR",
        "EDAC skx MC1: CPU 0: Machine Check Event: 0x0 Bank 7: 0x8c00008000010091",
        "EDAC skx MC1: ADDR 0x91b2f55c0",
        "EDAC skx MC1: MISC 0x40584e86",
        "EDAC skx MC1: PROCESSOR 0:0x806f8 TIME 1795459205 SOCKET 0 APIC 0x0",
        "EDAC MC1: 2 CE read error on A1 (slot:1 page:0x91b2f5 offset:0x5c0 grain:32 syndrome:0x0)",
    )
    kernels = [f"Nov 23 18:40:05 hv-1 kernel: {line}" for line in block]
    assert errors(of(*kernels, INTEL, EVENT)) == 2


def test_rasdaemons_layout_is_no_tracepoint_of_the_kernel() -> None:
    """Both are called mce_record; what the kernel prints is told by its first field."""
    bare = INTEL.partition("rasdaemon[1337]:")[2]
    assert [o.address for o in decoded_all(bare) if isinstance(o, Decoded)] == [0x91B2F55C0]
