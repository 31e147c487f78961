"""The dashboards, drawn by Grafana's own components in a real browser.

    dashboards/drawing/*.tsx ── esbuild ──► a page with draw(), faults(), smaller()
    the committed JSON, and what a real Prometheus answers to it ──► draw() ──► faults()

No Grafana server is in it. Stat, bar gauge, table and time series are those of `@grafana/ui` from
edge to edge, with units, words, thresholds and transformations of `@grafana/data`. Heatmap and
status history are in no package: they are cells of ours on its plot, axes and legend. Variables,
links, annotations and tooltips are not drawn.
"""

import base64
import json
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboards.lint import Board, panels_of
from dashboards.proof import Asked
from tests.support import chromium, node
from tests.support.chromium import Tab

DRAWING = Path(__file__).parents[2] / "dashboards" / "drawing"
MODULES = DRAWING / "node_modules"
BUNDLER = MODULES / "esbuild" / "bin" / "esbuild"
COMPILER = MODULES / "typescript" / "bin" / "tsc"
PAGE = MODULES / ".drawn"  # what is bundled, where nobody minds

WIDTHS = (1280, 390)
HEIGHT = 900
A_FILE_MAY_READ_FILES = "--allow-file-access-from-files"

BUNDLING = (
    "--bundle",
    "--minify",
    "--jsx=automatic",
    "--define:global=window",
    '--define:process.env.NODE_ENV="production"',
    "--loader:.svg=dataurl",
    "--loader:.png=dataurl",
    "--loader:.ttf=empty",  # of an editor that is never opened
    "--log-level=warning",
)

# What a Grafana server has at its public path: icons, and fonts by the names that it gives them.
FONTS = MODULES / "@fontsource" / "inter" / "files"
PUBLIC = {
    "build/img": MODULES / "@grafana" / "ui" / "dist" / "public" / "img",
    "fonts/inter/Inter-Regular.woff2": FONTS / "inter-latin-400-normal.woff2",
    "fonts/inter/Inter-Medium.woff2": FONTS / "inter-latin-500-normal.woff2",
}


def bundle() -> str:
    """Make the page; what the bundler had to say."""
    shutil.rmtree(PAGE, ignore_errors=True)
    PAGE.mkdir()
    shutil.copy(DRAWING / "index.html", PAGE)
    for name, there in PUBLIC.items():
        link = PAGE / "public" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(there)
    return node.run([str(BUNDLER), str(DRAWING / "main.tsx"), f"--outdir={PAGE}", *BUNDLING]).said


def type_errors() -> str:
    """What is wrong with our own script, by the types of Grafana."""
    return node.run([str(COMPILER), "-p", str(DRAWING)]).said


@dataclass(frozen=True, slots=True)
class Easel:
    """A browser that dashboards are drawn in."""

    tab: Tab
    asked: Asked

    async def faults(self, board: Board, width: int) -> list[str]:
        """Draw it so wide, and say what is wrong; the screen is as high as it has become."""
        await self._size(width, HEIGHT)
        await self.tab.said(f"draw({json.dumps(board)}, {json.dumps(self._look(board))})")
        found: list[str] = await self.tab.said("faults()")
        await self._size(width, await self.tab.said("document.documentElement.scrollHeight"))
        return [*found, *await self._undrawn(board), *self._complaints()]

    async def _undrawn(self, board: Board) -> list[str]:
        """Those that are nowhere on the page, because their row is closed."""
        there = "[...document.querySelectorAll('[data-panel]')].map(each => each.dataset.panel)"
        shown: list[str] = await self.tab.said(there)
        titles = [panel["title"] for panel in panels_of(board)]
        return [f"{title}: not drawn" for title in titles if title not in shown]

    def _look(self, board: Board) -> dict[str, Any]:
        """What there is to draw: the time, and all that Prometheus answers, word for word."""
        answers = {panel["id"]: self.asked.answers(panel) for panel in panels_of(board)}
        begin = self.asked.end - self.asked.seconds
        return {"from": begin, "to": self.asked.end, "answers": answers}

    async def _size(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.tab.do("Emulation.setDeviceMetricsOverride", **size)

    def _complaints(self) -> list[str]:
        """Of the browser itself."""
        thrown = [str(event) for event in self.tab.told("Runtime.exceptionThrown")]
        entries = [event["entry"] for event in self.tab.told("Log.entryAdded")]
        return thrown + [str(entry) for entry in entries if entry["level"] == "error"]

    async def picture(self) -> bytes:
        """What is on the screen, as a PNG small enough to be kept."""
        shot = await self.tab.do("Page.captureScreenshot", format="png")
        told: str = await self.tab.said(f"smaller({json.dumps(shot['data'])})")
        return base64.b64decode(told)


@asynccontextmanager
async def easel(folder: Path, asked: Asked) -> AsyncGenerator[Easel]:
    """The page that `bundle` has made, opened; `folder` is the browser's."""
    async with chromium.tab(folder, A_FILE_MAY_READ_FILES) as tab:
        await tab.do("Emulation.setScrollbarsHidden", hidden=True)
        await tab.go((PAGE / "index.html").as_uri())
        yield Easel(tab, asked)
