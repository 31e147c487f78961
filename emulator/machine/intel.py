"""Readings as Intel's registers: the same bits that a `Bank` latches, for a whole column."""

from dataclasses import dataclass

import numpy as np

from agent.contract.columns import I64, U64
from emulator.machine.banks import (
    ADDRV,
    COUNT_SHIFT,
    EN,
    GREEN,
    MEMORY_READ,
    MEMORY_SCRUB,
    MISC_PHYSICAL,
    MISCV,
    OVER,
    UC,
    VAL,
    YELLOW,
    S,
)
from emulator.machine.harvests import Harvests


@dataclass(frozen=True, slots=True, eq=False)
class RegisterColumns:
    """What was read, a column a register; `synd` and `ipid` are AMD's, and 0 on Intel."""

    status: U64
    address: U64
    misc: U64
    synd: U64
    ipid: U64


def registers(found: Harvests, channel: I64, yellow_from: int | None = None) -> RegisterColumns:
    """`channel` is that of each reading's bank, as the error code has it: 0 to 15."""
    zeros = np.zeros(len(found), np.uint64)
    code = np.where(found.is_scrub | found.uncorrected, MEMORY_SCRUB, MEMORY_READ) | channel
    status = np.uint64(VAL) | code.astype(np.uint64)
    status |= np.where(found.is_located, np.uint64(MISCV | ADDRV), zeros)
    status |= np.where(found.is_over, np.uint64(OVER), zeros)
    status |= np.where(found.uncorrected, np.uint64(UC | EN | S), zeros)
    status |= found.count.astype(np.uint64) << np.uint64(COUNT_SHIFT)
    if yellow_from is not None:
        light = np.where(found.errors >= yellow_from, np.uint64(YELLOW), np.uint64(GREEN))
        status |= np.where(found.uncorrected, zeros, light)
    address = np.where(found.is_located, found.address, zeros)
    misc = np.where(found.is_located, np.uint64(MISC_PHYSICAL), zeros)
    return RegisterColumns(status, address, misc, zeros, zeros)
