"""What a file holds, as far as its configuration and the options of `load` say.

An option changes a model, or says what the file already is: `num_registers=4` for a
file with four registers whose architecture has none. The arrays decide which.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from keras_vit.checkpoints.checkpoint import Checkpoint
from keras_vit.checkpoints.entries import Entry
from keras_vit.config import ViTConfig

POSITIONS = "patch_encoder/position_embedding/table"
PATCH_KERNEL = "patch_encoder/projection/kernel"
SIZES = ("image_size", "patch_size", "channels", "position_grid")

Pair = tuple[int, int]


def file_config(
    checkpoint: Checkpoint, structure: ViTConfig, sizes: Mapping[str, Any]
) -> ViTConfig:
    """Return the config whose patches and positions the file holds.

    Args:
        checkpoint: that was opened.
        structure: its config with the options of the user that are no sizes.
        sizes: those of the user that are: image_size, patch_size, channels,
            position_grid.

    Raises:
        ValueError: if a grid is given that is not that of the file, or none can be
            found.
    """
    entries = {e.weight: e for e in checkpoint.entries(structure)}
    config = _with_patches(checkpoint, structure, sizes)
    if not config.has_learned_positions or not _is_there(
        entries.get(POSITIONS), checkpoint
    ):
        return config
    _, rows, dim = entries[POSITIONS].load(checkpoint.arrays).shape
    if dim != config.hidden_dim:
        return config  # Another architecture, which the comparison of shapes reports.
    grid = _table_grid(checkpoint, config, rows - config.num_prefix_rows, sizes)
    if grid is None or grid == config.table_grid:
        return config
    height, width = config.patch_size
    return replace(config, image_size=(grid[0] * height, grid[1] * width))


def _is_there(entry: Entry | None, checkpoint: Checkpoint) -> bool:
    return entry is not None and all(n in checkpoint.arrays for n in entry.names)


def _with_patches(
    checkpoint: Checkpoint, config: ViTConfig, sizes: Mapping[str, Any]
) -> ViTConfig:
    """Return the config with the patches of the options, if the kernel is for these."""
    names = ("patch_size", "channels")
    given = {name: sizes[name] for name in names if name in sizes}
    if not given or _fits_kernel(checkpoint, config):
        return config
    other = replace(config, **given)
    return other if _fits_kernel(checkpoint, other) else config


def _fits_kernel(checkpoint: Checkpoint, config: ViTConfig) -> bool:
    entries = {e.weight: e for e in checkpoint.entries(config)}
    entry = entries.get(PATCH_KERNEL)
    if entry is None or not _is_there(entry, checkpoint):
        return True
    shape = (config.patch_dim, config.hidden_dim)
    return entry.load(checkpoint.arrays).shape == shape


def _table_grid(
    checkpoint: Checkpoint, config: ViTConfig, count: int, sizes: Mapping[str, Any]
) -> Pair | None:
    """Return the grid that a table of `count` patches belongs to.

    None if the config states another, which the comparison of shapes reports.
    """
    given, stated = sizes.get("position_grid"), config.table_grid
    wanted = _wanted_grid(config, sizes)
    if given is not None:
        given = tuple(given) if isinstance(given, (tuple, list)) else (given, given)
        if math.prod(given) != count:
            raise ValueError(
                "position_grid must be the (rows, columns) of the positions in the "
                f"file, {count} in all, received position_grid={given} for "
                f"{checkpoint.source!r}. Leave it out, or give the grid it was trained "
                "with."
            )
        return given
    if checkpoint.stated != "nothing" and math.prod(stated) == count:
        return stated
    if wanted is not None and math.prod(wanted) == count:
        side = math.isqrt(count)
        if wanted != (side, side) == stated:
            _say_taken(checkpoint, wanted, (side, side))
        return wanted
    if checkpoint.stated == "all":
        return None
    if math.prod(stated) == count:
        return _said(checkpoint, stated, wanted, sizes)
    side = math.isqrt(max(count, 0))
    if count > 0 and side * side == count:
        return _said(checkpoint, (side, side), wanted, sizes)
    raise ValueError(
        f"{checkpoint.source!r} has {count + config.num_prefix_rows} positions, "
        f"{config.num_prefix_rows} of them for tokens before the patches, so that "
        f"{count} patches are left, which is no square; received image_size="
        f"{sizes.get('image_size')!r}, positions={config.positions!r}, num_registers="
        f"{config.num_registers}. Pass image_size=(height, width) of the training, or "
        "position_grid=(rows, columns) beside another image_size, or the positions and "
        "num_registers that the file was trained with."
    )


def _wanted_grid(config: ViTConfig, sizes: Mapping[str, Any]) -> Pair | None:
    """Return the grid that the options ask for, None if they ask for none."""
    if sizes.get("image_size") is None:
        return None
    given = {n: sizes[n] for n in ("image_size", "patch_size") if n in sizes}
    return replace(config, **given).grid_size


def _said(
    checkpoint: Checkpoint, grid: Pair, wanted: Pair | None, sizes: Mapping[str, Any]
) -> Pair:
    """Return the grid, and say that it is a guess where another one is asked for."""
    if "image_size" not in sizes or checkpoint.resampling.is_cut_from_square:
        return grid
    if wanted is None or wanted[0] * grid[1] != wanted[1] * grid[0]:
        warnings.warn(
            f"{checkpoint.source!r}: nothing says the grid of its positions. They are "
            f"taken as {grid[0]} x {grid[1]}, to be resampled. Pass position_grid="
            "(rows, columns) to say what they are.",
            stacklevel=2,
        )
    return grid


def _say_taken(checkpoint: Checkpoint, wanted: Pair, square: Pair) -> None:
    warnings.warn(
        f"{checkpoint.source!r}: nothing says the grid of its positions, which fit the "
        f"wanted {wanted[0]} x {wanted[1]} and are taken as they are. Pass "
        f"position_grid={square} if they are a square.",
        stacklevel=2,
    )
