"""The index on columns is a plain dict, whatever comes and goes, however long its chains are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.diagnosis.index import NOBODY, Index
from tests.support.batches import numbers

ROWS = 12
KEYS = st.integers(0, 30) | st.integers(0, (1 << 63) - 1)
PORTIONS = st.lists(st.tuples(st.booleans(), st.lists(KEYS, max_size=ROWS)), max_size=12)


@given(portions=PORTIONS, asked=st.lists(KEYS, min_size=1))
def test_every_key_is_found_where_it_was_put_until_it_is_removed(
    portions: list[tuple[bool, list[int]]], asked: list[int]
) -> None:
    column = np.full(ROWS + 1, -1, np.int64)
    index, known = Index(column), dict[int, int]()
    for removes, keys in portions:
        chosen = [key for key in dict.fromkeys(keys) if (key in known) is removes]
        if removes:
            index.remove(numbers(chosen), numbers(known.pop(key) for key in chosen))
            continue
        free = [row for row in range(1, ROWS + 1) if row not in known.values()]
        put = dict(zip(chosen, free, strict=False))
        column[list(put.values())] = list(put)
        index.add(numbers(put), numbers(put.values()))
        known |= put
    everything = [*asked, *known]
    assert index.find(numbers(everything)).tolist() == [
        known.get(key, NOBODY) for key in everything
    ]
