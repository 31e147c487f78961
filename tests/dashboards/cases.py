"""Stories of an hour or two, told in samples, and which alerts are firing when.

promtool evaluates the real rules over them. A story is quiet at `before` and has its alert firing
at `after`; minutes are counted from 0, with a scrape in each.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.prometheus import promtool

WHERE = 'job="pagewarden",instance="h1"'

Values = tuple[float | None, ...]  # one a minute; None: the scrape was missed
Series = Mapping[str, Values]


def flat(*pieces: tuple[float, int]) -> Values:
    """Each value for so many minutes."""
    return tuple(value for value, minutes in pieces for _ in range(minutes))


def rising(start: int, per_minute: float, minutes: int, quiet: int = 0) -> Values:
    """A counter that stands at `start` for `quiet` minutes and rises from then on."""
    return flat((start, quiet)) + tuple(start + per_minute * at for at in range(1, minutes + 1))


def series(name: str, values: Values, **labels: str) -> Series:
    told = "".join(f',{key}="{value}"' for key, value in labels.items())
    return {f"{name}{{{WHERE}{told}}}": values}


def histogram(name: str, counts: Values, low: str, high: str) -> Series:
    """A histogram all of whose observations lie between two bounds of buckets."""
    whole = [count or 0 for count in counts]
    return {
        **series(f"{name}_bucket", flat((0, len(whole))), le=low),
        **series(f"{name}_bucket", counts, le=high),
        **series(f"{name}_bucket", counts, le="+Inf"),
        **series(f"{name}_count", counts),
        **series(f"{name}_sum", tuple(count * float(high) for count in whole)),
    }


@dataclass(frozen=True)
class Story:
    """`others` are alerts that fire with it, and rightly; a long story has a scrape each `step`."""

    alert: str
    series: Series
    before: int
    after: int
    others: tuple[str, ...] = ()
    step: int = 1

    def with_a_missed_scrape_at(self, minute: int) -> "Story":
        """All of the host's series end for a moment, as Prometheus has it."""
        holed = {
            name: tuple(
                None if at == minute // self.step else value for at, value in enumerate(values)
            )
            for name, values in self.series.items()
        }
        return replace(self, series=holed)


def told_of(
    told: Series, firing: Mapping[int, Iterable[str]], rules: Path, folder: Path, step: int = 1
) -> str:
    """What promtool finds wrong with the expectation; empty, if it is met."""
    path = folder / "story.json"  # JSON is YAML
    path.write_text(json.dumps(_document(told, firing, rules, step)), encoding="utf-8")
    done = promtool("test", "rules", path)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _document(told: Series, firing: Mapping[int, Iterable[str]], rules: Path, step: int) -> object:
    return {
        "rule_files": [str(rules)],
        "evaluation_interval": f"{step}m",
        "tests": [
            {
                "interval": f"{step}m",
                "input_series": [
                    {"series": name, "values": " ".join(map(_told, values))}
                    for name, values in told.items()
                ],
                "promql_expr_test": [_question(at, alerts) for at, alerts in firing.items()],
            }
        ],
    }


def _told(value: float | None) -> str:
    return "stale" if value is None else f"{value:g}"


