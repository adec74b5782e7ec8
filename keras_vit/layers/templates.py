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
    """Return class and config of a layer, as JSON values."""
    if template is None or isinstance(template, dict):
        return template
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
    found: Any = keras.saving.get_registered_object(template["registered_name"])
    return found.from_config(config)
