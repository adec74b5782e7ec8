"""What images go through before a model, also if a ViT is only a part of it."""

from __future__ import annotations

from typing import Any

import keras

from keras_vit.preprocessing import Preprocessing


def preprocessing_of(model: keras.Model) -> Preprocessing | None:
    """Return the preprocessing that a model needs, None if nothing says it.

    A model around another, such as `keras.Sequential([vit, Dense(2)])`, needs that of
    the other if this is what the images come to first.

    Raises:
        ValueError: if a model inside has preprocessing, and something stands before it
            that may do a part of that.
    """
    own: Preprocessing | None = getattr(model, "preprocessing", None)
    if own is not None:
        return own
    operations: Any = getattr(model, "operations", None) or model.layers
    inside = [x for x in operations if not isinstance(x, keras.layers.InputLayer)]
    for place, layer in enumerate(inside):
        found = preprocessing_of(layer) if isinstance(layer, keras.Model) else None
        if found is None:
            continue
        if place > 0:
            raise ValueError(
                f"The model {model.name!r} must say what images go through, received "
                f"one with {inside[0].name!r} before {layer.name!r}, which has "
                "preprocessing of its own. Set model.preprocessing = keras_vit."
                "Preprocessing(...) to what stands before the whole model."
            )
        return found
    return None
