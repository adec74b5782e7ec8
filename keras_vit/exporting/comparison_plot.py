"""The picture of a comparison: latency and accuracy over size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_vit.exporting.comparison import Comparison, ComparisonRow
from keras_vit.exporting.formats import FORMATS
from keras_vit.exporting.quantizations import QUANTIZATIONS

_MARKERS = "osD^vPX*"
# No grey, which is for what has no precision.
_COLORS = ("C0", "C1", "C2", "C3", "C4", "C5", "C6", "C9", "C8")
_LEAST_POINTS = 2.0  # Of accuracy, that the axis shows.


def draw(comparison: Comparison, path: Path) -> None:
    """Draw latency and accuracy (agreement, without labels) over size as a PNG.

    A colour for each precision, a shape for each format, a ring around the best.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Matplotlib is needed to draw the comparison. Install it with "
            "pip install 'keras3-vit[plot]'."
        ) from error
    rows = [row for row in comparison.rows if row.latency is not None]
    # Figure without pyplot: no display, no global state.
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    latency, quality = figure.subplots(1, 2)
    for row in rows:
        size = (row.num_bytes or 0) / 1e6
        latency.scatter(size, row.latency.median_ms, **_style(row))  # pyright: ignore[reportOptionalMemberAccess]
        quality.scatter(size, 100 * (row.quality or 0.0), **_style(row))
    _set_log(latency.xaxis, latency.yaxis, quality.xaxis)
    latency.set(xlabel="size in MB", ylabel="latency in ms, one thread")
    labelled = comparison.model_accuracy is not None
    what = comparison.measure if labelled else comparison.agreement
    quality.set(xlabel="size in MB", ylabel=f"{what} in %")
    if comparison.model_accuracy is not None:
        quality.axhline(100 * comparison.model_accuracy, color="0.6", ls=":")
    low, high = quality.get_ylim()
    # Less than two points would look like more than it is.
    quality.set_ylim(min(low, high - _LEAST_POINTS), high + _LEAST_POINTS / 10)
    for axes in (latency, quality):
        axes.grid(alpha=0.3)
    figure.legend(handles=_legend(rows), loc="outside right upper", frameon=False)
    figure.savefig(path, dpi=120)


def _set_log(*axes: Any) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    for axis in axes:
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())


def _style(row: ComparisonRow) -> dict[str, Any]:
    return {
        "color": _color(row.quantization),
        "marker": _marker(row.format),
        "s": 110 if row.is_best else 50,
        "edgecolors": "black" if row.is_best else "none",
        "linewidths": 1.5,
        "alpha": 0.85,
        "zorder": 3 if row.is_best else 2,
    }


def _color(precision: str) -> str:
    return _COLORS[[*QUANTIZATIONS].index(precision) % len(_COLORS)]


def _marker(format: str) -> str:
    return _MARKERS[[*FORMATS].index(format) % len(_MARKERS)]


def _legend(rows: list[ComparisonRow]) -> list[Any]:
    from matplotlib.lines import Line2D

    def handle(label: str, **style: Any) -> Any:
        return Line2D([], [], label=label, **{"marker": "o", "ls": "none", **style})

    precisions = dict.fromkeys(row.quantization for row in rows)
    formats = dict.fromkeys(row.format for row in rows)
    return [
        *(handle(name, color=_color(name)) for name in precisions),
        *(
            handle(name, marker=_marker(name), color="0.4", markerfacecolor="none")
            for name in formats
        ),
        handle("best", color="black", markerfacecolor="none", markersize=10, mew=1.8),
    ]
