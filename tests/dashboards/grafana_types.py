"""The dashboards as TypeScript, so that Grafana's own types can be held against them.

A statement a line: what the compiler says of a line is told of the part that stands there. Queries
are left out (Prometheus itself is asked about them), and so are the few keys that belong to the
data source, which Grafana has no types for.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboards.lint import panels_of
from tests.support import node

TYPES = Path(__file__).parents[2] / "dashboards" / "types"
CHECKED = TYPES / "node_modules" / ".checked"  # what is compiled, where nobody minds
COMPILER = TYPES / "node_modules" / "typescript" / "bin" / "tsc"

KINDS = {
    "stat": "stat/panelcfg/x/StatPanelCfg",
    "timeseries": "timeseries/panelcfg/x/TimeSeriesPanelCfg",
    "bargauge": "bargauge/panelcfg/x/BarGaugePanelCfg",
    "table": "table/panelcfg/x/TablePanelCfg",
    "heatmap": "heatmap/panelcfg/x/HeatmapPanelCfg",
    "status-history": "statushistory/panelcfg/x/StatusHistoryPanelCfg",
}
WITH_CUSTOM = frozenset({"timeseries", "table", "heatmap", "status-history"})
OF_THE_SOURCE = frozenset({"expr", "step", "titleFormat", "textFormat"})  # of an annotation

# What may be left out is left out, and an enum is written as its value.
PLAIN = (
    "type Plain<T> = T extends string ? `${T}` : T extends number ? number : "
    "T extends boolean | null | undefined ? T : "
    "T extends readonly (infer U)[] ? readonly Plain<U>[] : "
    "T extends object ? { readonly [K in keyof T]?: Plain<T[K]> } : T;"
)

SETTINGS = {
    "compilerOptions": {
        "strict": True,
        "noEmit": True,
        "skipLibCheck": True,
        "module": "esnext",
        "moduleResolution": "bundler",
        "target": "es2022",
        "types": [],
    },
    "files": ["check.ts"],
}


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a dashboard, and the type that Grafana has for it."""

    where: str
    type: str
    value: Any


def parts_of(board: dict[str, Any]) -> Iterator[Part]:
    apart = {"panels", "templating", "annotations"}
    whole = {key: value for key, value in board.items() if key not in apart}
    yield Part("the whole", "Dashboard", whole)
    for variable in board["templating"]["list"]:
        yield Part(f"variable {variable['name']}", "VariableModel", variable)
    for annotation in board["annotations"]["list"]:
        known = {key: value for key, value in annotation.items() if key not in OF_THE_SOURCE}
        yield Part(f"annotation {annotation['name']}", "AnnotationQuery", known)
    for panel in panels_of(board):
        yield from _parts_of_panel(panel)


def _parts_of_panel(panel: dict[str, Any]) -> Iterator[Part]:
    title, kind = panel["title"], panel["type"].replace("-", "_")
    apart = {"options", "fieldConfig", "targets"}
    yield Part(title, "Panel", {k: v for k, v in panel.items() if k not in apart})
    yield Part(f"{title}: options", f"{kind}.Options", panel["options"])
    defaults, overrides = dict(panel["fieldConfig"]["defaults"]), panel["fieldConfig"]["overrides"]
    custom = defaults.pop("custom")
    yield Part(f"{title}: defaults", "FieldConfig", defaults)
    yield Part(f"{title}: overrides", "FieldConfigSource['overrides']", overrides)
    if panel["type"] in WITH_CUSTOM:
        yield Part(f"{title}: custom", f"{kind}.FieldConfig", custom)


def findings(board: dict[str, Any]) -> list[str]:
    """What Grafana's types do not know, or know otherwise; a line each."""
    lines, parts = [*_head()], list(parts_of(board))
    first = len(lines) + 1
    for number, part in enumerate(parts):
        value = json.dumps(part.value, ensure_ascii=False)
        lines.append(f"export const part{number}: Plain<{part.type}> = {value};")
    said = _compiled("\n".join(lines) + "\n")
    found = re.findall(r"check\.ts\((\d+),\d+\): error \w+: (.+)$", said, re.MULTILINE)
    if said and not found:
        return [said]
    return [f"{parts[int(line) - first].where}: {what}" for line, what in found]


def _head() -> Iterator[str]:
    names = "AnnotationQuery, Dashboard, FieldConfig, FieldConfigSource, Panel, VariableModel"
    yield f'import type {{ {names} }} from "@grafana/schema";'
    for kind, path in KINDS.items():
        module = f"@grafana/schema/dist/esm/raw/composable/{path}_types.gen"
        yield f'import type * as {kind.replace("-", "_")} from "{module}";'
    yield PLAIN


def _compiled(program: str) -> str:
    """What the compiler has to say."""
    CHECKED.mkdir(exist_ok=True)
    (CHECKED / "check.ts").write_text(program, encoding="utf-8")
    (CHECKED / "tsconfig.json").write_text(json.dumps(SETTINGS), encoding="utf-8")
    return node.run([str(COMPILER), "-p", str(CHECKED)]).said
