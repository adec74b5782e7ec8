"""The `.npz` files of Google's JAX code: vision_transformer and big_vision.

Names: D hidden, h heads, d width of a head, M mlp, P patch, C channels.
Reference: google-research/vision_transformer, vit_jax/models_vit.py, and
google-research/big_vision, models/vit.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.checkpoints.checkpoint import Checkpoint
from keras_vit.checkpoints.entries import Entry, Layout, store
from keras_vit.checkpoints.npz_config import (
    NAMINGS,
    NpzNaming,
    block_parts,
    block_prefix,
    npz_config,
    npz_naming,
)
from keras_vit.checkpoints.npz_file import NpzFile
from keras_vit.config import ViTConfig
from keras_vit.preprocessing import Preprocessing


def open_npz(path: str | Path) -> Checkpoint:
    """Describe a checkpoint of Google's code.

    Args:
        path: the file.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is damaged or holds no plain ViT.
    """
    arrays = NpzFile(path)
    try:
        naming = npz_naming(arrays, arrays.shape)
        config = npz_config(naming, arrays, arrays.shape)
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: {error}") from error
    return Checkpoint(
        source=str(path),
        config=config,
        arrays=arrays,
        entries=lambda config: npz_entries(config, naming),
        # The evaluation of both code bases: the whole image, values in [-1, 1].
        preprocessing=Preprocessing(
            image_size=config.image_size,  # pyright: ignore[reportArgumentType]
            channels=config.channels,
            resize="squash",
            interpolation="bilinear",
        ),
        is_ignored=lambda name: not name.startswith(naming.prefix),
        interpolation="bilinear",
        antialias=naming.is_linear,
    )


def npz_entries(config: ViTConfig, naming: NpzNaming) -> list[Entry]:
    """Return where Google's code keeps each weight.

    Args:
        config: of the model.
        naming: how the arrays are called.
    """
    return list(_entries(config, naming))


def _entries(config: ViTConfig, naming: NpzNaming) -> Iterator[Entry]:
    prefix, dim = naming.prefix, config.hidden_dim
    kernel = (*config.patch_size, config.channels, dim)
    token = _shaped((1, 1, dim), (1, 1, dim))
    table = (1, config.num_position_rows, dim)
    grid = table
    if naming.is_linear:
        kernel, grid = (config.patch_dim, dim), (*config.grid_size, dim)
    yield Entry(
        "patch_encoder/projection/kernel",
        (f"{prefix}embedding/kernel",),
        _shaped((config.patch_dim, dim), kernel),
    )
    yield _vector("patch_encoder/projection/bias", f"{prefix}embedding/bias")
    yield Entry("patch_encoder/class_token/token", (f"{prefix}cls",), token)
    yield Entry(
        "patch_encoder/position_embedding/table",
        (prefix + naming.table,),
        _shaped(table, grid),
    )
    if naming.is_stacked:
        yield from _stacked_blocks(config, naming)
    else:
        for i in range(config.num_layers):
            theirs = prefix + block_prefix(naming, i)
            yield from _block(config, f"block_{i}", theirs, naming)
    yield from _norm("norm", f"{prefix}Transformer/encoder_norm")
    yield from _attention_pooling(config, prefix + naming.pooling)
    yield from _dense("head/representation", f"{prefix}pre_logits")
    yield from _dense("head/logits", f"{prefix}head")


def _stacked_blocks(config: ViTConfig, naming: NpzNaming) -> Iterator[Entry]:
    """Give the blocks' entries ordered by array, so that each is read once."""
    theirs = naming.prefix + block_prefix(naming, 0)
    blocks = [
        list(_block(config, f"block_{i}", theirs, naming))
        for i in range(config.num_layers)
    ]
    for same in zip(*blocks, strict=True):
        for i, entry in enumerate(same):
            yield Entry(
                entry.weight,
                entry.names,
                _of_layer(entry.layout, i, config.num_layers),
                axis=entry.axis,
                widths=entry.widths,
                shared_axis=0,
            )


