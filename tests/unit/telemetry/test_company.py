"""Whether an error was told already: by whom, where, how often and when."""

from agent.telemetry.company import PLACES_MAX, QUIET_NS, Company

HERE = 0x12345680
NOW = frozenset({1_000_000_000})


def after(*tellings: tuple[str, int | None]) -> Company:
    company = Company()
    for form, place in tellings:
        company.told(form, place, NOW)
    return company


def test_what_nobody_told_is_new() -> None:
    assert not after().knows("edac", HERE, NOW)


def test_what_another_form_told_is_known() -> None:
    assert after(("mce", HERE)).knows("edac", HERE, NOW)


def test_what_the_same_form_told_was_another_error() -> None:
    assert not after(("edac", HERE)).knows("edac", HERE, NOW)


def test_the_second_telling_of_a_form_is_about_the_second_error() -> None:
    company = after(("mce", HERE), ("edac", HERE))
    assert not company.knows("edac", HERE, NOW)
    company.told("edac", HERE, NOW)
    assert company.knows("mce", HERE, NOW)


def test_another_place_is_another_error() -> None:
    assert not after(("mce", HERE)).knows("edac", HERE + 64, NOW)


def test_errors_without_an_address_have_one_place() -> None:
    assert after(("mce", None)).knows("edac", None, NOW)


def test_a_place_that_was_quiet_is_forgotten() -> None:
    late = frozenset({1_000_000_000 + QUIET_NS + 1})
    assert not after(("mce", HERE)).knows("edac", HERE, late)


def test_one_clock_that_agrees_is_enough() -> None:
    """The log is stamped since boot, the record in UTC."""
    assert after(("mce", HERE)).knows("edac", HERE, frozenset({1_000_000_001, 17 * 10**17}))


def test_after_a_quiet_time_counting_begins_anew() -> None:
    company = after(("mce", HERE), ("mce", HERE))
    late = frozenset({1_000_000_000 + QUIET_NS + 1})
    company.told("edac", HERE, late)
    assert not company.knows("edac", HERE, late)


def test_who_tells_less_than_others_owes_the_rest() -> None:
    company = after(("edac", HERE), ("mce", HERE), ("edac", HERE), ("edac", None))
    assert company.owed(1_000_000_000) == {HERE: {"mce": 1}}


def test_nothing_is_owed_at_a_place_that_was_quiet() -> None:
    company = after(("edac", HERE), ("mce", HERE), ("edac", HERE))
    assert company.owed(1_000_000_000 + QUIET_NS + 1) == {}


def test_a_log_without_times_is_as_late_as_what_it_told_last() -> None:
    company = after(("edac", HERE), ("mce", HERE), ("edac", HERE))
    assert company.owed(None) == {HERE: {"mce": 1}}


def test_it_remembers_a_bounded_number_of_places() -> None:
    company = after(("mce", HERE), *(("mce", place) for place in range(PLACES_MAX)))
    assert not company.knows("edac", HERE, NOW)
    assert company.knows("edac", PLACES_MAX - 1, NOW)
