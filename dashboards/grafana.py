"""Grafana's dashboards as Python has them: rows of panels, laid out from left to right.

What is written is the classic JSON (schema 39), which every Grafana from 10 on imports. Only what
our panels use is here. A row's title is a question, and its panels answer it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from dashboards.limits import Limit

Json = str | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]
Object = dict[str, Json]

SCHEMA = 39
WIDTH = 24  # of Grafana's grid
TAG = "pagewarden"
SOURCE: Object = {"type": "prometheus", "uid": "${datasource}"}

GREEN, AMBER, RED, BLUE = "green", "orange", "red", "blue"


class Kind(StrEnum):
    STAT = "stat"
    SERIES = "timeseries"
    BARS = "bargauge"
    TABLE = "table"
    HEATMAP = "heatmap"
    HISTORY = "status-history"


class Unit(StrEnum):
    """Grafana's names of what we show."""

    NUMBER = "locale"  # whole, and with all of its digits
    SECONDS = "s"
    BYTES = "bytes"
    RATIO = "percentunit"
    PER_SECOND = "cps"
    STATE = "none"


@dataclass(frozen=True, slots=True)
class Query:
    """`legend` may name labels: `{{dimm}}`. An instant one is asked for the end of the time only."""

    expr: str
    legend: str = ""
    instant: bool = False


Words = tuple[tuple[float, str, str], ...]  # a value, what stands in its place, in which colour


@dataclass(frozen=True, slots=True)
class Column:
    """Of a table: `name` is what Grafana calls it, a label or a query's value."""

    name: str
    title: str
    words: Words = ()

    @property
    def is_value(self) -> bool:
        return self.name.startswith("Value")


@dataclass(frozen=True, slots=True)
class Panel:
    """`limit` is the one that the alert has. `interval` is how fine it is at most.

    `words` are shown in place of values; `by_row` makes a heatmap's row of each series, where else
    it has the buckets of a histogram, whose unit is `unit`. `columns` are a table's, in order; it has the
    most of `worst`, one of them, on top.
    """

    kind: Kind
    title: str
    description: str
    unit: Unit
    queries: tuple[Query, ...]
    limit: Limit | None = None
    width: int = 8
    height: int = 8
    interval: str = ""
    words: Words = ()
    stacked: bool = False
    by_row: bool = False
    columns: tuple[Column, ...] = ()
    worst: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """`collapsed` for what not everybody has."""

    question: str
    panels: tuple[Panel, ...]
    collapsed: bool = False


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top, whose values are those of a label."""

    name: str
    label: str
    metric: str
    of: str

    @property
    def query(self) -> str:
        return f"label_values({self.metric}, {self.of})"


@dataclass(frozen=True, slots=True)
class Dashboard:
    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...]
    span: str = "now-24h"
    annotations: tuple[tuple[str, str, str], ...] = field(default=())  # name, colour, expression

    @property
    def panels(self) -> tuple[Panel, ...]:
        return tuple(panel for row in self.rows for panel in row.panels)


def as_json(board: Dashboard) -> Object:
    """The dashboard as Grafana imports it."""
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.description,
        "tags": [TAG],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,  # one cross-hair for all
        "timezone": "utc",
        "refresh": "1m",
        "time": {"from": board.span, "to": "now"},
        "links": [_links()],
        "templating": {"list": [_source_variable(), *map(_variable, board.variables)]},
        "annotations": {"list": [_annotation(*given) for given in board.annotations]},
        "panels": list(_laid_out(board.rows)),
    }


def _links() -> Object:
    return {
        "type": "dashboards",
        "title": "pagewarden",
        "tags": [TAG],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
    }


def _source_variable() -> Object:
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "refresh": 1,
    }


def _variable(given: Variable) -> Object:
    return {
        "type": "query",
        "name": given.name,
        "label": given.label,
        "datasource": SOURCE,
        "query": {"query": given.query, "refId": given.name},
        "refresh": 2,  # with the time
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _annotation(name: str, colour: str, expr: str) -> Object:
    return {
        "name": name,
        "datasource": SOURCE,
        "enable": True,
        "iconColor": colour,
        "expr": expr,
        "step": "60s",
        "titleFormat": name,
        "textFormat": "{{instance}} {{alertname}} {{dimm}}",
    }


def _laid_out(rows: Iterable[Row]) -> Iterator[Object]:
    """A row's heading, and its panels below it, as many beside each other as there is room for."""
    number, top = 1, 0
    for row in rows:
        placed, below = _placed(row.panels, top + 1)
        inside = [_panel(panel, number + 1 + at, place) for at, (panel, place) in enumerate(placed)]
        yield _heading(row, number, top, inside if row.collapsed else [])
        if not row.collapsed:
            yield from inside
        number += 1 + len(inside)
        top = top + 1 if row.collapsed else below


