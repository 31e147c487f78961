"""What came late, and found its page full of newer times.

A clock that was a year ahead and is put right leaves pages whose newest times lie in the future.
Errors that are counted from then on are older than those, and would be forgotten at once: the page
would be blind for a year. So they are put aside, the last N - 1 of a page to arrive, and late
records are held against them too.

A record in order never needs them: if one of them lay in its window, so would all of the page's
newer times, and that is N.

Only pages that saw such a record are here, and only the last `PAGES_MAX` of them.
"""

from collections.abc import Callable

import numpy as np

from agent.contract.columns import I64, Bools
from agent.diagnosis.slots import NEVER

PAGES_MAX = 4096


class Aside:
    """Up to `width` times each of up to `PAGES_MAX` pages."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._times: dict[int, list[int]] = {}

    def of(self, key: int) -> list[int]:
        return self._times.get(key, [])

    def put(self, key: int, times: list[int]) -> None:
        """Add what `key` has no room for; what it had longest makes way."""
        kept = [*self._times.pop(key, []), *times]
        kept = kept[max(0, len(kept) - self._width) :]
        if kept:
            self._times[key] = kept
        if len(self._times) > PAGES_MAX:
            del self._times[next(iter(self._times))]

    def drop(self, key: int) -> None:
        self._times.pop(key, None)

    def let_go(self, chosen: Callable[[I64], Bools]) -> None:
        """Drop all whose keys are `chosen`."""
        keys = np.array(list(self._times), np.int64)
        for key in keys[chosen(keys)].tolist():
            self.drop(key)

    def columns(self) -> dict[str, I64]:
        """All of it, a row a page, for a snapshot."""
        times = np.full((len(self._times), self._width), NEVER, np.int64)
        for row, kept in zip(times, self._times.values(), strict=True):
            row[: len(kept)] = kept
        return {"aside_keys": np.array(list(self._times), np.int64), "aside_times": times}

    def fill(self, aside_keys: I64, aside_times: I64) -> None:
        """Take over what `columns` gave, of any width."""
        for key, times in zip(aside_keys.tolist(), aside_times.tolist(), strict=True):
            self.put(key, [time for time in times if time != NEVER])
