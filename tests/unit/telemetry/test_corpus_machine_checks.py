"""Every machine check in the corpus, against a table that was made by hand from the files.

A row of `MEMORY` is an error of memory: file, line, severity, count (0 is unknown), address, time
in seconds (0 is unsaid) and place. A row of `OTHERS` is a file's other records: line and what each
is.
"""

import pytest

from agent.telemetry import formats
from agent.telemetry.record import Decoded, Outcome, Refused
from agent.telemetry.source import Stream
from tests.support.corpus import corpus
from tests.support.logs import UNSAID

NEHALEM = (
    "memory read error: mca_bank:8 OVERFLOW; MCA: MEMORY CONTROLLER RD_CHANNELunspecified_ERR; "
    "Transaction: Memory read error; Memory read ECC error; "
    "Memory corrected error count (CORE_ERR_CNT): 18; "
    "Memory transaction Tracker ID (RTId): 40; Memory DIMM ID of error: 1; "
    "Memory channel ID of error: 0; Memory ECC syndrome: f449608"
)
BANK_13 = "memory error: channel:0 mca_bank:13"
MEMORY = (
    # Records of Broadwell, Skylake and Sapphire Rapids: none has ADDRV, none has a time.
    ("mcelog-ascii/bdw_mirror1.txt", 2, "ce", 0, None, 0, "memory error: channel:0 mca_bank:7"),
    ("mcelog-ascii/bdw_mirror2.txt", 2, "ce", 0, None, 0, "memory error: channel:0 mca_bank:7"),
    ("mcelog-ascii/dimm0.txt", 2, "ce", 0, None, 0, "memory error: channel:0 mca_bank:2"),
    ("mcelog-ascii/skx_mirror1.txt", 2, "ce", 0, None, 0, "memory error: channel:0 mca_bank:7"),
    ("mcelog-ascii/skx_mirror2.txt", 2, "ce", 0, None, 0, "memory error: channel:0 mca_bank:7"),
    # Named after an uncorrected error, but UC is clear.
    (
        "mcelog-ascii/spr_uc_patscrub.txt",
        2,
        "ce",
        0,
        None,
        0,
        BANK_13,
    ),
    # Memory scrubbing (MMM 100) found them; MISC 0x8c is physical, to 2^12 bytes.
    (
        "mce-test/panic_ucr__data__srao_mem_scrub_noripv.txt",
        1,
        "ue",
        1,
        0x1234,
        0,
        "memory scrubbing error: channel:0 mca_bank:2",
    ),
    (
        "mce-test/recoverable_ucr__data__srao_mem_scrub.txt",
        1,
        "ue",
        1,
        0x1234,
        0,
        "memory scrubbing error: channel:0 mca_bank:2",
    ),
    # MCG_CAP 0xf000c15 counts, and STATUS counts 1; MISC ends in 0x86.
    (
        "kernel-logs/mce_record-trace.txt",
        1,
        "ce",
        1,
        0x123450000,
        1689802780,
        "memory read error: socket:0 channel:0 mca_bank:13",
    ),
    # MISC ends in 0x40: a linear address, by the architecture. 18 is in STATUS and in the words.
    (
        "kernel-logs/mcelog-nehalem-old-header.txt",
        4,
        "ce",
        18,
        None,
        0,
        NEHALEM,
    ),
)
NO_CODE, CACHE, EMPTY = "an error without a code", "a cache error", "a bank that holds no error"
OTHERS: dict[str, list[tuple[int, str]]] = {
    "mcelog-ascii/dmr_dcu_srar.txt": [(2, CACHE)],
    "mcelog-ascii/full1.txt": [(1, EMPTY)],
    "mcelog-ascii/iomca.txt": [(1, "an I/O error (IOMCA)")],
    "mcelog-ascii/simple1.txt": [(1, EMPTY)],
    "mcelog-ascii/unknown.txt": [(1, "an internal error")],
    "mcelog-ascii/xen.txt": [(2, CACHE)],
    "mce-inject/corrected-yellow.txt": [(2, NO_CODE)],
    "mce-inject/corrected.txt": [(3, NO_CODE), (7, NO_CODE)],
    "mce-inject/fatal.txt": [(4, NO_CODE)],
    "mce-inject/uncorrected-seam-nr.txt": [(2, CACHE)],
    # EIPV is a bit of MCG_STATUS, and mce-inject's grammar has it nowhere else.
    "mce-inject/uncorrected.txt": [(2, "STATUS takes numbers and words of its own (got EIPV)")],
    "mce-test/kvm__host__SRAO.txt": [(1, CACHE)],
    "mce-test/non-panic__data__corrected.txt": [
        (3, NO_CODE),
        (7, EMPTY),
        (9, NO_CODE),
        (14, EMPTY),
    ],
    "mce-test/non-panic__data__corrected_hold.txt": [(3, NO_CODE), (8, NO_CODE)],
    "mce-test/non-panic__data__corrected_no_en.txt": [(2, NO_CODE), (5, EMPTY)],
    "mce-test/non-panic__data__corrected_over.txt": [(1, NO_CODE), (4, EMPTY)],
    "mce-test/panic__data__fatal.txt": [(4, NO_CODE)],
    "mce-test/panic__data__fatal_eipv.txt": [(4, NO_CODE)],
    "mce-test/panic__data__fatal_irq.txt": [(4, NO_CODE)],
    "mce-test/panic__data__fatal_no_en.txt": [(4, NO_CODE)],
    "mce-test/panic__data__fatal_over.txt": [(4, NO_CODE)],
    "mce-test/panic__data__fatal_ripv.txt": [(4, NO_CODE)],
    "mce-test/panic__data__fatal_timeout.txt": [(4, NO_CODE)],
    "mce-test/panic__data__fatal_timeout_ripv.txt": [(4, NO_CODE)],
    "mce-test/panic__data__fatal_userspace.txt": [(4, NO_CODE)],
    "mce-test/panic_noser__data__uc_over.txt": [(2, NO_CODE)],
    "mce-test/panic_noser__data__uc_over_corrected.txt": [(1, NO_CODE), (9, NO_CODE)],
    "mce-test/panic_noser__data__uc_over_timeout.txt": [(1, NO_CODE)],
    "mce-test/panic_npcc__data__fatal_severity.txt": [(4, NO_CODE), (13, NO_CODE)],
    "mce-test/panic_npcc__data__uc_no_eripv.txt": [(1, NO_CODE)],
    "mce-test/panic_npcc__data__uc_no_eripv_timeout.txt": [(1, NO_CODE)],
    "mce-test/panic_npcc__data__uc_no_mcip.txt": [(1, NO_CODE)],
    "mce-test/panic_npcc__data__uc_no_mcip_timeout.txt": [(1, NO_CODE)],
    "mce-test/panic_npcc__data__uncorrected.txt": [(2, NO_CODE)],
    "mce-test/panic_npcc__data__uncorrected_timeout.txt": [(2, NO_CODE)],
    "mce-test/panic_npcc__data__unknown.txt": [(2, EMPTY)],
    "mce-test/panic_ucr__data__s0_ar1.txt": [(1, NO_CODE)],
    "mce-test/panic_ucr__data__srao_ewb_noripv.txt": [(1, CACHE)],
    "mce-test/panic_ucr__data__srar_no_en.txt": [(1, NO_CODE)],
    "mce-test/panic_ucr__data__srar_over.txt": [(1, NO_CODE)],
    "mce-test/panic_ucr__data__srar_unkown.txt": [(1, NO_CODE)],
    "mce-test/poll_noser__data__uc_poll.txt": [(1, NO_CODE)],
    "mce-test/poll_ucr__data__fatal_poll.txt": [(1, NO_CODE)],
    "mce-test/poll_ucr__data__srar_poll.txt": [(1, NO_CODE), (8, EMPTY)],
    "mce-test/poll_ucr__data__ucna.txt": [(1, NO_CODE), (7, EMPTY)],
    "mce-test/poll_ucr__data__ucna_over.txt": [(1, NO_CODE)],
    "mce-test/recoverable_ucr__data__srao_corrected.txt": [(1, NO_CODE), (7, NO_CODE)],
    "mce-test/recoverable_ucr__data__srao_ewb.txt": [(1, CACHE)],
    "mce-test/recoverable_ucr__data__srao_no_en.txt": [(1, NO_CODE)],
    "mce-test/recoverable_ucr__data__srao_over.txt": [(1, NO_CODE)],
    "mce-test/recoverable_ucr__data__srao_ucna.txt": [(1, NO_CODE), (7, NO_CODE)],
    "mce-test/recoverable_ucr__data__srao_unknown.txt": [(1, NO_CODE)],
    "mce-test/recoverable_ucr__data__srar_usr_dcu.txt": [(1, CACHE)],
    "mce-test/recoverable_ucr__data__srar_usr_dcu_irq.txt": [(1, CACHE)],
    "mce-test/recoverable_ucr__data__srar_usr_dcu_nmi.txt": [(1, CACHE)],
    "kernel-logs/mce_record-trace.txt": [(line, CACHE) for line in range(2, 9)],
    "kernel-logs/mcelog-35-var-log-mcelog.txt": [(3, CACHE)],
}
NAMES = sorted({name for name, *_ in MEMORY} | OTHERS.keys())


