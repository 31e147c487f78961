"""Plots as SVG text, drawn by hand: two axes, steps, lines, bars. Nothing is fetched from anywhere.

Everything is drawn on the same small canvas, as wide as a telephone, so that letters stay readable
there; a larger screen shows it larger. Colours are classes, which the page's style sheet knows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import log10

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 18, 10, 42

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Axis:
    """From `low` to `high`, with a label at each tick. If it is logarithmic, both are above 0."""

    title: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    log: bool = False

    def part(self, value: float) -> float:
        """How far along it is: 0 to 1. What is beyond an end is at the end."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        return min(max((self._scaled(value) - low) / (high - low), 0.0), 1.0)

    def _scaled(self, value: float) -> float:
        return log10(max(value, self.low)) if self.log else value


@dataclass(frozen=True, slots=True)
class Plot:
    """A canvas with two axes; each method gives a piece of SVG for `drawn`."""

    x: Axis
    y: Axis

    def drawn(self, what: str, pieces: Iterable[str]) -> str:
        """The whole picture; `what` is read to those who do not see it."""
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(what)}">'
            f"{self._axes()}{''.join(pieces)}</svg>"
        )

    def line(self, points: Iterable[Point], style: str) -> str:
        path = " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in points)
        return f'<polyline class="{style}" points="{path}"/>'

    def dots(self, points: Iterable[Point], style: str) -> str:
        return "".join(
            f'<circle class="{style}" cx="{self._x(x):.1f}" cy="{self._y(y):.1f}" r="3"/>'
            for x, y in points
        )

    def column(self, low: float, high: float, to: float, title: str) -> str:
        """A bar from the foot of the plot, with a gap to its neighbour."""
        left, right, top = self._x(low), self._x(high), self._y(to)
        return (
            f'<rect class="found" x="{left + 0.5:.1f}" y="{top:.1f}" '
            f'width="{max(right - left - 1, 0.5):.1f}" height="{self._y(self.y.low) - top:.1f}">'
            f"<title>{escape(title)}</title></rect>"
        )

    def upright(self, at: float, label: str) -> str:
        """A line to compare with, and what it is."""
        x = self._x(at)
        return (
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
            f'<text class="note" x="{x + 5:.1f}" y="{TOP + 10}">{escape(label)}</text>'
        )

    def _axes(self) -> str:
        return "".join([*map(self._x_tick, self.x.ticks), *map(self._y_tick, self.y.ticks)]) + (
            f'<text class="title" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" '
            f'text-anchor="middle">{escape(self.x.title)}</text>'
        )

    def _x_tick(self, tick: tuple[float, str]) -> str:
        x, y = self._x(tick[0]), HEIGHT - BOTTOM + 16
        return f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{escape(tick[1])}</text>'

    def _y_tick(self, tick: tuple[float, str]) -> str:
        y = self._y(tick[0])
        return (
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(tick[1])}</text>'
        )

    def _x(self, value: float) -> float:
        return LEFT + self.x.part(value) * (WIDTH - LEFT - RIGHT)

    def _y(self, value: float) -> float:
        return HEIGHT - BOTTOM - self.y.part(value) * (HEIGHT - TOP - BOTTOM)


@dataclass(frozen=True, slots=True)
class Bar:
    """One of a list of shares, and the share that was expected."""

    name: str
    found: float
    expected: float
    note: str


def bars(what: str, shares: Sequence[Bar]) -> str:
    """One below the other, each with a mark where it was expected to end."""
    step, left, right = 28, 84, 52
    most = max(max(each.found, each.expected) for each in shares)
    scale = (WIDTH - left - right) / most
    rows = [_bar(each, 4 + step * at, left, scale) for at, each in enumerate(shares)]
    height = step * len(shares) + 8
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(what)}">'
        f"{''.join(rows)}</svg>"
    )


def _bar(bar: Bar, top: int, left: int, scale: float) -> str:
    mark = left + bar.expected * scale
    return (
        f'<text x="{left - 8}" y="{top + 15}" text-anchor="end">{escape(bar.name)}</text>'
        f'<rect class="found" x="{left}" y="{top + 2}" width="{bar.found * scale:.1f}" height="18">'
        f"<title>{escape(bar.note)}</title></rect>"
        f'<line class="expected" x1="{mark:.1f}" x2="{mark:.1f}" y1="{top - 1}" y2="{top + 23}"/>'
        f'<text x="{WIDTH - 4}" y="{top + 15}" text-anchor="end">{100 * bar.found:.1f} %</text>'
    )
