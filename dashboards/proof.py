"""Ask a real Prometheus everything that a dashboard would: does each panel have something to show?

    python -m dashboards.proof http://127.0.0.1:9090

The JSON is read as it is committed, and variables are put in as Grafana does it.
"""

import json
import math
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboards.lint import Board, Panel, panels_of

DEADLINE_SECONDS = 60
POINTS_MAX = 300  # of a panel of ordinary width

# Nothing of the kind happens on a good day.
MAY_BE_ZERO = frozenset(
    {
        "Pages, rows and banks forgotten",
        "Banks found failing",
        "Uncorrected errors",
        "Errors without a page",
        "Guests that do not run",
        "Guests that may be damaged",
        "Harm to guests",
        "Cases dropped",
        "Cases whose guest stands still",
        "Found stopped at a start",
        "DIMMs to replace",
        "Ereports lost, 24 h",
        "Put off",
    }
)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Asked:
    """A time that somebody looks at, and who is asked about it."""

    prometheus: str
    end: float
    seconds: float = 86_400.0
    scrape_seconds: float = 15.0

    def findings(self, board: Board) -> list[str]:
        """All that is wrong with what a dashboard gets to show."""
        return [*self._about_variables(board), *self._about_annotations(board), *self._about(board)]

    def _about(self, board: Board) -> Iterator[str]:
        for panel in panels_of(board):
            values = [value for target in panel["targets"] for value in self._values(panel, target)]
            wrong = next((value for value in values if isinstance(value, str)), "")
            numbers = [value for value in values if not isinstance(value, str)]
            what = wrong or _wrong_with(numbers, may_be_zero=panel["title"] in MAY_BE_ZERO)
            if what:
                yield f"{panel['title']}: {what}"

    def _values(self, panel: Panel, target: dict[str, Any]) -> Iterator[float | str]:
        """Every number that it would show; a sentence in place of an answer that is none."""
        expr, _, reply = self._answer(panel, target)
        if reply["status"] != "success":
            yield f"{reply['error']} in {expr}"
            return
        for series in reply["data"]["result"]:
            pairs = series.get("values") or [series["value"]]
            yield from (float(value) for _, value in pairs)

    def answers(self, panel: Panel) -> list[dict[str, Any]]:
        """What is answered to each of its queries, word for word, and at which step in seconds."""
        told = ((target["refId"], self._answer(panel, target)) for target in panel["targets"])
        return [{"refId": name, "step": step, "reply": reply} for name, (_, step, reply) in told]

    def _answer(self, panel: Panel, target: dict[str, Any]) -> tuple[str, float, dict[str, Any]]:
        """A query as it is sent, its step, and the reply."""
        step = max(_seconds(panel.get("interval", "")), self.seconds / POINTS_MAX)
        step = max(math.ceil(step), self.scrape_seconds)
        expr = self._expanded(target["expr"], step)
        return expr, step, self._ask_for(expr, step, instant=target["instant"])

    def _ask_for(self, expr: str, step: float, *, instant: bool) -> dict[str, Any]:
        if instant:
            return self._get("query", query=expr, time=self.end)
        begin = self.end - self.seconds
        return self._get("query_range", query=expr, start=begin, end=self.end, step=step)

    def _expanded(self, expr: str, step: float) -> str:
        """All hosts, all DIMMs; the longest names first, for some begin with others."""
        window = max(step + self.scrape_seconds, 4 * self.scrape_seconds)
        for name, value in {
            "$__rate_interval": f"{window:.0f}s",
            "$__interval": f"{step:.0f}s",
            "$__range": f"{self.seconds:.0f}s",
            "$instance": ".*",
            "$job": ".*",
            "$dimm": ".*",
        }.items():
            expr = expr.replace(name, value)
        return expr

    def _about_variables(self, board: Board) -> Iterator[str]:
        for variable in board["templating"]["list"]:
            if variable["type"] == "query" and not self._choices(variable["query"]["query"]):
                yield f"the variable {variable['name']} has nothing to choose from"

    def _choices(self, query: str) -> list[str]:
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        if found is None:
            return []
        matching = {"match[]": self._expanded(found[1], self.scrape_seconds)}
        between = {"start": self.end - self.seconds, "end": self.end}
        choices: list[str] = self._get(f"label/{found[2]}/values", **matching, **between)["data"]
        return choices

    def _about_annotations(self, board: Board) -> Iterator[str]:
        for annotation in board["annotations"]["list"]:
            reply = self._ask_for(self._expanded(annotation["expr"], 60), 60, instant=False)
            if reply["status"] != "success":
                yield f"the annotation {annotation['name']}: {reply['error']}"

    def _get(self, path: str, **parameters: float | str) -> dict[str, Any]:
        url = f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=DEADLINE_SECONDS) as reply:  # noqa: S310 - the user's own
                answer: dict[str, Any] = json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                answer = json.load(error)
        return answer


def _wrong_with(numbers: Sequence[float], *, may_be_zero: bool) -> str:
    finite = [number for number in numbers if math.isfinite(number)]
    if not numbers:
        return "no data"
    if not finite:
        return "nothing but NaN"
    return "always zero" if not any(finite) and not may_be_zero else ""


def _seconds(interval: str) -> float:
    return float(interval[:-1]) * _UNITS[interval[-1]] if interval else 0.0


def main() -> int:
    """The findings about our own dashboards, a line each; exit code 1 if there are any."""
    asked = Asked(sys.argv[1], time.time())
    found = [
        f"{path.name}: {what}"
        for path in sorted((Path(__file__).parent / "grafana").glob("*.json"))
        for what in asked.findings(json.loads(path.read_text(encoding="utf-8")))
    ]
    sys.stdout.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
