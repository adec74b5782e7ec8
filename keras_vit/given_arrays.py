"""Pictures of models that do not say how images are preprocessed: taken as they are.

Shapes: H W C image.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# How far from a whole number a value may be that becomes one: normalizing rounds.
_ROUNDING = 1e-3
_ASK = (
    "Set model.preprocessing = keras_vit.Preprocessing(...), or pass arrays as the "
    "model takes them"
)


def as_given(image: Any, shape: tuple[int | None, ...], dtype: str) -> np.ndarray:
    """Return an array as it is: nothing says what else a picture would go through.

    Args:
        image: an array of the shape that the model takes; (H, W) if that has one
            channel.
        shape: (height, width, channels) that the model takes; None: any.
        dtype: that the model takes.

    Raises:
        ValueError: if it is a file or PIL image, has another shape, or values that the
            dtype does not hold.
    """
    wanted = f"{_ASK}: {dtype} of shape {_text(shape)}."
    if not hasattr(image, "shape"):
        raise ValueError(
            "Pictures need a model that says how they are preprocessed, received "
            f"{type(image).__name__} for one that does not. {wanted}"
        )
    array = np.asarray(image)
    if array.ndim == 2 and shape[-1] == 1:
        array = array[..., None]
    if array.ndim != 3 or any(
        side not in (None, size) for side, size in zip(shape, array.shape, strict=True)
    ):
        raise ValueError(
            "A model without preprocessing takes arrays as they are, of shape "
            f"{_text(shape)}, received shape {np.asarray(image).shape}. {wanted}"
        )
    return in_dtype(array, dtype)


def in_dtype(array: np.ndarray, dtype: str) -> np.ndarray:
    """Return an array in the dtype of a model, with the same values.

    Keras itself would cut off what stands behind the point.

    Raises:
        ValueError: if a dtype of whole numbers does not hold them.
    """
    target = np.dtype(dtype)
    if array.dtype == target or not np.issubdtype(target, np.integer):
        return np.asarray(array, target)
    limits, whole = np.iinfo(target), np.rint(np.asarray(array, "float64"))
    fits = (abs(whole - array) < _ROUNDING) & (whole >= limits.min)
    if not (fits & (whole <= limits.max)).all():
        raise ValueError(
            f"The model takes {dtype}, whole numbers from {limits.min} to {limits.max},"
            f" received {array.dtype} values from {array.min():g} to {array.max():g}. "
            "Pass arrays in that range, or a preprocessing that gives them: mean=0 and "
            "std=1 / 255 for bytes."
        )
    return whole.astype(target)


def _text(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if side is None else str(side) for side in shape)})"
