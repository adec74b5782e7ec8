"""What the names and shapes of a Google `.npz` file say about its model.

The files hold no configuration. Names: D hidden, h heads, d width of a head, P patch,
C channels. Reference: google-research/vision_transformer, vit_jax/models_vit.py, and
google-research/big_vision, models/vit.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from keras_vit.config import ViTConfig

Shapes = Mapping[str, tuple[int, ...]]

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

    def block(self, number: int) -> str:
        """Return what stands before the names of the parts of a block."""
        blocks = f"{self.prefix}Transformer/encoderblock"
        return f"{blocks}/" if self.is_stacked else f"{blocks}_{number}/"

    @property
    def block_parts(self) -> tuple[str, str, str, str]:
        """The names of norm, attention, norm and MLP in a block."""
        attention = "MultiHeadDotProductAttention"
        if self.is_numbered:
            return "LayerNorm_0", f"{attention}_1", "LayerNorm_2", "MlpBlock_3"
        return "LayerNorm_0", f"{attention}_0", "LayerNorm_1", "MlpBlock_0"


NAMINGS = {
    "big_vision": NpzNaming(),
    "vision_transformer": NpzNaming(prefix="", is_numbered=True, table=_TABLES[2]),
}


def npz_naming(shapes: Shapes) -> NpzNaming:
    """Find out how the arrays of a file are called.

    Args:
        shapes: of the arrays, by name.

    Raises:
        ValueError: if the names are not those of a plain ViT.
    """
    found = [p for p in _PREFIXES if f"{p}embedding/kernel" in shapes]
    if not found:
        raise ValueError(
            "the arrays of a ViT of Google's JAX code have an 'embedding/kernel' "
            f"among them, received {sorted(shapes)[:8]}. If it is another model, "
            "keras_vit cannot read it."
        )
    prefix = found[0]
    if f"{prefix}conv_root/kernel" in shapes:
        raise ValueError(
            "a hybrid with a ResNet before the blocks is not a plain ViT, received "
            f"{prefix}conv_root/kernel. Choose a file without 'R' in its name."
        )
    tables = [table for table in _TABLES if prefix + table in shapes]
    blocks = f"{prefix}Transformer/encoderblock"
    return NpzNaming(
        prefix=prefix,
        is_numbered=f"{blocks}_0/LayerNorm_2/scale" in shapes,
        is_stacked=f"{blocks}/LayerNorm_0/scale" in shapes,
        table=(tables or _TABLES)[0],
        pooling="" if f"{prefix}probe" in shapes else "MAPHead_0/",
        is_linear=len(shapes[f"{prefix}embedding/kernel"]) == 2,
    )


def npz_config(naming: NpzNaming, shapes: Shapes) -> ViTConfig:
    """Return the config of the model that the arrays are of.

    Args:
        naming: how they are called.
        shapes: of the arrays, by name.

    Raises:
        ValueError: if the shapes are not those of a plain ViT.
    """

    def size(name: str, rank: int) -> int:
        shape = shapes.get(name, ())
        if len(shape) < rank:
            raise ValueError(
                f"a ViT of Google's JAX code has an array {name!r} of at least {rank} "
                f"axes, received {shape or None}. Check that the file is complete."
            )
        # Before the last `rank` axes are that of stacked blocks or ones.
        return shape[-rank:][1]

    prefix, block = naming.prefix, naming.block(0)
    _, attention, _, mlp = naming.block_parts
    patch_size, channels, hidden_dim = _patch_kernel(naming, shapes)
    use_class_token = f"{prefix}cls" in shapes
    grid, positions = _positions(naming, patch_size, use_class_token, shapes)
    options: dict[str, Any] = {"pooling": "token" if use_class_token else "mean"}
    pooling = prefix + naming.pooling
    if f"{pooling}probe" in shapes:
        query = f"{pooling}MultiHeadDotProductAttention_0/query/kernel"
        options["pooling"] = "attention"
        options["pooling_num_heads"] = size(query, 3)
        options["pooling_mlp_dim"] = size(f"{pooling}MlpBlock_0/Dense_0/kernel", 2)
    if f"{prefix}pre_logits/kernel" in shapes:
        options["representation_size"] = size(f"{prefix}pre_logits/kernel", 2)
    head = f"{prefix}head"
    has_head = f"{head}/kernel" in shapes
    return ViTConfig(
        image_size=(grid[0] * patch_size[0], grid[1] * patch_size[1]),
        patch_size=patch_size,
        channels=channels,
        num_classes=size(f"{head}/kernel", 2) if has_head else None,
        use_head_bias=not has_head or f"{head}/bias" in shapes,
        hidden_dim=hidden_dim,
        num_layers=_num_layers(naming, shapes),
        num_heads=size(f"{block}{attention}/query/kernel", 3),
        mlp_dim=size(f"{block}{mlp}/Dense_0/kernel", 2),
        activation="gelu_tanh",  # JAX's default
        use_class_token=use_class_token,
        positions=positions,
        **options,
    )


def _patch_kernel(
    naming: NpzNaming, shapes: Shapes
) -> tuple[tuple[int, int], int, int]:
    """Return patch size, channels and D."""
    kernel = shapes[f"{naming.prefix}embedding/kernel"]
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
    shapes: Shapes,
) -> tuple[tuple[int, int], Literal["all", "patches", "sincos"] | None]:
    """Return the number of patches, (rows, columns), and which tokens have a row."""
    table = naming.prefix + naming.table
    if table not in shapes:
        rows, columns = (max(1, _IMAGE_SIZE // p) for p in patch_size)
        return (rows, columns), None if naming.is_numbered else "sincos"
    *first, rows, _ = (1, *shapes[table])
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


def _num_layers(naming: NpzNaming, shapes: Shapes) -> int:
    if naming.is_stacked:
        return shapes[f"{naming.block(0)}LayerNorm_0/scale"][0]
    count = 0
    while f"{naming.block(count)}LayerNorm_0/scale" in shapes:
        count += 1
    return count or 1  # Without any, assigning lists what is missing.
