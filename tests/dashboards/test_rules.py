"""Alerts fire after, not before; a missed scrape, a restart and three events rouse nobody."""

import re
from pathlib import Path

import pytest

from agent.adapters.catalogue import TABLE
from dashboards import rules
from dashboards.__main__ import HERE, files
from dashboards.rules import ALERTS, RECORDINGS, Alert
from tests.dashboards.cases import (
    CALLS,
    PAUSE,
    STATE,
    STORIES,
    Series,
    Story,
    flat,
    histogram,
    rising,
    series,
    told_of,
)
from tests.support.prometheus import promtool as asked

RULES = HERE / "rules" / "pagewarden.rules.yml"
RUNBOOKS = (HERE / "runbooks.md").read_text(encoding="utf-8")
ALERTMANAGER = (HERE / "alertmanager.yml").read_text(encoding="utf-8")

needs_promtool = pytest.mark.usefixtures("promtool")


def named(story: Story) -> str:
    return story.alert


def test_every_alert_has_a_story() -> None:
    assert [story.alert for story in STORIES] == [alert.name for alert in ALERTS]


@needs_promtool
@pytest.mark.parametrize("story", STORIES, ids=named)
def test_an_alert_fires_after_and_not_before(story: Story, tmp_path: Path) -> None:
    firing = {story.before: (), story.after: (story.alert, *story.others)}
    assert not told_of(story.series, firing, RULES, tmp_path, story.step)


@needs_promtool
@pytest.mark.parametrize("story", STORIES, ids=named)
def test_a_missed_scrape_does_not_resolve_it(story: Story, tmp_path: Path) -> None:
    """At the very minute at which the series have ended."""
    holed = story.with_a_missed_scrape_at(story.after)
    firing = {story.after: (story.alert, *story.others)}
    assert not told_of(holed.series, firing, RULES, tmp_path, story.step)


@needs_promtool
@pytest.mark.parametrize("story", STORIES, ids=named)
def test_a_missed_scrape_does_not_fire_it(story: Story, tmp_path: Path) -> None:
    holed = story.with_a_missed_scrape_at(story.before - story.step)
    assert not told_of(holed.series, {story.before: ()}, RULES, tmp_path, story.step)


COUNTERS: Series = {
    **series("pagewarden_ereports_lost_total", flat((7, 20), (0, 20))),
    **series("pagewarden_pages_evicted_total", flat((7, 20), (0, 20))),
    **series("pagewarden_uncorrected_errors_total", flat((7, 20), (0, 20)), dimm="A"),
    **series("pagewarden_messages_refused_total", flat((70, 20), (0, 20)), kind="malformed"),
    **series("pagewarden_memory_errors_total", flat((9000, 20), (0, 20)), dimm="A"),
    **series("pagewarden_caps_reached_total", flat((7, 20), (0, 20)), refusal="replace_dimm"),
    **series(CALLS, flat((70, 20), (0, 20)), call="suspend", outcome="failed"),
    **series(CALLS, flat((7, 20), (0, 20)), call="exchange", outcome="guest_may_be_damaged"),
    **histogram(PAUSE, flat((70, 20), (0, 20)), "0.25", "0.5"),
    **series("process_start_time_seconds", flat((1, 20), (1200, 20))),
    **series("up", flat((1, 19), (0, 1), (1, 20))),
}


@needs_promtool
def test_a_restart_rouses_nobody(tmp_path: Path) -> None:
    """Every counter begins anew, and what an earlier life had counted is no news."""
    quiet: dict[int, tuple[str, ...]] = dict.fromkeys((19, 20, 21, 25, 35), ())
    assert not told_of(COUNTERS, quiet, RULES, tmp_path)


SELDOM = (
    histogram(PAUSE, flat((0, 5), (3, 40)), "0.25", "0.5"),
    histogram("pagewarden_commit_duration_seconds", flat((0, 5), (3, 40)), "2.5", "5"),
    histogram("pagewarden_ereport_delay_seconds", flat((0, 5), (3, 40)), "60", "300"),
    series("pagewarden_messages_refused_total", flat((0, 5), (3, 40)), kind="malformed"),
    series(CALLS, flat((0, 5), (3, 40)), call="suspend", outcome="failed"),
    series("process_start_time_seconds", flat((1, 5), (300, 5), (600, 40))),
)


