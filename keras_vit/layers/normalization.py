"""The normalizations of Vision Transformers, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_vit.layers.layer_normalization import LayerNormalization
from keras_vit.layers.rms_normalization import RMSNormalization

NORMALIZATIONS: dict[str, Callable[..., keras.layers.Layer]] = {
    "layer": LayerNormalization,
    "rms": RMSNormalization,
}


def make_normalization(kind: str, epsilon: float, **kwargs: Any) -> keras.layers.Layer:
    """Return a new normalization of the last axis.

    Args:
        kind: "layer" or "rms".
        epsilon: added to the variance or mean square.
        **kwargs: `dtype` and `name`.

    Raises:
        ValueError: if there is no such normalization.
    """
    if kind not in NORMALIZATIONS:
        raise ValueError(
            f"The normalization must be one of {list(NORMALIZATIONS)}, received "
            f"{kind!r}. Check the spelling."
        )
    return NORMALIZATIONS[kind](epsilon, **kwargs)