def _question(at: int, alerts: Iterable[str]) -> object:
    return {
        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
        "eval_time": f"{at}m",
        "exp_samples": [
            {"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(alerts)
        ],
    }


STATE = "pagewarden_cases"
CALLS = "pagewarden_calls_total"
PAUSE = "pagewarden_guest_pause_seconds"

STORIES = (
    Story("PagewardenDown", series("up", flat((1, 5), (0, 30))), 9, 14),
    Story(
        "PagewardenRestarting",
        series("process_start_time_seconds", flat((1, 5), (300, 4), (540, 4), (780, 4), (999, 40))),
        16,
        18,
    ),
    Story("PagewardenUnhealthy", series("pagewarden_healthy", flat((1, 5), (0, 30))), 12, 18),
    Story(
        "PagewardenLoopStalled",
        histogram("pagewarden_event_loop_lag_seconds", rising(0, 10, 60), "0.5", "1"),
        8,
        20,
    ),
    Story(
        "PagewardenCommitsSlow",
        histogram("pagewarden_commit_duration_seconds", rising(0, 1, 60), "2.5", "5"),
        20,
        40,
    ),
    Story(
        "PagewardenObserving",
        series("pagewarden_mode", flat((1, 27 * 12)), mode="observe"),
        23 * 60,
        25 * 60,
        step=5,
    ),
    Story(
        "PagewardenBrokerAway", series("pagewarden_broker_connected", flat((1, 5), (0, 40))), 12, 18
    ),
    Story(
        "PagewardenEreportsLost",
        series("pagewarden_ereports_lost_total", flat((0, 10), (7, 30))),
        9,
        12,
    ),
    Story(
        "PagewardenEreportsMissing",
        series("pagewarden_ereports_missing", flat((0, 5), (3, 40))),
        22,
        28,
    ),
    Story(
        "PagewardenEreportsLate",
        histogram("pagewarden_ereport_delay_seconds", rising(0, 1, 60), "60", "300"),
        15,
        40,
    ),
    Story(
        "PagewardenMessagesRefused",
        series("pagewarden_messages_refused_total", rising(0, 1, 40, 5), kind="malformed"),
        8,
        20,
    ),
    Story(
        "PagewardenPagesForgotten",
        series("pagewarden_pages_evicted_total", flat((0, 10), (9, 30))),
        9,
        12,
    ),
    Story(
        "PagewardenUncorrectedError",
        series("pagewarden_uncorrected_errors_total", flat((0, 10), (1, 10)), dimm="A"),
        9,
        12,
    ),
    Story(
        "PagewardenDimmErrorsHigh",
        series("pagewarden_memory_errors_total", rising(0, 2, 90), dimm="A"),
        50,
        80,
    ),
    Story(
        "PagewardenBankFailing",
        series("pagewarden_failing_banks_total", flat((0, 10), (1, 10)), dimm="A"),
        9,
        12,
    ),
    Story(
        "PagewardenDimmWearing",
        {
            **series("pagewarden_dimm_pages", flat((40, 5), (56, 40)), dimm="A"),
            **series("pagewarden_dimm_pages_max", flat((64, 45))),
        },
        18,
        25,
    ),
    Story(
        "PagewardenDimmReplace",
        {
            **series("pagewarden_dimm_pages", flat((40, 5), (64, 40)), dimm="A"),
            **series("pagewarden_dimm_pages_max", flat((64, 45))),
        },
        18,
        25,
        ("PagewardenDimmWearing",),
    ),
    Story(
        "PagewardenRetiredMemoryHigh",
        {
            **series("pagewarden_retired_bytes", flat((4096, 5), (36864, 40))),
            **series("pagewarden_retired_bytes_max", flat((40960, 45))),
        },
        18,
        25,
    ),
    Story(
        "PagewardenCaseStuck",
        series("pagewarden_oldest_open_case_timestamp_seconds", flat((0, 5), (300, 60))),
        23,
        30,
    ),
    Story(
        "PagewardenPageParked",
        series("pagewarden_oldest_parked_case_timestamp_seconds", flat((0, 1), (300, 320))),
        24 * 60,
        24 * 60 + 15,
        step=5,
    ),
    Story(
        "PagewardenCapReached",
        series("pagewarden_caps_reached_total", flat((0, 10), (2, 10)), refusal="replace_dimm"),
        9,
        12,
    ),
    Story(
        "PagewardenCallsFailing",
        series(CALLS, rising(0, 1, 40, 5), call="suspend", outcome="failed"),
        10,
        20,
    ),
    Story("PagewardenGuestStopped", series(STATE, flat((0, 5), (1, 20)), state="resuming"), 8, 14),
    Story(
        "PagewardenGuestDamaged",
        series(CALLS, flat((0, 10), (1, 10)), call="exchange", outcome="guest_may_be_damaged"),
        9,
        12,
    ),
    Story(
        "PagewardenGuestPausesLong",
        {
            name: values
            for name, values in histogram(PAUSE, rising(0, 1, 60), "0.25", "0.5").items()
            if "_sum" not in name
        },
        20,
        40,
    ),
    Story(
        "PagewardenGuestPausesMany",
        series(f"{PAUSE}_sum", flat((0, 10)) + rising(0, 0.4, 30)),
        11,
        24,
    ),
)