@needs_promtool
@pytest.mark.parametrize("few", SELDOM, ids=lambda few: next(iter(few)).partition("{")[0])
def test_a_few_of_what_matters_only_in_numbers_rouse_nobody(few: Series, tmp_path: Path) -> None:
    assert not told_of(few, dict.fromkeys((6, 15, 30, 44), ()), RULES, tmp_path)


USUAL = {
    **series(CALLS, rising(0, 5, 40), call="page_offline_pending", outcome="refused"),
    **series("pagewarden_caps_reached_total", rising(0, 5, 40), refusal="pauses_cap"),
    **series(STATE, flat((5, 40)), state="parked"),
    **series(STATE, tuple(float(at % 2) for at in range(40)), state="suspending"),
    **series("pagewarden_memory_errors_total", flat((0, 5), (500, 35)), dimm="A"),
    **series("pagewarden_mode", flat((1, 40)), mode="enforce"),
}


@needs_promtool
def test_what_is_usual_rouses_nobody(tmp_path: Path) -> None:
    """Refusals, pages put off, parked ones, guests stopped for a moment, a burst that is over."""
    assert not told_of(USUAL, {10: (), 25: (), 39: ()}, RULES, tmp_path)


@needs_promtool
def test_a_story_that_is_told_wrongly_is_found_out(tmp_path: Path) -> None:
    """The checks above can fail."""
    story = STORIES[0]
    assert "PagewardenDown" in told_of(story.series, {story.after: ()}, RULES, tmp_path)
    wrong = {story.before: (story.alert,)}
    assert "PagewardenDown" in told_of(story.series, wrong, RULES, tmp_path)


@needs_promtool
def test_promtool_likes_the_rules() -> None:
    done = asked("check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("path", "text"), list(files()), ids=lambda value: getattr(value, "name", "")
)
def test_a_written_file_is_as_it_would_be_written_now(path: Path, text: str) -> None:
    """Else: python -m dashboards"""
    assert path.read_text(encoding="utf-8") == text


def test_the_runbooks_are_of_the_alerts_in_their_order() -> None:
    assert re.findall(r"^### (\w+)$", RUNBOOKS, re.MULTILINE) == [alert.name for alert in ALERTS]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_a_runbook_says_who_is_hurt_where_to_look_and_what_then(alert: Alert) -> None:
    section = RUNBOOKS.partition(f"### {alert.name}\n")[2].partition("\n### ")[0]
    places = [section.find(f"**{word}**") for word in ("Who is hurt", "Look first", "Then")]
    assert -1 < places[0] < places[1] < places[2]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_a_description_speaks_only_of_labels_that_its_alert_has(alert: Alert) -> None:
    """Prometheus prints nothing for another, and says nothing."""
    had = {"instance", *re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", alert.expr)))}
    if rules.DIMM_RATIO.name in alert.expr:
        had.add("dimm")
    assert set(re.findall(r"\$labels\.(\w+)", alert.description)) <= had


METRICS = {row.name for row in TABLE} | {"process_start_time_seconds"}


@pytest.mark.parametrize("rule", [*ALERTS, *RECORDINGS], ids=lambda rule: rule.name)
def test_a_rule_names_only_metrics_that_exist(rule: Alert | rules.Recording) -> None:
    recorded = {recording.name for recording in RECORDINGS}
    names = set(re.findall(r"[\w:]*(?:pagewarden|process)_[\w:]+", rule.expr)) - recorded
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in names} <= METRICS


def test_the_example_for_alertmanager_names_only_alerts_that_exist() -> None:
    named_there = set(re.findall(r"Pagewarden\w+", ALERTMANAGER))
    assert {"PagewardenDown"} <= named_there <= {alert.name for alert in ALERTS}
