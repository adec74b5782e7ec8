"""The attention map of an exported file: where the model looked.

Shapes: B batch, h heads, Q queries, T tokens, N patches.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_vit.config import ViTConfig

OUTPUT_NAME = "attention"


def check_attention(config: Any) -> None:
    """Raise a ValueError unless a model of this architecture has an attention map."""
    if not isinstance(config, ViTConfig):
        raise ValueError(
            "attention=True is for a keras_vit.ViT, received a model without its "
            "config. Leave attention out."
        )
    reasons = {
        "pooling=None": config.pooling is None,
        "attention='differential'": config.attention == "differential",
        "image_size=None": config.image_size is None,
    }
    for reason, holds in reasons.items():
        if holds:
            raise ValueError(
                "attention=True needs a model with a pooling, softmax attention and a "
                f"fixed image size, received {reason}. Leave attention out."
            )


def describe_attention(config: Any) -> dict[str, Any]:
    """Return name and size, (rows, columns), of the map, JSON values."""
    return {"name": OUTPUT_NAME, "grid": _grid(config)}


def attention_map(weights: list[Any], config: ViTConfig) -> Any:
    """Return how much the vector of an image reads from each patch.

    That is what the class token reads in the last block, or an attention pooling after
    it; where tokens are averaged, the average of what they read in the last block. The
    average of all heads is taken.

    Args:
        weights: of each attention in the model, (B, h, Q, T).
        config: of the model.

    Returns:
        (B, rows, columns), values of at least 0 that add up to at most 1.
    """
    rows, columns = _grid(config)
    num_patches = rows * columns
    # Other tokens stand before the patches.
    read = weights[-1][:, :, _readers(config), -num_patches:]  # (B, h, Q, N)
    return ops.reshape(ops.mean(read, axis=(1, 2)), (-1, rows, columns))


def _readers(config: ViTConfig) -> slice:
    """Return which queries make the vector of the image."""
    if config.pooling == "mean":
        return slice(0 if config.pool_prefix else -config.num_patches, None)
    if config.pooling == "prefix":
        return slice(0, config.num_prefix_tokens)
    return slice(0, 1)  # The class token comes first; a pooling has no other query.


def _grid(config: Any) -> list[int]:
    (height, width), (patch_height, patch_width) = config.image_size, config.patch_size
    return [height // patch_height, width // patch_width]
