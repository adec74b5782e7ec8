"""The course of training as a table and as a picture."""

from __future__ import annotations

import csv
from pathlib import Path

from keras_vit.files import replacing

History = list[dict[str, float]]
HISTORY_FILE = "history.csv"
# Epochs up to which each is marked with a point.
MOST_MARKERS = 40


def write_history(path: str | Path, history: History) -> None:
    """Write one row per epoch as CSV; the columns are the keys of the rows."""
    columns = list(dict.fromkeys(key for row in history for key in row))
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(history)


def rank(row: dict[str, float]) -> tuple[float, ...]:
    """Return what is highest in the best epoch."""
    if "val_loss" not in row:
        return (row["epoch"],)
    # The later epoch wins a tie in both. Of several labels the loss says most.
    accuracy = row.get("val_accuracy", 0.0)
    return (accuracy, -row["val_loss"], row["epoch"])


def plot_history(path: str | Path, history: History) -> None:
    """Draw loss and accuracy, or F1, over the epochs as a PNG.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise ImportError(
            "Matplotlib is needed to draw the curves. Install it with "
            "pip install 'keras3-vit[plot]'."
        ) from error
    # Figure without pyplot: no display, no global state.
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    epochs = [row["epoch"] for row in history]
    metrics = ("loss", "f1" if any("f1" in row for row in history) else "accuracy")
    for axes, metric in zip(figure.subplots(1, 2), metrics, strict=True):
        for prefix, label in (("", "training"), ("val_", "validation")):
            values = [row.get(prefix + metric) for row in history]
            if any(value is not None for value in values):
                # A single point is no line: a marker shows it.
                marker = "o" if len(epochs) <= MOST_MARKERS else None
                axes.plot(epochs, values, marker=marker, markersize=4, label=label)
        axes.set(xlabel="epoch", ylabel=metric)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if len(epochs) == 1:
            axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def read_history(folder: str | Path) -> History:
    """Return the rows of `history.csv` in the folder of a run, none if it has none."""
    path = Path(folder) / HISTORY_FILE
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {key: float(text) for key, text in row.items() if key and text}
            for row in csv.DictReader(file)
        ]