def _placed(panels: Iterable[Panel], top: int) -> tuple[list[tuple[Panel, Object]], int]:
    """Each panel and its place, and where the next row begins."""
    placed: list[tuple[Panel, Object]] = []
    left = tallest = 0
    for panel in panels:
        if left + panel.width > WIDTH:
            top, left, tallest = top + tallest, 0, 0
        placed.append((panel, {"x": left, "y": top, "w": panel.width, "h": panel.height}))
        left, tallest = left + panel.width, max(tallest, panel.height)
    return placed, top + tallest


def _heading(row: Row, number: int, top: int, inside: Sequence[Object]) -> Object:
    return {
        "type": "row",
        "id": number,
        "title": row.question,
        "collapsed": row.collapsed,
        "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
        "panels": inside,
    }


def _panel(panel: Panel, number: int, place: Object) -> Object:
    told: Object = {
        "type": panel.kind.value,
        "id": number,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": [_target(query, at, panel) for at, query in enumerate(panel.queries)],
        "fieldConfig": {
            "defaults": _defaults(panel),
            "overrides": [_override(column) for column in panel.columns],
        },
        "options": OPTIONS[panel.kind](panel),
        "transformations": _transformations(panel),
    }
    return told | ({"interval": panel.interval} if panel.interval else {})


def _target(query: Query, at: int, panel: Panel) -> Object:
    kind = panel.kind
    is_histogram = kind is Kind.HEATMAP and not panel.by_row
    return {
        "refId": chr(ord("A") + at),
        "datasource": SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": query.instant,
        "range": not query.instant,
        "format": "table" if kind is Kind.TABLE else "heatmap" if is_histogram else "time_series",
    }


def _defaults(panel: Panel) -> Object:
    unit = Unit.NUMBER if panel.kind is Kind.HEATMAP else panel.unit  # of what is counted
    whole: Object = {"decimals": 0} if unit is Unit.NUMBER else {}
    from_zero: Object = {"min": 0} if panel.kind is Kind.BARS else {}
    return {
        "unit": unit.value,
        **whole,
        **from_zero,
        "color": _colour(panel),
        "thresholds": {"mode": "absolute", "steps": steps(panel.limit)},
        "mappings": _mappings(panel.words),
        "noValue": "none",
        "custom": CUSTOM.get(panel.kind, _nothing)(panel),
    }


def _override(column: Column) -> Object:
    """Words for values, and letters as they are: a serial number may look like a number."""
    properties: list[Json] = [] if column.is_value else [{"id": "unit", "value": "string"}]
    if column.words:
        properties += [
            {"id": "mappings", "value": _mappings(column.words)},
            {"id": "custom.cellOptions", "value": {"type": "color-text"}},
        ]
    return {"matcher": {"id": "byName", "options": column.title}, "properties": properties}


def _colour(panel: Panel) -> Object:
    """Lines differ from each other; all else is as good or bad as it is, or plain."""
    is_many = panel.kind in {Kind.SERIES, Kind.HEATMAP}
    return {"mode": "palette-classic" if is_many else "thresholds"}


