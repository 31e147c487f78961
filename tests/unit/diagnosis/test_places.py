"""Where errors lie: sums of a batch, whatever is not known of its places."""

from agent.contract.columns import UNKNOWN, Kind
from agent.diagnosis.places import bank_errors, dimm_uncorrected
from tests.support.batches import a_batch


def test_errors_are_added_up_bank_by_bank() -> None:
    batch = a_batch(
        range(4),
        dimms=["A", "B", "A", "A"],
        banks=[(0, 3), (1, 2), (0, 3), (1, 3)],
        counts=[2, 1, 0, 5],
    )
    assert bank_errors(batch) == ((("A", 0, 3), 3), (("A", 1, 3), 5), (("B", 1, 2), 1))


def test_an_error_whose_place_is_not_known_in_full_is_at_no_bank() -> None:
    batch = a_batch(range(3), dimms=["A", None, "A"], banks=[(0, UNKNOWN), (0, 3), (UNKNOWN, 3)])
    assert bank_errors(batch) == ()


def test_the_largest_coordinates_keep_apart() -> None:
    largest = (1 << 15) - 1
    batch = a_batch(range(2), dimms=["A", "A"], banks=[(largest, 0), (0, largest)])
    assert bank_errors(batch) == ((("A", 0, largest), 1), (("A", largest, 0), 1))


def test_places_beyond_the_table_are_added_up_alike() -> None:
    largest = (1 << 15) - 1
    banks = [(largest, 1), (0, 2), (largest, 1), (0, 2)]
    batch = a_batch(range(4), dimms=["A", "B", "A", "A"], banks=banks, counts=[2, 1, 3, 4])
    wanted = ((("A", 0, 2), 4), (("A", largest, 1), 5), (("B", 0, 2), 1))
    assert bank_errors(batch) == wanted


def test_uncorrected_errors_are_told_by_dimm_and_those_of_nobody_knows_which_too() -> None:
    kinds = [Kind.UE, Kind.CE, Kind.UE, Kind.UE]
    batch = a_batch(range(4), dimms=["A", "A", None, "B"], kinds=kinds)
    assert dimm_uncorrected(batch, "unknown") == (("A", 1), ("B", 1), ("unknown", 1))


def test_a_batch_of_nothing_has_no_errors_anywhere() -> None:
    assert bank_errors(a_batch([])) == ()
    assert dimm_uncorrected(a_batch([]), "unknown") == ()
