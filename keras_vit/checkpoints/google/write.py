"""Write the `.npz` files of Google's JAX code."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.checkpoints.comparable import WITHOUT_EFFECT
from keras_vit.checkpoints.entries import store
from keras_vit.checkpoints.files.npz import write_npz as write_npz_file
from keras_vit.checkpoints.google.config import NAMINGS, NpzNaming
from keras_vit.checkpoints.google.entries import npz_entries
from keras_vit.config import ViTConfig


def write_npz(model: Any, folder: Path) -> None:
    """Write `model.npz` in the naming of vision_transformer, or of big_vision."""
    write_npz_file(folder / "model.npz", npz_arrays(model))


def npz_arrays(
    model: Any, naming: str | NpzNaming | None = None
) -> dict[str, np.ndarray]:
    """Return the arrays of a model as Google's code names them.

    Args:
        model: a `keras_vit.ViT`.
        naming: "big_vision", which has a place for every model that such a file can
            hold, "vision_transformer", for the paper's model alone, or another. Default
            None: "vision_transformer" if it is enough.

    Raises:
        ValueError: if the model has parts that the files cannot hold.
    """
    if model.config.image_size is None:
        raise ValueError(
            "A .npz file is for one image size, received image_size=None. Choose one "
            "first: keras_vit.resize(model, image_size=224)."
        )
    if naming is None:
        is_old = _is_old(model.config)
        naming = NAMINGS["vision_transformer" if is_old else "big_vision"]
    elif not isinstance(naming, NpzNaming):
        if naming not in NAMINGS:
            raise ValueError(
                f"naming must be one of {list(NAMINGS)}, received naming={naming!r}."
            )
        naming = NAMINGS[naming]
    _check_expressible(model.config, naming)
    return store(model, npz_entries(model.config, naming))


def _is_old(config: ViTConfig) -> bool:
    """Tell whether the first code could build the model."""
    has_all_rows = config.num_position_rows == config.num_tokens
    return has_all_rows and config.pooling in ("token", "mean")


# What names and shapes tell, and what changes nothing but training and the output.
_EXPRESSED = {
    *("image_size", "patch_size", "channels", "num_classes", "hidden_dim"),
    *("num_layers", "num_heads", "mlp_dim", "representation_size", "positions"),
    *("pooling", "use_class_token", "pooling_num_heads", "pooling_mlp_dim"),
    *("use_head_bias", "classifier_activation"),
    *WITHOUT_EFFECT,
}
# What all files mean, without saying it.
_MEANT = {"activation": "gelu_tanh"}


def _check_expressible(config: ViTConfig, naming: NpzNaming) -> None:
    needed = {
        field.name: _MEANT.get(field.name, field.default)
        for field in fields(ViTConfig)
        if field.name not in _EXPRESSED
    }
    if len(set(config.grid_size)) > 1 and config.num_position_rows:
        # The files do not tell the rectangle of a table, apart from linear ones.
        side = [min(config.grid_size) * p for p in config.patch_size]
        needed["image_size"] = config.image_size if naming.is_linear else tuple(side)
    if config.normalization == "layer_float16":  # Computes the same.
        needed["normalization"] = config.normalization
    needed["pooling"] = config.pooling
    if config.pooling != "attention" or naming.is_numbered:
        needed["pooling"] = "token" if config.has_class_token else "mean"
    if naming.is_numbered and config.num_position_rows != config.num_tokens:
        needed["positions"] = "all"
    elif not config.num_position_rows and config.positions != "sincos":
        needed["positions"] = "sincos"
    wrong = [n for n, value in needed.items() if getattr(config, n) != value]
    if wrong:
        raise ValueError(
            "A .npz file of Google's code must have "
            + ", ".join(f"{n}={needed[n]!r}" for n in wrong)
            + ", received "
            + ", ".join(f"{n}={getattr(config, n)!r}" for n in wrong)
            + ". Save in another format, or train a model with these options."
        )