def steps(limit: Limit | None) -> list[Json]:
    """Green up to the limit; for a floor, from it on."""
    if limit is None:
        return [{"color": BLUE, "value": None}]
    if limit.is_floor:
        return [{"color": RED, "value": None}, {"color": GREEN, "value": limit.warn}]
    page: list[Json] = [] if limit.page is None else [{"color": RED, "value": limit.page}]
    warn: list[Json] = [] if limit.page == limit.warn else [{"color": AMBER, "value": limit.warn}]
    return [{"color": GREEN, "value": None}, *warn, *page]


def _mappings(words: Words) -> Json:
    options: Object = {
        f"{value:g}": {"text": text, "color": colour, "index": at}
        for at, (value, text, colour) in enumerate(words)
    }
    return [{"type": "value", "options": options}] if options else []


def _nothing(_: Panel) -> Object:
    return {}


def _series_custom(panel: Panel) -> Object:
    return {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 40 if panel.stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if panel.limit else "off"},
    }


def _table_custom(_: Panel) -> Object:
    return {"align": "auto", "cellOptions": {"type": "auto"}}


def _history_custom(_: Panel) -> Object:
    return {"lineWidth": 0, "fillOpacity": 80}


CUSTOM: dict[Kind, Callable[[Panel], Object]] = {
    Kind.SERIES: _series_custom,
    Kind.TABLE: _table_custom,
    Kind.HISTORY: _history_custom,
}

_LAST: Object = {"calcs": ["lastNotNull"], "fields": "", "values": False}


def _stat(_: Panel) -> Object:
    return {
        "reduceOptions": _LAST,
        "colorMode": "background",
        "graphMode": "area",
        "textMode": "auto",
        "justifyMode": "auto",
        "orientation": "auto",
    }


def _series(_: Panel) -> Object:
    return {
        "legend": {
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
            "calcs": ["lastNotNull", "max"],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _bars(_: Panel) -> Object:
    return {
        "reduceOptions": _LAST,
        "displayMode": "gradient",
        "orientation": "horizontal",
        "showUnfilled": True,
        "valueMode": "color",
    }


def _table(panel: Panel) -> Object:
    order: list[Json] = [{"displayName": panel.worst, "desc": True}] if panel.worst else []
    return {"showHeader": True, "cellHeight": "sm", "sortBy": order}


def _heatmap(panel: Panel) -> Object:
    axis: Object = {"axisPlacement": "left"}
    return {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "mode": "scheme",
            "scheme": "Oranges",
            "fill": "dark-orange",
            "scale": "exponential",
            "exponent": 0.5,
            "steps": 64,
            "reverse": False,
        },
        "filterValues": {"le": 1e-9},  # no cell where nothing was
        "yAxis": axis if panel.by_row else axis | {"unit": panel.unit.value},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": True},
        "legend": {"show": True},
    }


def _history(_: Panel) -> Object:
    return {
        "showValue": "never",
        "rowHeight": 0.9,
        "colWidth": 0.95,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "single", "sort": "none"},
    }


OPTIONS = {
    Kind.STAT: _stat,
    Kind.SERIES: _series,
    Kind.BARS: _bars,
    Kind.TABLE: _table,
    Kind.HEATMAP: _heatmap,
    Kind.HISTORY: _history,
}


def _transformations(panel: Panel) -> Json:
    """A table is the queries' answers side by side, with the columns that are wanted."""
    if panel.kind is not Kind.TABLE:
        return []
    names = [column.name for column in panel.columns]
    return [
        {"id": "merge", "options": {}},
        {"id": "filterFieldsByName", "options": {"include": {"names": names}}},
        {
            "id": "organize",
            "options": {
                "indexByName": {name: at for at, name in enumerate(names)},
                "renameByName": {column.name: column.title for column in panel.columns},
                "excludeByName": {},
            },
        },
    ]
