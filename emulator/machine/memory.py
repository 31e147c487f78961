"""Where an address lies: socket, channel, DIMM, rank, bank, row and column, and the way back.

A machine address is taken apart from the outside in. Runs of addresses go round the sockets, runs
of what is left round the channels of each; what a channel gets fills one row in every bank of every
rank of every DIMM on it before the next row begins:

    socket, channel   round and round, in runs; or each socket has one range of its own
    in a channel      (((row × DIMMs + DIMM) × ranks + rank) × banks + bank) × columns + column

Two bits of that are not what they seem, as in real controllers. Bank and bank group are XORed with
the lowest bits of the row, so that a stride of one row's size meets all banks; and if the channels
are hashed, all higher bits of the address choose among them too. Each XOR is with bits that stay as
they are, so it is its own way back: addresses and places are one to one.

A column is the 8 bytes that one beat of the channel carries. What is below is no place of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import lcm
from typing import Self
from zlib import crc32

import numpy as np

from agent.contract.columns import I64
from agent.contract.ereport import Module
from agent.contract.frames import PAGE_SIZE
from agent.contract.hypercall import Interleave

COLUMN_BYTES = 8
_ADDRESS_BITS = 48


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where some addresses lie, a column a coordinate; `bank` counts within its bank group."""

    socket: I64
    channel: I64
    slot: I64
    rank: I64
    bank_group: I64
    bank: I64
    row: I64
    column: I64

    def __len__(self) -> int:
        return len(self.socket)

    def same_as(self, other: Self) -> bool:
        """True if all are the same (arrays have no truth of their own)."""
        return all(
            np.array_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)
        )


