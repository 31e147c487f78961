"""Readings as AMD's registers (Zen and later): another layout, and another idea of an address.

    STATUS  63 Val  62 Over  61 UC  60 En  59 MiscV  58 AddrV  57 PCC  53 SyndV  46 CECC  45 UECC
            40 Scrub  21:16 extended code (0: DRAM ECC)  15:0 error code
    MISC0   63 Val  62 CntP  51 CntEn  48 Ovrflw  43:32 ErrCnt: the count, which STATUS has not
    IPID    43:32 HWID, 0x96 for a memory controller  31:20 its channel
    SYND    2:0 chip select: the rank
    ADDR    counted within the channel ("normalised"): no address of the system, and no page

Bits as Linux reads them (`amd64_edac`, `mce_amd`). The system's address is for the kernel to find,
with the controller's map; whoever takes ADDR for it retires an innocent page.
"""

import numpy as np

from agent.contract.columns import I64, U64
from emulator.machine.banks import ADDRV, EN, MISCV, OVER, UC, VAL
from emulator.machine.harvests import Harvests
from emulator.machine.intel import RegisterColumns

SYNDV = 1 << 53
CECC = 1 << 46
UECC = 1 << 45
SCRUB = 1 << 40
DRAM_READ = 0x011B  # 0000 0001 RRRR TTLL: a read, generic, level generic

COUNTER = 1 << 63 | 1 << 62 | 1 << 51
COUNTER_OVERFLOW = 1 << 48
ERR_COUNT_SHIFT = 32
ERR_COUNT_MAX = (1 << 12) - 1

UMC = 0x96 << 32
CHANNEL_SHIFT = 20


def registers(found: Harvests, channel: I64, chip_select: I64, normalised: U64) -> RegisterColumns:
    """`normalised` is each reading's address within its channel."""
    zeros = np.zeros(len(found), np.uint64)
    ecc = np.where(found.uncorrected, np.uint64(UC | UECC), np.uint64(CECC))
    status = np.uint64(VAL | EN | MISCV | SYNDV | DRAM_READ) | ecc
    status |= np.where(found.is_located, np.uint64(ADDRV), zeros)
    status |= np.where(found.is_over, np.uint64(OVER), zeros)
    status |= np.where(found.is_scrub, np.uint64(SCRUB), zeros)
    count = np.minimum(found.count, ERR_COUNT_MAX).astype(np.uint64)
    misc = np.uint64(COUNTER) | count << np.uint64(ERR_COUNT_SHIFT)
    misc |= np.where(found.count > ERR_COUNT_MAX, np.uint64(COUNTER_OVERFLOW), zeros)
    ipid = np.uint64(UMC) | channel.astype(np.uint64) << np.uint64(CHANNEL_SHIFT)
    address = np.where(found.is_located, normalised, zeros)
    return RegisterColumns(status, address, misc, chip_select.astype(np.uint64), ipid)
