"""What the names and shapes of a Google `.npz` file say about its model.

The files hold no configuration. Names: D hidden, h heads, d width of a head, P patch,
C channels. Reference: google-research/vision_transformer, vit_jax/models_vit.py, and
google-research/big_vision, models/vit.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal

from keras_vit.config import ViTConfig

# Where the image model stands in a file; what else is there (a text model, the state of
# the optimizer) belongs to other parts.
_PREFIXES = ("", "opt/target/", "params/", "params/img/")
# By age, the newest first; a table with a row for the class token can have each name.
_TABLES = (
    "pos_embedding",
    "Transformer/pos_embedding",
    "Transformer/posembed_input/pos_embedding",
)
_IMAGE_SIZE = 224  # pixels; where positions are computed the file says nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class NpzNaming:
    """How the arrays of one file are called.

    Args:
        prefix: of all names.
        is_numbered: whether the parts of a block are numbered through, as the first
            code did: LayerNorm_0, MultiHeadDotProductAttention_1, LayerNorm_2,
            MlpBlock_3. Otherwise each kind is counted from 0.
        is_stacked: whether each array holds all blocks, one behind the other.
        table: name of the positions.
        pooling: what names of attention pooling begin with.
        is_linear: whether the patch kernel is (P * P * C, D) and the positions are a
            grid, as in NaFlex models; otherwise (P, P, C, D) and one row per token.
    """

    prefix: str = "params/"
    is_numbered: bool = False
    is_stacked: bool = False
    table: str = _TABLES[0]
    pooling: str = "MAPHead_0/"
    is_linear: bool = False


NAMINGS = {
    "big_vision": NpzNaming(),
    "vision_transformer": NpzNaming(prefix="", is_numbered=True, table=_TABLES[2]),
}


def npz_naming(
    names: Collection[str], shape: Callable[[str], tuple[int, ...]]
) -> NpzNaming:
    """Find out how the arrays of a file are called.

    Args:
        names: of the arrays.
        shape: from a name to the shape.

    Raises:
        ValueError: if the names are not those of a plain ViT.
    """
    found = [p for p in _PREFIXES if f"{p}embedding/kernel" in names]
    if not found:
        raise ValueError(
            "the arrays of a ViT of Google's JAX code have an 'embedding/kernel' "
            f"among them, received {sorted(names)[:8]}. If it is another model, "
            "keras_vit cannot read it."
        )
    prefix = found[0]
    if f"{prefix}conv_root/kernel" in names:
        raise ValueError(
            "a hybrid with a ResNet before the blocks is not a plain ViT, received "
            f"{prefix}conv_root/kernel. Choose a file without 'R' in its name."
        )
    is_stacked = f"{prefix}Transformer/encoderblock/LayerNorm_0/scale" in names
    tables = [table for table in _TABLES if prefix + table in names]
    pooling = "" if f"{prefix}probe" in names else "MAPHead_0/"
    return NpzNaming(
        prefix=prefix,
        is_numbered=f"{prefix}Transformer/encoderblock_0/LayerNorm_2/scale" in names,
        is_stacked=is_stacked,
        table=(tables or _TABLES)[0],
        pooling=pooling,
        is_linear=len(shape(f"{prefix}embedding/kernel")) == 2,
    )


def npz_config(
    naming: NpzNaming,
    names: Collection[str],
    shape: Callable[[str], tuple[int, ...]],
) -> ViTConfig:
    """Return the config of the model that the arrays are of.

    Args:
        naming: how they are called.
        names: of the arrays.
        shape: from a name to the shape.

    Raises:
        ValueError: if the shapes are not those of a plain ViT.
    """
    prefix, block = naming.prefix, block_prefix(naming, 0)
    _, attention, _, mlp = block_parts(naming)

    def size(name: str, rank: int) -> tuple[int, ...]:
        name = prefix + name
        if name not in names or len(shape(name)) < rank:
            raise ValueError(
                f"a ViT of Google's JAX code has an array {name!r} of at least {rank} "
                f"axes, received {shape(name) if name in names else None}. Check that "
                "the file is complete."
            )
        # What stands before is the axis of stacked blocks or ones.
        return shape(name)[-rank:]

    patch_size, channels, hidden_dim = _patch_kernel(naming, shape)
    use_class_token = f"{prefix}cls" in names
    has_attention_pooling = f"{prefix}{naming.pooling}probe" in names
    grid, positions = _positions(naming, patch_size, use_class_token, names, shape)
    options: dict[str, Any] = {}
    pooling = "token" if use_class_token else "mean"
    if has_attention_pooling:
        pooling = "attention"
        map_attention = f"{naming.pooling}MultiHeadDotProductAttention_0/query/kernel"
        options["pooling_num_heads"] = size(map_attention, 3)[1]
        options["pooling_mlp_dim"] = size(
            f"{naming.pooling}MlpBlock_0/Dense_0/kernel", 2
        )[1]
    if f"{prefix}pre_logits/kernel" in names:
        options["representation_size"] = size("pre_logits/kernel", 2)[1]
    has_head = f"{prefix}head/kernel" in names
    return ViTConfig(
        image_size=(grid[0] * patch_size[0], grid[1] * patch_size[1]),
        patch_size=patch_size,
        channels=channels,
        num_classes=size("head/kernel", 2)[1] if has_head else None,
        use_head_bias=not has_head or f"{prefix}head/bias" in names,
        hidden_dim=hidden_dim,
        num_layers=_num_layers(naming, names, shape),
        num_heads=size(f"{block}{attention}/query/kernel", 3)[1],
        mlp_dim=size(f"{block}{mlp}/Dense_0/kernel", 2)[1],
        activation="gelu_tanh",  # JAX's default
        pooling=pooling,
        use_class_token=use_class_token,
        positions=positions,
        **options,
    )


def _patch_kernel(
    naming: NpzNaming, shape: Callable[[str], tuple[int, ...]]
) -> tuple[tuple[int, int], int, int]:
    """Return patch size, channels and D."""
    kernel = shape(f"{naming.prefix}embedding/kernel")
    if len(kernel) == 4:
        return (kernel[0], kernel[1]), kernel[2], kernel[3]
    side = math.isqrt(kernel[0] // 3) if naming.is_linear else 0
    if not side or 3 * side * side != kernel[0]:
        raise ValueError(
            "the patch kernel must be (P, P, C, D), or (P * P * 3, D) for square "
            f"patches of RGB, received the shape {kernel}."
        )
    return (side, side), 3, kernel[1]


def _positions(
    naming: NpzNaming,
    patch_size: tuple[int, int],
    use_class_token: bool,
    names: Collection[str],
    shape: Callable[[str], tuple[int, ...]],
) -> tuple[tuple[int, int], Literal["all", "patches", "sincos"] | None]:
    """Return the number of patches, (rows, columns), and which tokens have a row."""
    table = naming.prefix + naming.table
    if table not in names:
        rows, columns = (max(1, _IMAGE_SIZE // p) for p in patch_size)
        return (rows, columns), None if naming.is_numbered else "sincos"
    *first, rows, _ = (1, *shape(table))
    if naming.is_linear and math.prod(first) > 1:
        return (first[-1], rows), "patches" if use_class_token else "all"
    side = math.isqrt(rows)
    if side * side == rows:
        return (side, side), "patches" if use_class_token else "all"
    side = math.isqrt(rows - 1)
    if use_class_token and side * side == rows - 1:
        return (side, side), "all"
    raise ValueError(
        "positions must be those of a square grid of patches, since the file does not "
        f"say which rectangle it is, received {rows} rows. Resample them to a square "
        "with the code that wrote the file."
    )


def _num_layers(
    naming: NpzNaming,
    names: Collection[str],
    shape: Callable[[str], tuple[int, ...]],
) -> int:
    if naming.is_stacked:
        return shape(f"{naming.prefix}{block_prefix(naming, 0)}LayerNorm_0/scale")[0]
    count = 0
    while f"{naming.prefix}{block_prefix(naming, count)}LayerNorm_0/scale" in names:
        count += 1
    return count or 1  # Without any, assigning lists what is missing.


def block_prefix(naming: NpzNaming, block: int) -> str:
    """Return what stands before the names of the parts of a block."""
    return f"Transformer/encoderblock{'' if naming.is_stacked else f'_{block}'}/"


def block_parts(naming: NpzNaming) -> tuple[str, str, str, str]:
    """Return the names of norm, attention, norm and MLP in a block."""
    numbers = (0, 1, 2, 3) if naming.is_numbered else (0, 0, 1, 0)
    kinds = ("LayerNorm", "MultiHeadDotProductAttention", "LayerNorm", "MlpBlock")
    norm, attention, mlp_norm, mlp = (
        f"{kind}_{number}" for kind, number in zip(kinds, numbers, strict=True)
    )
    return norm, attention, mlp_norm, mlp
