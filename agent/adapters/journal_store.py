"""What the journal's tables hold, and how it gets in and out. Blocking: for one thread alone.

    batches      the ereports as they were admitted, one packed blob a message
    transitions  every step of every case, the whole case each time; the last row is the case
    snapshots    what the engines made of the batches up to `batch_id`: one row, which names its
    pieces       written one by one, and of no meaning before that row is there
    requests     what operators asked for, each as it is now
    refused      messages that were not let in, for a person to look at

The batches after the snapshot are the *tail*. Retention takes from the front, and never from the
tail: without it the counters could not be made again.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from agent.adapters.journal_file import connect, lock, transaction
from agent.contract.codec import one_line
from agent.contract.errors import AgentError
from agent.retirement.case import Case
from agent.retirement.request import Request

REFUSED_MAX = 1000  # messages kept
REFUSED_BYTES_MAX = 64 << 10  # of each
STEPS_MAX = 256  # transitions kept of one case, the newest
FORGOTTEN_AT_ONCE = 64  # batches deleted in one go, so that no commit waits long for it

REQUESTS_MAX = 2000  # kept, the newest: many times what may be under way

_CASE = TypeAdapter(Case)
_REQUEST = TypeAdapter(Request)

# The id given last, whether or not that batch is still there.
_LAST_BATCH_ID = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'batches'"


@dataclass(frozen=True, slots=True)
class JournalLimits:
    """Batches are kept this long, and this many bytes of them at most; the oldest go first."""

    age_seconds: float = 90 * 86_400.0
    bytes_max: int = 4 << 30


class Store:
    """The open file. Each method that writes is one transaction, durable when it returns."""

    def __init__(self, path: Path, limits: JournalLimits) -> None:
        self._path = path
        self._limits = limits
        self._lock = lock(path)
        try:
            self._db = connect(path)
            self._bytes = self._number("SELECT coalesce(sum(bytes), 0) FROM batches")
            self.last_batch_id = self._number(_LAST_BATCH_ID)
            self._snapshot = 0
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    def commit(self, blobs: Sequence[bytes], changed: Sequence[Case], now_ns: int) -> int:
        """Write batches and the cases they changed; the id of the last batch."""
        last_batch_id = self.last_batch_id
        with transaction(self._db):
            for blob in blobs:
                cursor = self._db.execute(
                    "INSERT INTO batches (at_ns, bytes, ereports) VALUES (?, ?, ?)",
                    (now_ns, len(blob), blob),
                )
                last_batch_id = cursor.lastrowid or 0
            for case in changed:
                self._append(case)
        self._bytes += sum(map(len, blobs))
        self.last_batch_id = last_batch_id
        return self.last_batch_id

    def save(self, cases: Sequence[Case]) -> None:
        with transaction(self._db):
            for case in cases:
                self._append(case)
                self._forget_old_steps(case)

    def save_request(self, request: Request, cases: Sequence[Case]) -> None:
        with transaction(self._db):
            self._db.execute(
                """INSERT INTO requests (id, at_ns, body) VALUES (?1, ?2, ?3)
                   ON CONFLICT (id) DO UPDATE SET body = ?3""",
                (request.id, request.asked_at_ns, _REQUEST.dump_json(request).decode()),
            )
            self._db.execute(
                """DELETE FROM requests WHERE rowid <=
                   (SELECT rowid FROM requests ORDER BY rowid DESC LIMIT 1 OFFSET ?)""",
                (REQUESTS_MAX,),
            )
            for case in cases:
                self._append(case)

    def requests(self) -> tuple[Request, ...]:
        """Every request as it was written last, in the order in which they were made."""
        bodies = self._db.execute("SELECT body FROM requests ORDER BY rowid")
        return tuple(self._request(body) for (body,) in bodies)

    def _request(self, body: str) -> Request:
        try:
            return _REQUEST.validate_json(body)
        except ValidationError as error:
            raise AgentError(f"{self._path}: a request cannot be read: {one_line(error)}") from None

    def _forget_old_steps(self, case: Case) -> None:
        self._db.execute(
            """DELETE FROM transitions WHERE case_id = ?1 AND id <=
               (SELECT id FROM transitions WHERE case_id = ?1
                ORDER BY id DESC LIMIT 1 OFFSET ?2)""",
            (case.id, STEPS_MAX),
        )

    def _append(self, case: Case) -> None:
        body = _CASE.dump_json(case).decode()
        self._db.execute(
            "INSERT INTO transitions (case_id, mfn, at_ns, state, body) VALUES (?, ?, ?, ?, ?)",
            (case.id, case.mfn, case.moved_at_ns, case.state.value, body),
        )

    def keep_refused(self, reason: str, payload: bytes, now_ns: int) -> None:
        with transaction(self._db):
            cursor = self._db.execute(
                "INSERT INTO refused (at_ns, reason, payload) VALUES (?, ?, ?)",
                (now_ns, reason, payload[:REFUSED_BYTES_MAX]),
            )
            oldest = (cursor.lastrowid or 0) - REFUSED_MAX
            self._db.execute("DELETE FROM refused WHERE id <= ?", (oldest,))

    def begin_snapshot(self) -> None:
        """Make way for the pieces of a new one; the old one stays until the new one is whole."""
        query = "SELECT coalesce(max(snapshot), 0) FROM snapshots"
        with transaction(self._db):
            self._snapshot = self._number(query)
            self._db.execute("DELETE FROM pieces WHERE snapshot != ?", (self._snapshot,))
            self._snapshot += 1

    def write_piece(self, number: int, piece: bytes) -> None:
        with transaction(self._db):
            self._db.execute(
                "INSERT INTO pieces (snapshot, number, piece) VALUES (?, ?, ?)",
                (self._snapshot, number, piece),
            )

    def end_snapshot(self, covered: int, pieces: int) -> None:
        """The pieces are what the batches up to `covered` come to."""
        with transaction(self._db):
            self._db.execute(
                "INSERT OR REPLACE INTO snapshots VALUES (1, ?, ?, ?)",
                (covered, self._snapshot, pieces),
            )
            self._db.execute("DELETE FROM pieces WHERE snapshot != ?", (self._snapshot,))

    def forget(self, covered: int, now_ns: int) -> bool:
        """Let some of the batches go that are too old or too many; true if there may be more.

        Only those that a snapshot covers.
        """
        forgotten, freed, many = self._outlived(covered, now_ns)
        if not many:
            return False
        with transaction(self._db):
            self._db.execute("DELETE FROM batches WHERE id <= ?", (forgotten,))
        self._bytes -= freed
        return many == FORGOTTEN_AT_ONCE

    def _outlived(self, covered: int, now_ns: int) -> tuple[int, int, int]:
        """Up to which id batches are outlived, and how many bytes and batches that frees."""
        horizon_ns = now_ns - round(self._limits.age_seconds * 1e9)
        forgotten = freed = many = 0
        for batch_id, at_ns, size in self._db.execute(
            "SELECT id, at_ns, bytes FROM batches WHERE id <= ? ORDER BY id LIMIT ?",
            (covered, FORGOTTEN_AT_ONCE),
        ):
            if at_ns >= horizon_ns and self._bytes - freed <= self._limits.bytes_max:
                break
            forgotten, freed, many = batch_id, freed + size, many + 1
        return forgotten, freed, many

    def snapshot(self) -> tuple[int, bytes | None]:
        """The id of the last batch that the snapshot covers, and the snapshot."""
        row = self._db.execute("SELECT batch_id, snapshot, pieces FROM snapshots").fetchone()
        if row is None:
            return 0, None
        covered, snapshot, pieces = row
        state = b"".join(
            piece
            for (piece,) in self._db.execute(
                "SELECT piece FROM pieces WHERE snapshot = ? AND number < ? ORDER BY number",
                (snapshot, pieces),
            )
        )
        return covered, state

    def batches_after(self, batch_id: int, limit: int) -> list[tuple[int, bytes]]:
        return self._db.execute(
            "SELECT id, ereports FROM batches WHERE id > ? ORDER BY id LIMIT ?", (batch_id, limit)
        ).fetchall()

    def cases(self) -> tuple[Case, ...]:
        """Every case as it was written last."""
        bodies = self._db.execute(
            "SELECT body FROM transitions WHERE id IN "
            "(SELECT max(id) FROM transitions GROUP BY case_id) ORDER BY id"
        )
        return tuple(self._case(body) for (body,) in bodies)

    def steps(self, case_id: str) -> tuple[Case, ...]:
        """One case, as it was after each of its steps."""
        bodies = self._db.execute(
            "SELECT body FROM transitions WHERE case_id = ? ORDER BY id", (case_id,)
        )
        return tuple(self._case(body) for (body,) in bodies)

    def _case(self, body: str) -> Case:
        try:
            return _CASE.validate_json(body)
        except ValidationError as error:
            raise AgentError(f"{self._path}: a case cannot be read: {one_line(error)}") from None

    def _number(self, query: str) -> int:
        value: int = self._db.execute(query).fetchone()[0]
        return value
