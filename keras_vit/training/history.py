"""The course of training as a table and as a picture."""

from __future__ import annotations

import csv
from pathlib import Path

from keras_vit.files import replacing

History = list[dict[str, float]]


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


def read_history(path: str | Path) -> History:
    """Read what `write_history` wrote; no file is an empty history."""
    if not Path(path).is_file():
        return []
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        {
            key: int(value) if key == "epoch" else float(value)
            for key, value in row.items()
            if value
        }
        for row in rows
    ]


def plot_history(path: str | Path, history: History) -> None:
    """Draw loss and accuracy over the epochs as a PNG.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Matplotlib is needed to draw the curves. Install it with "
            "pip install 'keras3-vit[plot]'."
        ) from error
    # Figure without pyplot: no display, no global state.
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for prefix, label in (("", "training"), ("val_", "validation")):
            values = [row.get(prefix + metric) for row in history]
            if any(value is not None for value in values):
                axes.plot(epochs, values, label=label)
        axes.set(xlabel="epoch", ylabel=metric)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
