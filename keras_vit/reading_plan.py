"""What of a file is read for a model, what is left out and what begins anew."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from keras_vit.checkpoints.checkpoint import Checkpoint
from keras_vit.checkpoints.described import SIZES, file_config
from keras_vit.checkpoints.entries import Entry
from keras_vit.config import ViTConfig
from keras_vit.weight_fitting import CLASSIFIERS, changed_parts, trained_config

# A classifier that was trained on another vector is not that of the model.
_REWIRES = ("pooling", "representation_size")


def file_and_model(
    checkpoint: Checkpoint, changes: Mapping[str, Any]
) -> tuple[ViTConfig, ViTConfig]:
    """Return the config of what the file holds, and that of the model to build.

    Args:
        checkpoint: that was opened.
        changes: options of the user, fields of `ViTConfig`. A `position_grid` says
            what the positions of the file belong to.

    Raises:
        ValueError: if options contradict each other or the file.
    """
    wanted = {"resampling": checkpoint.resampling.name, **changes}
    sizes = {name: wanted.pop(name) for name in SIZES if name in wanted}
    structure = trained_config(checkpoint.config, wanted)
    file = file_config(checkpoint, structure, sizes)
    sizes.pop("position_grid", None)
    sizes.setdefault("image_size", checkpoint.image_size or structure.image_size)
    if checkpoint.pad_images:
        wanted.setdefault("pad_images", True)
    model = trained_config(file, {**wanted, **sizes})
    if "image_size" not in changes and checkpoint.stated != "all":
        _say_resampled(checkpoint, file, model)
    return file, model


def _say_resampled(checkpoint: Checkpoint, file: ViTConfig, model: ViTConfig) -> None:
    if checkpoint.resampling.is_cut_from_square or not file.has_learned_positions:
        return  # There for the largest image.
    if file.table_grid != model.table_grid:
        (rows, columns), grid = file.table_grid, model.table_grid
        warnings.warn(
            f"{checkpoint.source!r} has positions for {rows} x {columns} patches; they "
            f"are resampled to the {grid[0]} x {grid[1]} of image_size="
            f"{model.image_size}, the size of the architecture. Pass image_size="
            f"{file.image_size} for the size of the file.",
            stacklevel=2,
        )


@dataclass(frozen=True)
class ReadingPlan:
    """What is not simply read.

    Args:
        new: beginnings of the paths of weights that begin anew.
        dropped: names of arrays that have no place in the model.
    """

    new: tuple[str, ...]
    dropped: frozenset[str]


def reading_plan(
    checkpoint: Checkpoint,
    entries: Iterable[Entry],
    shapes: Mapping[str, tuple[int, ...]],
    model: ViTConfig,
    changes: Mapping[str, Any],
) -> ReadingPlan:
    """Decide which weights are read and which begin anew, and say what was not asked.

    What is there and fits is read. A classifier that does not fit begins anew, and so
    does what the file has nothing for; anything else is left to the strict comparison
    of names and shapes.

    Args:
        checkpoint: that was opened.
        entries: of the config of the file.
        shapes: of the weights of the model, by path.
        model: its config.
        changes: options of the user.
    """
    changed = changed_parts(checkpoint.config, model)
    entries = list(entries)
    own = {e.weight: e for e in entries if e.weight in shapes}
    new = [
        part
        for option, parts in changed.items()
        for part in parts
        if _begins_anew(checkpoint, option, part, own, shapes)
    ]
    if changes.get("num_classes") and _lacks_head(checkpoint, entries):
        new += CLASSIFIERS
    beginnings = tuple(new)
    read = {
        name
        for path, entry in own.items()
        if not path.startswith(beginnings)
        for name in entry.names
    }
    touched = (*beginnings, *(part for parts in changed.values() for part in parts))
    dropped = {
        name: entry.weight
        for entry in (*entries, *checkpoint.entries(checkpoint.config))
        if entry.weight.startswith(touched)
        for name in entry.names
        if name not in read
    }
    _say(checkpoint, dropped, [p for p in shapes if p.startswith(beginnings)], changes)
    return ReadingPlan(beginnings, frozenset(dropped))


def _begins_anew(
    checkpoint: Checkpoint,
    option: str,
    part: str,
    own: Mapping[str, Entry],
    shapes: Mapping[str, tuple[int, ...]],
) -> bool:
    paths = [path for path in shapes if path.startswith(part)]
    if any(path not in own for path in paths):
        return True
    if option in _REWIRES and checkpoint.stated != "nothing":
        return True
    names = [name for path in paths for name in own[path].names]
    if not any(name in checkpoint.arrays for name in names):
        return True
    return part in CLASSIFIERS and not all(
        _fits(checkpoint, own[path], shapes[path]) for path in paths
    )


def _fits(checkpoint: Checkpoint, entry: Entry, shape: tuple[int, ...]) -> bool:
    if not all(name in checkpoint.arrays for name in entry.names):
        return False
    return entry.load(checkpoint.arrays).shape == shape


def _lacks_head(checkpoint: Checkpoint, entries: Iterable[Entry]) -> bool:
    """Tell whether a checkpoint holds a backbone, whatever its configuration says."""
    names = {n for e in entries if e.weight.startswith("head/logits") for n in e.names}
    return bool(names) and not any(name in checkpoint.arrays for name in names)


def _say(
    checkpoint: Checkpoint,
    dropped: Mapping[str, str],
    begun: list[str],
    changes: Mapping[str, Any],
) -> None:
    """Warn of what is left out or begins anew, apart from the classifier asked for."""
    asked = CLASSIFIERS if "num_classes" in changes else ("\0",)
    arrays = sorted(
        name
        for name, path in dropped.items()
        if name in checkpoint.arrays and not path.startswith(asked)
    )
    weights = sorted(path for path in begun if not path.startswith(asked))
    facts = [
        f"{len(names)} {what}: {', '.join(names[:4])}{', ...' * (len(names) > 4)}"
        for what, names in (
            ("arrays of the file are left out", arrays),
            ("weights begin anew", weights),
        )
        if names
    ]
    if facts:
        warnings.warn(
            f"{checkpoint.source!r}, changed as asked: {'; '.join(facts)}. Leave the "
            "options out for the model of the file.",
            stacklevel=2,
        )
