"""The attention map of an exported file: where the model looked.

Shapes: B batch, h heads, Q queries, T tokens, N patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_vit.config import ViTConfig
from keras_vit.features import attention_scores

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


def with_attention_map(model: Any) -> keras.Model:
    """Return a model from images to "outputs", those of a ViT, and "attention".

    The map is (B, rows, columns), values of at least 0 that add up to at most 1: how
    much the vector of an image reads from each patch. That is what the class token
    reads in the last block, or an attention pooling after it; where tokens are
    averaged, the average of what they read in the last block. The average of all heads
    is taken.
    """
    config, images = model.config, model.inputs[0]
    found: Any = attention_scores(model)(images)
    scores = found.get("pooling", found[f"block_{config.num_layers - 1}"])
    layer = AttentionMap(_grid(config), *_readers(config), name=OUTPUT_NAME)
    outputs = {"outputs": found["outputs"], OUTPUT_NAME: layer(scores)}
    return keras.Model(images, outputs, name=f"{model.name}_with_attention")


@keras.saving.register_keras_serializable(package="keras_vit")
class AttentionMap(keras.layers.Layer):
    """Average what some queries read from the patches, in the order of the image.

    Args:
        grid_size: number of patches, (rows, columns). They are the last tokens.
        start: number of the first query, from 0; negative: counted from the last.
        stop: number after the last query. Default None: all that follow.

    Input shape: (B, h, Q, T), attention weights.
    Output shape: (B, rows, columns).
    """

    def __init__(
        self,
        grid_size: Sequence[int],
        start: int,
        stop: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.grid_size = tuple(grid_size)
        self.start = start
        self.stop = stop

    def call(self, weights: Any) -> Any:
        rows, columns = self.grid_size
        # Other tokens stand before the patches.
        read = weights[:, :, self.start : self.stop, -rows * columns :]  # (B, h, Q, N)
        return ops.reshape(ops.mean(read, axis=(1, 2)), (-1, rows, columns))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0], *self.grid_size)

    def get_config(self) -> dict[str, Any]:
        own = {"grid_size": self.grid_size, "start": self.start, "stop": self.stop}
        return {**super().get_config(), **own}


def _readers(config: ViTConfig) -> tuple[int, int | None]:
    """Return which queries make the vector of the image: from the first, up to."""
    if config.pooling == "mean":
        return 0 if config.pool_prefix else -config.num_patches, None
    if config.pooling == "prefix":
        return 0, config.num_prefix_tokens
    return 0, 1  # The class token comes first; a pooling has no other query.


def _grid(config: Any) -> list[int]:
    return list(config.grid_size)
