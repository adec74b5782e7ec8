"""The attention map of an exported file: where the model looked.

Shapes: B batch, T tokens; R, C rows and columns of patches.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.config import ViTConfig
from keras_vit.explaining.token_reading import attention_model, rollout_model
from keras_vit.layers.later.token_grid import TokenGrid

OUTPUT_NAME = "attention"


def check_attention(config: Any) -> None:
    """Raise a ValueError unless a model of this architecture has an attention map."""
    if not isinstance(config, ViTConfig):
        raise ValueError(
            "attention=True is for a keras_vit.ViT, received a model without its "
            "config. Leave attention out."
        )
    if config.pooling is None:
        raise ValueError(
            "attention=True needs a model with a pooling, received pooling=None. Leave "
            "attention out."
        )


def has_attention_map(config: Any) -> bool:
    """Return whether a model of this architecture has an attention map."""
    return isinstance(config, ViTConfig) and config.pooling is not None


def describe_attention(config: Any) -> dict[str, Any]:
    """Return name, method and size of the map, JSON values.

    The size is (rows, columns); None if it depends on the image.
    """
    grid = None if config.image_size is None else list(config.grid_size)
    return {"name": OUTPUT_NAME, "method": map_method(config), "grid": grid}


def map_method(config: ViTConfig) -> str:
    """Return the name of the method of `explain` that the map is made by."""
    return "attention" if config.attention == "differential" else "rollout"


def with_attention_map(model: Any) -> keras.Model:
    """Return a model from images to "outputs", those of a ViT, and "attention".

    The map is (B, R, C): how much the vector of an image holds of each patch, attention
    followed through all blocks (`explain`, "rollout"). Its values are at least 0 and
    add up to at most 1. With differential attention, which has no rollout, it is what
    the last block reads, and may be below 0.
    """
    config = model.config
    if map_method(config) == "rollout":
        reading = rollout_model(model)
    else:
        reading = attention_model(model, config.num_layers - 1, None)
    found: Any = reading.output
    pixels = model.get_layer("patches").input  # The images, perhaps with padding.
    split = TokenGrid(config.patch_size, config.num_prefix_tokens, name="token_grid")
    # A slice with a new axis is no operation of LiteRT where sizes are unknown.
    grid = split(ops.expand_dims(found["map"], -1), pixels)
    grid = ops.squeeze(grid, -1)
    outputs = {"outputs": found["outputs"], OUTPUT_NAME: grid}
    return keras.Model(model.inputs[0], outputs, name=f"{model.name}_with_attention")
