"""What a dashboard of ours must keep to, looked for in the JSON as it is committed.

Each finding is a sentence that begins with the panel's title.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

from agent.adapters.catalogue import TABLE
from dashboards.grafana import SOURCE, TAG, WIDTH
from emulator.edges.exposition import TABLE as TRUTH

Board = dict[str, Any]  # as JSON has it
Panel = dict[str, Any]

PROCESS = ("process_start_time_seconds", "process_resident_memory_bytes")
METRICS = frozenset({*(row.name for row in TABLE), *(row.name for row in TRUTH), *PROCESS, "up"})

# What is told, and stands on no panel, with the reason.
UNSHOWN = {
    "pagewarden_case_messages_coalesced_total": "of interest to whoever follows cases over MQTT",
    "pagewarden_gaps_total": "missing ereports are shown, and say more",
    "pagewarden_marks_unlisted_total": "it counts starts at a hypervisor, and does not change between",
    "pagewarden_policy_reloads_total": "whoever reloads a policy reads in the log what came of it",
    "pagewarden_truth_ereports_total": "errors are shown, and an ereport may tell of many",
    "pagewarden_truth_broken_frames": "uncorrected errors are shown",
    "pagewarden_truth_boots_total": "when the host was up is shown",
}

_NAME = re.compile(r"\b(?:pagewarden|process)_\w+|\bup(?=\{)")
_SUFFIX = re.compile(r"_(bucket|sum|count)$")
_OF_A_COUNTER = re.compile(r"\b(?:rate|increase)\((\w+)")
_SHORT_RATE = re.compile(r"\brate\([^[]*\[\d+[sm]\]")


def findings(board: Board) -> list[str]:
    """All that is wrong with it; nothing, if it is as it should be."""
    panels = panels_of(board)
    return [
        *_about_the_whole(board),
        *_about_the_grid(board["panels"]),
        *_about_what_comes_twice(board),
        *(f"{panel['title'] or '?'}: {what}" for panel in panels for what in _about(panel)),
    ]


def panels_of(board: Board) -> list[Panel]:
    """Those with something on them, of collapsed rows too."""
    flat = [inner for panel in board["panels"] for inner in (panel, *panel.get("panels", ()))]
    return [panel for panel in flat if panel["type"] != "row"]


def _about_the_whole(board: Board) -> Iterator[str]:
    if not board.get("uid"):
        yield "it has no uid: an import would make a second one"
    if board.get("id") is not None:
        yield "it has the id of some server"
    if board.get("editable"):
        yield "it can be edited in Grafana, where the change would be lost"
    if TAG not in board.get("tags", ()):
        yield f"it lacks the tag {TAG} by which the others find it"
    if not any(link.get("includeVars") and link.get("keepTime") for link in board["links"]):
        yield "no link leads to the others with the same hosts and the same time"
    if len(board["annotations"]["list"]) < 2:
        yield "it does not mark firing alerts and starts of the agent"
    variables = {variable["name"]: variable["type"] for variable in board["templating"]["list"]}
    if variables.get("datasource") != "datasource" or not {"job", "instance"} <= {*variables}:
        yield "it does not let one choose data source, job and host"
    for panel in board["panels"]:
        if panel["type"] == "row" and "?" not in panel["title"]:
            yield f"its row {panel['title']!r} asks nothing"


def _about_the_grid(panels: list[Panel]) -> Iterator[str]:
    taken: Counter[tuple[int, int]] = Counter()
    for panel in panels:
        place = panel["gridPos"]
        if place["x"] + place["w"] > WIDTH:
            yield f"{panel['title']}: sticks out on the right"
        columns = range(place["x"], place["x"] + place["w"])
        lines = range(place["y"], place["y"] + place["h"])
        cells = [(x, y) for x in columns for y in lines]
        if any(taken[cell] for cell in cells):
            yield f"{panel['title']}: lies on another panel"
        taken.update(cells)


def _about_what_comes_twice(board: Board) -> Iterator[str]:
    flat = [inner for panel in board["panels"] for inner in (panel, *panel.get("panels", ()))]
    for what in ("id", "title"):
        seen = Counter(panel.get(what) for panel in flat)
        yield from (f"{value}: this {what} is there twice" for value, n in seen.items() if n > 1)


def _about(panel: Panel) -> Iterator[str]:
    defaults = panel["fieldConfig"]["defaults"]
    if not panel.get("description"):
        yield "it does not say what one sees"
    if not defaults.get("unit"):
        yield "its numbers have no unit"
    if not defaults["thresholds"]["steps"]:
        yield "its colours have no thresholds"
    if panel.get("datasource") != SOURCE:
        yield "its data source cannot be chosen"
    if not panel["targets"]:
        yield "it asks nothing"
    yield from _about_columns(panel)
    for target in panel["targets"]:
        yield from _about_query(panel, target["expr"], is_range=target["range"])


def _about_columns(panel: Panel) -> Iterator[str]:
    """Grafana numbers the columns of values only where there are several of them."""
    organized = (step["options"] for step in panel["transformations"] if step["id"] == "organize")
    names = {name for options in organized for name in options["renameByName"]}
    queries = [target["refId"] for target in panel["targets"]]
    known = {f"Value #{query}" for query in queries} if len(queries) > 1 else {"Value"}
    for name in sorted(name for name in names - known if name.startswith("Value")):
        yield f"it has no column {name}"


def _about_query(panel: Panel, expr: str, *, is_range: bool) -> Iterator[str]:
    for name in sorted(names_in(expr) - METRICS):
        yield f"there is no metric {name}"
    if "pagewarden_truth_" not in expr and 'instance=~"$instance"' not in expr:
        yield "it shows hosts that were not chosen"
    for name in _OF_A_COUNTER.findall(expr):
        if not name.endswith(("_total", "_bucket", "_sum", "_count")):
            yield f"{name} is no counter, and has no rate"
    if _SHORT_RATE.search(expr) and not re.search(r"rate\([^[]*\[(1h|5m)\]", expr):
        yield "its rate has a window of its own: use $__rate_interval"
    if "$__interval" in expr and not panel.get("interval"):
        yield "its interval has no lower bound"
    if is_range and "topk(" in expr and "@ end()" not in expr:
        yield "topk over a range of time shows many more than k: ask for one moment"


def names_in(expr: str) -> set[str]:
    """The metrics that it names, by the names of the table."""
    return {_SUFFIX.sub("", name) if name not in METRICS else name for name in _NAME.findall(expr)}


def unshown(boards: Collection[Board]) -> list[str]:
    """Metrics on no panel that are not meant to be on none, and the other way round."""
    shown = {
        name
        for board in boards
        for panel in panels_of(board)
        for target in panel["targets"]
        for name in names_in(target["expr"])
    }
    return [
        *(f"{name} is on no panel" for name in sorted(METRICS - shown - UNSHOWN.keys())),
        *(f"{name} is on a panel, and listed as on none" for name in sorted(shown & {*UNSHOWN})),
        *(f"{name} is listed, and does not exist" for name in sorted({*UNSHOWN} - METRICS)),
    ]