def _block(
    config: ViTConfig, ours: str, theirs: str, naming: NpzNaming
) -> Iterator[Entry]:
    norm, attention, mlp_norm, mlp = (theirs + part for part in block_parts(naming))
    sizes = config.hidden_dim, config.num_heads
    yield from _attention(*sizes, f"{ours}/attention/qkv", attention, "qkv")
    yield from _output(*sizes, f"{ours}/attention", attention)
    yield from _mlp(f"{ours}/mlp", mlp)
    yield from _norm(f"{ours}/attention_norm", norm)
    yield from _norm(f"{ours}/mlp_norm", mlp_norm)


def _attention_pooling(config: ViTConfig, theirs: str) -> Iterator[Entry]:
    dim = config.hidden_dim
    sizes = dim, config.num_pooling_heads
    attention = f"{theirs}MultiHeadDotProductAttention_0"
    probe = (f"{theirs}probe",)
    yield Entry("pooling/probe", probe, _shaped((1, 1, dim), (1, 1, dim)))
    yield from _attention(*sizes, "pooling/query", attention, "q")
    yield from _attention(*sizes, "pooling/key_value", attention, "kv")
    yield from _output(*sizes, "pooling", attention)
    yield from _norm("pooling/norm", f"{theirs}LayerNorm_0")
    yield from _mlp("pooling/mlp", f"{theirs}MlpBlock_0")


_LETTERS = {"q": "query", "k": "key", "v": "value"}


def _attention(
    dim: int, heads: int, ours: str, theirs: str, letters: str
) -> Iterator[Entry]:
    parts = [f"{theirs}/{_LETTERS[letter]}" for letter in letters]
    widths = (dim,) * len(parts)
    head = (heads, dim // heads)
    for name, shape in (("kernel", (dim,)), ("bias", ())):
        yield Entry(
            f"{ours}/{name}",
            tuple(f"{part}/{name}" for part in parts),
            _shaped((*shape, dim), (*shape, *head)),  # Heads beside each other.
            widths=widths,
        )


def _output(dim: int, heads: int, ours: str, theirs: str) -> Iterator[Entry]:
    kernel = _shaped((dim, dim), (heads, dim // heads, dim))
    ours = f"{ours}/output_projection"
    yield Entry(f"{ours}/kernel", (f"{theirs}/out/kernel",), kernel)
    yield _vector(f"{ours}/bias", f"{theirs}/out/bias")


def _mlp(ours: str, theirs: str) -> Iterator[Entry]:
    yield from _dense(f"{ours}/expand", f"{theirs}/Dense_0")
    yield from _dense(f"{ours}/contract", f"{theirs}/Dense_1")


def _dense(ours: str, theirs: str) -> Iterator[Entry]:
    yield Entry(f"{ours}/kernel", (f"{theirs}/kernel",))
    yield _vector(f"{ours}/bias", f"{theirs}/bias")


def _norm(ours: str, theirs: str) -> Iterator[Entry]:
    yield _vector(f"{ours}/gamma", f"{theirs}/scale")
    yield _vector(f"{ours}/beta", f"{theirs}/bias")


def _vector(ours: str, theirs: str) -> Entry:
    # Some files have them as (1, 1, 1, n).
    return Entry(ours, (theirs,), Layout(lambda x: x.reshape(-1), lambda x: x))


def _shaped(ours: tuple[int, ...], theirs: tuple[int, ...]) -> Layout:
    """Return the same values in another shape; another shape than theirs stays."""

    def load(array: np.ndarray) -> np.ndarray:
        return array.reshape(ours) if array.shape == theirs else array

    return Layout(load, lambda array: array.reshape(theirs))


def _of_layer(layout: Layout, layer: int, num_layers: int) -> Layout:
    """Return one layer of an array that has all of them, without a copy of it."""

    def load(array: np.ndarray) -> np.ndarray:
        is_stack = array.shape[:1] == (num_layers,)
        return layout.load(array[layer]) if is_stack else array

    return Layout(load, lambda array: layout.store(array)[None])


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
    *("dropout_rate", "attention_dropout_rate", "stochastic_depth_rate"),
    *("patch_dropout_rate", "stochastic_depth_curve"),
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
