"""The table of pages: who makes room."""

import numpy as np
import pytest

from agent.contract.columns import I64
from agent.diagnosis.index import NOBODY
from agent.diagnosis.slots import Slots

ROWS = 50_000  # so many that not all are looked at to find who is to go
KEYS: I64 = np.arange(ROWS, dtype=np.int64)
WANTED: I64 = KEYS[:10] + ROWS
SHARE = ROWS // 16


def sampled_first() -> I64:
    """Every twelfth row was touched early: who looks at those alone takes all for early."""
    touched = np.empty(ROWS, np.int64)
    touched[np.argsort((KEYS + 1) % 12 != 0, kind="stable")] = KEYS
    return touched


ORDERS = {
    "as they came": KEYS,
    "the last ones first": KEYS[::-1],
    "in any order": np.random.default_rng(1).permutation(KEYS),
    "early where somebody looks": sampled_first(),
}


def full(touched: I64) -> Slots:
    slots = Slots(ROWS, 1)
    rows, _ = slots.rows_of(KEYS)
    slots.stamp(rows, touched, np.zeros(ROWS, np.bool_))
    return slots


@pytest.mark.parametrize("order", ORDERS)
def test_the_least_recent_make_room_whatever_the_order(order: str) -> None:
    touched = ORDERS[order]
    slots = full(touched)
    _, evicted = slots.rows_of(WANTED)
    gone = KEYS[slots.find(KEYS) == NOBODY]
    assert evicted == SHARE
    assert sorted(touched[gone]) == list(range(SHARE))


def test_who_is_in_the_batch_does_not_make_room_for_it() -> None:
    slots = full(KEYS)
    slots.rows_of(np.concatenate((WANTED, KEYS[:5])))
    gone = KEYS[slots.find(KEYS) == NOBODY]
    assert gone.tolist() == list(range(5, 5 + SHARE))


def test_a_batch_as_large_as_the_table_takes_all_of_it() -> None:
    slots = full(KEYS)
    rows, evicted = slots.rows_of(KEYS + ROWS)
    assert (evicted, len(slots), len(np.unique(rows))) == (ROWS, ROWS, ROWS)
