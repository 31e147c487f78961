"""Which row holds which key, asked and told for many keys at once.

A hash table with chains, as columns: `heads` has the first row of each chain, `next` the row behind
each row. A lookup takes one step along all chains together, and goes on with those that have not
come to their key; with as many chains as rows few go on, and after some six steps none does.
Chains rather than open addressing, because a key can be taken out of the middle of one: there are
no tombstones, and nothing is ever built anew.

Row 0 holds nobody: every chain ends there, and memory that was never written reads as empty.
"""

import numpy as np

from agent.contract.columns import I32, I64, U64, Bools

NOBODY = 0
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: Knuth's multiplier


class Index:
    """For keys of `keys`, a column that the owner keeps; rows are 1 to `len(keys)` - 1."""

    def __init__(self, keys: I64) -> None:
        self._keys = keys
        bits = max(1, (len(keys) - 1).bit_length())
        self._shift = np.uint64(64 - bits)
        self._heads: I32 = np.zeros(1 << bits, np.int32)
        self._next: I32 = np.zeros(len(keys), np.int32)

    def _chains(self, keys: I64) -> U64:
        hashed: U64 = keys.view(np.uint64) * _GOLDEN
        hashed >>= self._shift
        return hashed

    def find(self, keys: I64) -> I64:
        """The row of each of `keys`; `NOBODY` for those that are not there."""
        rows = self._heads[self._chains(keys)].astype(np.int64)
        astray = np.flatnonzero(self._keys[rows] != keys)
        while len(astray):
            rows[astray] = onward = self._next[rows[astray]]
            astray = astray[(self._keys[onward] != keys[astray]) & (onward != NOBODY)]
        return rows

    def add(self, keys: I64, rows: I64) -> None:
        """Put distinct `keys`, none of them there, at the heads of their chains."""
        chains = self._chains(keys)
        while len(rows):
            self._next[rows] = self._heads[chains]
            self._heads[chains] = rows
            behind = self._heads[chains] != rows  # where several shared a chain, one is its head
            chains, rows = chains[behind], rows[behind]

    def remove(self, keys: I64, rows: I64) -> None:
        """Take `keys`, which are at `rows`, out of their chains."""
        gone = np.zeros(len(self._next), np.bool_)
        gone[rows] = True
        chains = self._chains_of(keys)
        stay = self._staying(self._heads[chains], gone)
        self._heads[chains] = stay
        while len(stay := stay[stay != NOBODY]):
            behind = self._staying(self._next[stay], gone)
            self._next[stay] = behind
            stay = behind

    def _chains_of(self, keys: I64) -> I64:
        """The chains in which these are, each once: marking them is faster than sorting them."""
        concerned = np.zeros(len(self._heads), np.bool_)
        concerned[self._chains(keys)] = True
        return np.flatnonzero(concerned)

    def _staying(self, rows: I32, gone: Bools) -> I32:
        """Each of `rows`, or the first row behind it that stays."""
        leaving = np.flatnonzero(gone[rows])
        while len(leaving):
            rows[leaving] = onward = self._next[rows[leaving]]
            leaving = leaving[gone[onward]]
        return rows
