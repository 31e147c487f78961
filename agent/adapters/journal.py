"""The agent's memory: ereports and cases, durable before anybody acts on them.

A start loads the snapshot of the engines, folds the batches after it over that, and picks up every
case where it was left.

The disk is used from one thread: the loop waits for the answer and never for the disk.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from agent.adapters.journal_file import explained
from agent.adapters.journal_store import JournalLimits, Store
from agent.clock import Clock, wall_clock
from agent.contract.codec import decode, pack
from agent.contract.columns import Batch
from agent.contract.errors import AgentError, Malformed
from agent.retirement.case import Case
from agent.retirement.request import Request

__all__ = ["Journal", "JournalLimits", "Recovered"]

T = TypeVar("T")

PIECE_BYTES = 1 << 20  # of a snapshot, written at once: some milliseconds
TAIL_CHUNK = 64  # batches read at once while recovering: some 3 MB


@dataclass(frozen=True, slots=True)
class Recovered:
    """What an earlier life left. `tail` reads the batches after `snapshot` as it goes."""

    snapshot: bytes | None
    tail: AsyncIterator[Batch]
    cases: tuple[Case, ...]
    next_case_number: int


@dataclass(slots=True)
class Journal:
    """Made by `open`. Every method raises `AgentError`: one line with the file and the fix."""

    _path: Path
    _clock: Clock
    _thread: ThreadPoolExecutor
    _store: Store
    _last_batch_id: int

    @classmethod
    async def open(
        cls, path: Path, limits: JournalLimits | None = None, clock: Clock = wall_clock
    ) -> Self:
        """The journal at `path`, made if it is not there, and ours alone until closed."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        try:
            store = await _run(thread, path, lambda: Store(path, limits or JournalLimits()))
        except BaseException:
            thread.shutdown()
            raise
        return cls(path, clock, thread, store, store.last_batch_id)

    @property
    def path(self) -> Path:
        return self._path

    async def close(self) -> None:
        """Finish what is under way, and let another agent have the file."""
        await self._do(self._store.close)
        self._thread.shutdown()

    async def commit(self, batches: Sequence[Batch], changed: Sequence[Case]) -> None:
        """Write down the ereports and the cases they changed, all or nothing.

        Returns only once they would survive a power cut.
        """
        self._last_batch_id = await self._do(
            partial(self._store.commit, list(map(pack, batches)), changed, self._clock())
        )

    async def save(self, *cases: Case) -> None:
        """Write down a step of each case, all or nothing.

        Returns only once they would survive a power cut.
        """
        await self._do(partial(self._store.save, cases))

    async def save_request(self, request: Request, *cases: Case) -> None:
        """Write down a request and a step of each case, all or nothing.

        Returns only once they would survive a power cut.
        """
        await self._do(partial(self._store.save_request, request, cases))

    async def requests(self) -> tuple[Request, ...]:
        """What operators asked for in this life and earlier ones."""
        return await self._do(self._store.requests)

    async def keep_refused(self, reason: str, payload: bytes) -> None:
        """Keep a message that was not let in, or its beginning; the oldest make room."""
        await self._do(partial(self._store.keep_refused, reason, payload, self._clock()))

    @property
    def last_batch_id(self) -> int:
        """Of the last batch whose commit has returned."""
        return self._last_batch_id

    async def snapshot(self, state: Callable[[], bytes], covered: int) -> None:
        """Write down what the batches up to `covered` come to; then let old batches go.

        Done in many small portions, each after the commits that have queued up meanwhile.
        """
        await self._do(self._store.begin_snapshot)
        pieces = await self._do(lambda: _pieces(state()))
        for number, piece in enumerate(pieces):
            await self._do(partial(self._store.write_piece, number, piece))
        await self._do(partial(self._store.end_snapshot, covered, len(pieces)))
        while await self._do(partial(self._store.forget, covered, self._clock())):
            pass

    async def recover(self) -> Recovered:
        """What an earlier life left."""
        covered, snapshot = await self._do(self._store.snapshot)
        cases = await self._do(self._store.cases)
        return Recovered(snapshot, self._tail(covered), cases, _next_number(cases))

    async def _tail(self, last_id: int) -> AsyncIterator[Batch]:
        while chunk := await self._do(partial(self._store.batches_after, last_id, TAIL_CHUNK)):
            for _, blob in chunk:
                yield self._batch(blob)
            last_id = chunk[-1][0]

    def _batch(self, blob: bytes) -> Batch:
        try:
            return decode(blob)
        except Malformed as error:
            raise AgentError(f"{self._path}: a batch cannot be read: {error}") from None

    async def history(self, case_id: str) -> tuple[tuple[int, str, str], ...]:
        """The steps of a case: when (nanoseconds since 1970 UTC), to which state, and why."""
        steps = await self._do(partial(self._store.steps, case_id))
        return tuple((case.moved_at_ns, case.state.value, case.why) for case in steps)

    async def _do(self, work: Callable[[], T]) -> T:
        return await _run(self._thread, self._path, work)


async def _run(thread: ThreadPoolExecutor, path: Path, work: Callable[[], T]) -> T:
    def explained_work() -> T:
        with explained(path):
            return work()

    return await asyncio.get_running_loop().run_in_executor(thread, explained_work)


def _pieces(state: bytes) -> list[bytes]:
    return [state[at : at + PIECE_BYTES] for at in range(0, len(state), PIECE_BYTES)]


def _next_number(cases: Sequence[Case]) -> int:
    """One more than the largest number that a case's id ends with."""
    endings = (re.search(r"\d+$", case.id) for case in cases)
    return 1 + max((int(ending[0]) for ending in endings if ending), default=0)
