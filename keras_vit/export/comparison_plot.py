"""The picture of a comparison: accuracy over size and over latency."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_vit.export.formats import FORMATS
from keras_vit.export.quantizations import QUANTIZATIONS

if TYPE_CHECKING:
    from keras_vit.export.comparison import Comparison, ComparisonRow

_MARKERS = "osD^vPX*"


def draw(comparison: Comparison, path: Path) -> None:
    """Draw accuracy (agreement, without labels) over size and latency as a PNG.

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
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    panels: Any = figure.subplots(1, 2, sharey=True)
    for row in rows:
        for axes, value in zip(panels, _values(row), strict=True):
            axes.scatter(value, 100 * (row.quality or 0.0), **_style(row))
    labelled = comparison.model_accuracy is not None
    panels[0].set(
        xlabel="size in MB",
        ylabel="accuracy in %" if labelled else "top-1 agreement in %",
    )
    panels[1].set(xlabel="latency in ms, one thread")
    for axes in panels:
        axes.set_xscale("log")
        axes.grid(alpha=0.3, which="both")
        if comparison.model_accuracy is not None:
            axes.axhline(100 * comparison.model_accuracy, color="0.6", ls=":")
    figure.legend(handles=_legend(rows), loc="outside right upper", frameon=False)
    figure.savefig(path, dpi=120)


def _values(row: ComparisonRow) -> tuple[float, float]:
    latency = row.latency.median_ms if row.latency else float("nan")
    return (row.num_bytes or 0) / 1e6, latency


def _style(row: ComparisonRow) -> dict[str, Any]:
    return {
        "color": _color(row.quantization),
        "marker": _marker(row.format),
        "s": 90 if row.is_best else 45,
        "edgecolors": "black" if row.is_best else "none",
        "linewidths": 1.5,
        "alpha": 0.85,
        "zorder": 3 if row.is_best else 2,
    }


def _color(precision: str) -> str:
    return f"C{[*QUANTIZATIONS].index(precision)}"


def _marker(format: str) -> str:
    return _MARKERS[[*FORMATS].index(format) % len(_MARKERS)]


def _legend(rows: list[ComparisonRow]) -> list[Any]:
    from matplotlib.lines import Line2D

    def handle(label: str, **style: Any) -> Any:
        style = {"linestyle": "none", "marker": "o", "color": "0.5", **style}
        return Line2D([], [], label=label, **style)

    precisions = dict.fromkeys(row.quantization for row in rows)
    formats = dict.fromkeys(row.format for row in rows)
    return [
        *(handle(name, color=_color(name)) for name in precisions),
        *(handle(name, marker=_marker(name)) for name in formats),
        handle("best", markerfacecolor="none", color="black", markersize=9),
    ]
