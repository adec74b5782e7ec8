"""Layers that are handed to a block, which makes its own copy of each.

A block names its sub-layers, gives them its dtype policies and the rematerialization
scope they need. So it takes a layer as a description: its class and its config.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import keras

from keras_vit.layers.policies import Policy

# A layer, or what `serialize` made of one, or None for the default of the block.
Template: TypeAlias = "keras.layers.Layer | dict[str, Any] | None"


def serialize(template: Template) -> dict[str, Any] | None:
    """Return class and config of a layer, as JSON values.

    Raises:
        TypeError: if `template` is neither a layer nor what this function returned.
    """
    if template is None or (isinstance(template, dict) and "class_name" in template):
        return template
    if not isinstance(template, keras.layers.Layer):
        raise TypeError(
            f"A block copies a keras.layers.Layer, received {template!r} "
            f"({type(template).__name__}). Pass a layer such as SelfAttention(...)."
        )
    config: Any = keras.saving.serialize_keras_object(template)
    return config


def copy_layer(template: dict[str, Any], name: str, dtype: Policy) -> Any:
    """Return a new layer as the template describes it.

    Args:
        template: from `serialize`.
        name: of the new layer.
        dtype: policy of the new layer, and of those in it.
    """
    config = {**template["config"], "name": name, "dtype": dtype}
    # Without the shapes of a layer that was built: the block builds its copy itself.
    copy = {**template, "config": config, "build_config": None}
    return keras.saving.deserialize_keras_object(copy)