def outcomes_of(name: str) -> list[Outcome]:
    return list(formats.decode(Stream(corpus(name).read_bytes()), UNSAID))


@pytest.mark.parametrize("name", NAMES)
def test_each_error_of_memory_comes_out_as_the_table_says(name: str) -> None:
    told = [
        (name, o.line, o.kind, o.count, o.address, o.time_ns // 10**9, o.detail)
        for o in outcomes_of(name)
        if isinstance(o, Decoded)
    ]
    assert told == [row for row in MEMORY if row[0] == name]


@pytest.mark.parametrize("name", NAMES)
def test_everything_else_is_refused_with_what_it_is(name: str) -> None:
    refusals = [o for o in outcomes_of(name) if isinstance(o, Refused)]
    rows = OTHERS.get(name, [])
    assert [refusal.line for refusal in refusals] == [line for line, _ in rows]
    for refusal, (_, what) in zip(refusals, rows, strict=True):
        assert what in refusal.reason


@pytest.mark.parametrize("folder", ["mcelog-ascii", "mce-inject", "mce-test"])
def test_the_table_leaves_out_no_file_that_holds_machine_checks(folder: str) -> None:
    """`mce-test` also has what a kernel was expected to print: that is no input."""
    some = corpus(next(name for name in NAMES if name.startswith(folder)))
    files = {f"{folder}/{path.name}" for path in some.parent.iterdir() if "refer" not in path.name}
    assert files <= set(NAMES)