@dataclass(frozen=True, slots=True)
class Geometry:
    """How much there is of everything. `channels` are a socket's, `ranks` a DIMM's.

    A run is the bytes in a row that one socket, or one channel, gets; `socket_run` 0 is one run for
    each socket. `memory` is what the host has of it, in bytes.
    """

    memory: int
    sockets: int = 1
    channels: int = 8
    dimms_per_channel: int = 1
    ranks: int = 2
    bank_groups: int = 8
    banks_per_group: int = 4
    row_bytes: int = 8192
    socket_run: int = 0
    channel_run: int = PAGE_SIZE
    bank_hash: bool = True
    channel_hash: bool = False
    part: str = "PGWD-DDR5-4800"

    def __post_init__(self) -> None:
        for name in ("bank_groups", "banks_per_group", "row_bytes", "channel_run"):
            if not _is_power_of_two(getattr(self, name)):
                raise ValueError(f"{name} must be a power of two (got {getattr(self, name)})")
        if self.socket_run and not _is_power_of_two(self.socket_run):
            raise ValueError(f"socket_run must be 0 or a power of two (got {self.socket_run})")
        if min(self.row_bytes, self.channel_run, self.socket_run or 64) < 64:
            raise ValueError("row_bytes and runs must be at least 64: a cache line stays whole")
        if self.channel_hash and not _is_power_of_two(self.channels):
            raise ValueError(f"channel_hash needs 1, 2, 4 or 8 channels, and not {self.channels}")
        if self.memory < 1:
            raise ValueError(f"memory must be at least 1 (got {self.memory})")

    @property
    def capacity(self) -> int:
        """Of all DIMMs: `memory`, and up to a whole number of rows what firmware keeps of them."""
        a_row = self.dimms * self.ranks * self.banks * self.row_bytes
        channels = self.sockets * self.channels
        unit = lcm(a_row, channels * self.channel_run, self.sockets * (self.socket_run or 1))
        return -(-self.memory // unit) * unit

    @property
    def dimms(self) -> int:
        return self.sockets * self.channels * self.dimms_per_channel

    @property
    def banks(self) -> int:
        """Of a rank."""
        return self.bank_groups * self.banks_per_group

    @property
    def rows(self) -> int:
        """Of a bank."""
        return self.capacity // (self.dimms * self.ranks * self.banks * self.row_bytes)

    @property
    def columns(self) -> int:
        """Of a row."""
        return self.row_bytes // COLUMN_BYTES

    @property
    def extents(self) -> dict[str, int]:
        """How many there are of each coordinate, by its name in `Places`."""
        return {
            "socket": self.sockets,
            "channel": self.channels,
            "slot": self.dimms_per_channel,
            "rank": self.ranks,
            "bank_group": self.bank_groups,
            "bank": self.banks_per_group,
            "row": self.rows,
            "column": self.columns,
        }

    @property
    def labels(self) -> tuple[str, ...]:
        """As the silk screen says it, in the order in which `dimm_of` counts."""
        return tuple(
            f"CPU{socket}_C{channel}_D{slot}"
            for socket in range(self.sockets)
            for channel in range(self.channels)
            for slot in range(self.dimms_per_channel)
        )

    @property
    def interleave(self) -> Interleave | None:
        """Which DIMM each page lies on, if that is as simple as one page after the other."""
        turns = self.channel_run * self.channels
        one_turn = self.sockets == 1 or self.socket_run in {self.channel_run, turns}
        in_pages = self.channel_run % PAGE_SIZE == 0
        if self.channel_hash or self.dimms_per_channel > 1 or not in_pages or not one_turn:
            return None
        firsts = self.places(np.arange(self.dimms, dtype=np.int64) * self.channel_run)
        order: list[int] = self.dimm_of(firsts).tolist()
        labels = tuple(self.labels[dimm] for dimm in order)
        return Interleave(dimms=labels, pages=self.channel_run // PAGE_SIZE)

    def modules(self, seed: int, replaced: Mapping[str, int]) -> tuple[Module, ...]:
        """The DIMM in each slot; `replaced` is how often there was put another one."""
        return tuple(
            Module(
                label=label,
                part=self.part,
                serial=_serial(f"{seed}/{label}/{replaced.get(label, 0)}"),
            )
            for label in self.labels
        )

    def dimm_of(self, places: Places) -> I64:
        """Which of `labels`."""
        channel = places.socket * self.channels + places.channel
        return channel * self.dimms_per_channel + places.slot

    def slot_of(self, dimm: int) -> tuple[int, int, int]:
        """Its socket, its channel there, and its slot on that: the way back from `dimm_of`."""
        channel, slot = divmod(dimm, self.dimms_per_channel)
        return *divmod(channel, self.channels), slot

    def bank_of(self, places: Places) -> I64:
        """Counted flat within the rank, as ereports count."""
        return places.bank_group * self.banks_per_group + places.bank

    def dimm_on(self, channel: int) -> int | None:
        """The DIMM on a socket's `channel`, where that is enough to tell."""
        return channel if self.sockets * self.dimms_per_channel == 1 else None

    def places(self, addresses: I64) -> Places:
        """Where they lie. They are below `capacity`."""
        in_socket, socket = _taken_out(addresses, self._socket_run, self.sockets)
        in_channel, channel = _taken_out(in_socket, self.channel_run, self.channels)
        rest, byte = _split(in_channel, self.row_bytes)
        rest, bank = _split(rest, self.banks)
        rest, rank = _split(rest, self.ranks)
        row, slot = _split(rest, self.dimms_per_channel)
        group, bank = _split(self._bank_hashed(bank, row), self.banks_per_group)
        channel = self._channel_hashed(channel, in_channel)
        return Places(socket, channel, slot, rank, group, bank, row, byte // COLUMN_BYTES)

    def addresses(self, places: Places) -> I64:
        """The first byte of each place."""
        bank = self._bank_hashed(self.bank_of(places), places.row)
        rest = places.row * self.dimms_per_channel + places.slot
        rest = (rest * self.ranks + places.rank) * self.banks + bank
        in_channel = rest * self.row_bytes + places.column * COLUMN_BYTES
        channel = self._channel_hashed(places.channel, in_channel)
        in_socket = _put_in(in_channel, channel, self.channel_run, self.channels)
        return _put_in(in_socket, places.socket, self._socket_run, self.sockets)

    @property
    def _socket_run(self) -> int:
        return self.socket_run or self.capacity // self.sockets

    def _bank_hashed(self, bank: I64, row: I64) -> I64:
        return bank ^ (row & (self.banks - 1)) if self.bank_hash else bank

    def _channel_hashed(self, channel: I64, in_channel: I64) -> I64:
        if not self.channel_hash:
            return channel
        return channel ^ _folded(in_channel // self.channel_run, self.channels)


def _taken_out(values: I64, run: int, of: int) -> tuple[I64, I64]:
    """What is left of `values` without the digit that goes round `of` once in `run`; the digit."""
    if of == 1:
        return values, np.zeros_like(values)
    runs, below = _split(values, run)
    rounds, digit = _split(runs, of)
    return rounds * run + below, digit


def _put_in(values: I64, digit: I64, run: int, of: int) -> I64:
    """The way back from `_taken_out`."""
    if of == 1:
        return values
    rounds, below = _split(values, run)
    return (rounds * of + digit) * run + below


def _folded(values: I64, of: int) -> I64:
    """All digits to the base `of` XORed into one, so that each bit of `values` has its say."""
    folded = np.zeros_like(values)
    for shift in range(0, _ADDRESS_BITS, max(of.bit_length() - 1, 1)):
        folded ^= values >> shift
    return folded & (of - 1)


def _split(values: I64, radix: int) -> tuple[I64, I64]:
    """Quotient and rest; numpy divides by one number far faster than `divmod` does."""
    quotient = values // radix
    return quotient, values - quotient * radix


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def _serial(of: str) -> str:
    return f"{crc32(of.encode()):08X}"
