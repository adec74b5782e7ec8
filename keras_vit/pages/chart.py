"""Charts as SVG inside a page: their colours are those of the page, light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

_MOST_POINTS = 400  # of a line; more are thinner than a pixel


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A place to draw in: axes with ticks, and the parts that a caller adds.

    It is about as wide as a phone, so that its texts are readable there.

    Args:
        x, y: lowest and highest value of each axis.
        x_label, y_label: what they are, plain text.
        percent: whether the ticks of the axes are shares: (x, y).
        width, height: of the whole, in units of which a text is 12.
        whole: whether x takes whole numbers only, as epochs do.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    x_label: str
    y_label: str
    percent: tuple[bool, bool] = (False, False)
    width: float = 360
    height: float = 260
    whole: bool = False

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point is, in units of the drawing."""
        (left, right), (top, bottom) = self._inside()
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return left + across * (right - left), bottom - up * (bottom - top)

    def line(self, xs: Any, ys: Any, kind: str) -> str:
        """Return a line through points (N,), (N,); `kind` are CSS classes."""
        chosen = range(len(xs))
        if len(xs) > _MOST_POINTS:
            chosen = np.linspace(0, len(xs) - 1, _MOST_POINTS).round().astype(int)
        points = (self.place(float(xs[i]), float(ys[i])) for i in chosen)
        listed = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        return f'<polyline class="line {kind}" points="{listed}"/>'

    def dot(self, x: float, y: float, kind: str, said: str, radius: float = 4) -> str:
        """Return a point, and what is said when it is pointed at, plain text."""
        across, down = self.place(x, y)
        return (
            f'<circle class="dot {kind}" cx="{across:.1f}" cy="{down:.1f}" '
            f'r="{radius:g}"><title>{escape(said)}</title></circle>'
        )

    def column(self, left: float, right: float, y: float, kind: str, said: str) -> str:
        """Return a column from the lowest value to y, between two values of x."""
        (x0, top), (x1, bottom) = self.place(left, y), self.place(right, self.y[0])
        width, height = max(x1 - x0 - 1.5, 0.5), max(bottom - top, 0)
        return (
            f'<rect class="column {kind}" x="{x0 + 0.75:.1f}" y="{top:.1f}" '
            f'width="{width:.1f}" height="{height:.1f}">'
            f"<title>{escape(said)}</title></rect>"
        )

    def whisker(self, x: float, low: float, high: float) -> str:
        """Return an upright line that says how certain a point is."""
        (x0, y0), (_, y1) = self.place(x, low), self.place(x, high)
        return f'<path class="whisker" d="M{x0:.1f} {y0:.1f}V{y1:.1f}"/>'

    def svg(self, parts: Iterable[str], said: str) -> str:
        """Return the chart; `said` is plain text, for those who cannot see it."""
        return (
            f'<svg class="chart" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'role="img" aria-label="{escape(said)}">{"".join(self._axes())}'
            f"{''.join(parts)}</svg>"
        )

    def _inside(self) -> tuple[tuple[float, float], tuple[float, float]]:
        return (44, self.width - 12), (26, self.height - 40)

    def _axes(self) -> Iterable[str]:
        (left, right), (top, bottom) = self._inside()
        for value in ticks(*self.y, 4):
            _, down = self.place(self.x[0], value)
            shown = _text(value, self.percent[1], self.y)
            yield f'<path class="grid" d="M{left:g} {down:.1f}H{right:g}"/>'
            yield _label(left - 6, down + 4, shown, "tick end")
        for value in ticks(*self.x, 4):
            if self.whole and value != round(value):
                continue
            across, _ = self.place(value, self.y[0])
            shown = _text(value, self.percent[0], self.x)
            yield _label(across, bottom + 17, shown, "tick middle")
        yield f'<path class="axis" d="M{left:g} {bottom:g}H{right:g}"/>'
        yield _label((left + right) / 2, bottom + 35, self.x_label, "label middle")
        yield _label(4, top - 12, self.y_label, "label")


def _label(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def ticks(low: float, high: float, about: int) -> list[float]:
    """Return round numbers from low to high, 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * k for k in (1, 2, 5, 10) if power * k >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def outside(low: float, high: float) -> tuple[float, float]:
    """Return an axis, a little longer than what is drawn on it."""
    rest = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
    return low - rest, high + rest


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Return what the lines of a chart are: CSS classes and plain text of each."""
    return (
        '<ul class="legend">'
        + "".join(
            f'<li><svg class="key" viewBox="0 0 22 8" aria-hidden="true">'
            f'<path class="line {kind}" d="M1 4H21"/></svg>{escape(text)}</li>'
            for kind, text in entries
        )
        + "</ul>"
    )


def _text(value: float, percent: bool, axis: tuple[float, float]) -> str:
    if percent:
        digits = 0 if axis[1] - axis[0] > 0.03 else 1
        return f"{100 * value:.{digits}f}%"
    return f"{value:g}"
