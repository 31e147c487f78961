"""Mischief: what was asked for happens to the call it names, so often, and to no other."""

import pytest
from pydantic import ValidationError

from emulator.mischief import ABOUT_PAGES, CALLS, RULES_MAX, TIMED, WHERE, Do, Mischief, Name, Rule


def mischief(*rules: Rule) -> Mischief:
    made = Mischief()
    for rule in rules:
        made.add(rule)
    return made


def a_rule(call: Name, do: Do, *, skip: int = 0) -> Rule:
    return Rule(call=call, do=do, skip=skip, seconds=1.0 if do in TIMED else None)


def met(found: Mischief, call: Name, times: int) -> list[Do | None]:
    """What happens to `call`, asked so many times."""
    rules = [found.meet(call) for _ in range(times)]
    return [None if rule is None else rule.do for rule in rules]


EACH = [(call, do) for do in Do for call in sorted(WHERE.get(do, CALLS))]


@pytest.mark.parametrize(("call", "do"), EACH)
def test_a_thing_happens_once_to_the_call_it_was_asked_for(call: Name, do: Do) -> None:
    assert met(mischief(a_rule(call, do)), call, 2) == [do, None]


@pytest.mark.parametrize(("call", "do"), EACH)
def test_it_does_not_happen_to_another_call(call: Name, do: Do) -> None:
    found = mischief(a_rule(call, do))
    assert {found.meet(other) for other in CALLS - {call}} == {None}


def test_it_happens_so_many_times() -> None:
    found = mischief(Rule(call=Name.SAVE, do=Do.FAIL, times=2))
    assert met(found, Name.SAVE, 3) == [Do.FAIL, Do.FAIL, None]
    assert list(found) == []


def test_it_may_happen_without_end() -> None:
    found = mischief(Rule(call=Name.SAVE, do=Do.FAIL, times="unlimited"))
    assert met(found, Name.SAVE, 100) == [Do.FAIL] * 100


def test_so_many_calls_are_let_by_first() -> None:
    found = mischief(Rule(call=Name.OFFLINE, do=Do.CRASH_HOST, skip=2))
    assert met(found, Name.OFFLINE, 4) == [None, None, Do.CRASH_HOST, None]


@pytest.mark.parametrize("do", Do)
def test_a_star_is_every_call_that_it_can_happen_to(do: Do) -> None:
    rule = a_rule(Name.ANY, do).model_copy(update={"times": "unlimited"})
    found = mischief(rule)
    assert {call for call in CALLS if found.meet(call)} == WHERE.get(do, CALLS)


def test_the_first_rule_that_is_due_is_what_happens() -> None:
    found = mischief(
        Rule(call=Name.SAVE, do=Do.FAIL, skip=1),
        Rule(call=Name.ANY, do=Do.REFUSE),
    )
    assert met(found, Name.SAVE, 3) == [Do.REFUSE, Do.FAIL, None]


def test_a_rule_that_is_cleared_happens_no_more() -> None:
    found = mischief(a_rule(Name.SAVE, Do.FAIL), a_rule(Name.SAVE, Do.REFUSE))
    found.clear(1)
    found.clear(1)
    assert met(found, Name.SAVE, 2) == [Do.REFUSE, None]


def test_all_can_be_cleared_at_once_and_no_number_comes_again() -> None:
    found = mischief(a_rule(Name.SAVE, Do.FAIL), a_rule(Name.SAVE, Do.REFUSE))
    found.clear()
    assert list(found) == []
    assert found.add(a_rule(Name.SAVE, Do.FAIL)) == 3


def test_there_are_so_many_rules_and_no_more() -> None:
    found = mischief(*[a_rule(Name.SAVE, Do.FAIL)] * RULES_MAX)
    with pytest.raises(ValueError, match="clear some first"):
        found.add(a_rule(Name.SAVE, Do.FAIL))


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"call": "suspend", "do": "half_way"}, "half_way cannot happen to suspend; it can to: ex"),
        ({"call": "query", "do": "damage"}, "damage cannot happen to query"),
        ({"call": "query", "do": "slow"}, "they need it"),
        ({"call": "query", "do": "fail", "seconds": 1.0}, "seconds belongs to `slow`"),
        ({"call": "query", "do": "fail", "times": 0}, "greater than or equal to 1"),
        ({"call": "query", "do": "fail", "times": "often"}, "unlimited"),
    ],
)
def test_what_cannot_happen_is_refused(rule: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Rule.model_validate(rule)


def test_damage_is_a_word_about_guests_only() -> None:
    assert not WHERE[Do.DAMAGE] & ABOUT_PAGES
