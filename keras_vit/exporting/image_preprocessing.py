"""Preprocessing inside the graph. Shapes: B batch, H W C image."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vit.layers.base.layer import Shape, Tensor, check_rank
from keras_vit.preprocessing import Preprocessing


@keras.saving.register_keras_serializable(package="keras_vit")
class ImagePreprocessing(keras.layers.Layer):
    """Do in the graph what `keras_vit.Preprocessing` does to one picture of bytes.

    For exports that take pixels. Resizing is two products with matrices that hold the
    filter, so each runtime has the ops and all give the same numbers as Pillow, up to
    its rounding: one of 255 steps apart, two at single pixels of a million ("nearest"
    aside, where Pillow's choice between two pixels at the same distance follows from
    its rounding). "box" and "hamming" are not here.

    Where H and W are unknown, two things differ. If a side is rounded ("border", or a
    crop that is not square), exactly half a pixel always goes up. And the width comes
    first, which for bytes is not the same at sharp edges: from 13 on, Pillow begins
    with the height if that loses more than twice as many pixels.

    Args:
        preprocessing: what is done, or its fields by name. `value_range` is (0, 255),
            and `channels` and `transparency` are up to what makes the bytes.

    Input shape: (B, H, W, C), values in [0, 255], any type; H and W may be unknown.
    Output shape: (B, height, width, C).

    Reference: Pillow, src/libImaging/Resample.c (filters and their support).
    """

    def __init__(
        self, preprocessing: Preprocessing | dict[str, Any], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(preprocessing, dict):
            preprocessing = Preprocessing(**preprocessing)
        if preprocessing.interpolation not in _FILTERS:
            raise ValueError(
                f"interpolation must be one of {[*_FILTERS]} in a graph, received "
                f"interpolation={preprocessing.interpolation!r}. Choose one of them, "
                "or preprocess outside."
            )
        self.preprocessing = preprocessing

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, H, W, C)")

    def call(self, images: Tensor) -> Tensor:
        shape: Any = ops.shape(images)
        _, height, width, channels = shape
        scaled_height, scaled_width = self._scaled_size(height, width)
        target_height, target_width = self.preprocessing.image_size
        rows = self._matrix(height, scaled_height, target_height)
        columns = self._matrix(width, scaled_width, target_width)
        x = ops.cast(images, "float32")
        if _is_height_first(height - scaled_height, width - scaled_width):
            x = self._resize_height(x, rows, (height, width, channels))
            x = self._round(ops.matmul(columns, x))  # (B, height, width, C)
        else:
            x = self._round(ops.matmul(columns, x))  # (B, H, width, C)
            x = self._resize_height(x, rows, (height, target_width, channels))
        if self.preprocessing.resize == "border":
            x = x + self._border(rows, columns)
        scale, offset = self.preprocessing.scale_and_offset
        x = x * ops.convert_to_tensor(scale) + ops.convert_to_tensor(offset)
        return ops.cast(x, self.compute_dtype)

    def _resize_height(
        self, x: Tensor, rows: Tensor, shape: tuple[Any, Any, Any]
    ) -> Tensor:
        height, width, channels = shape
        x = ops.reshape(x, (-1, height, width * channels))
        x = self._round(ops.matmul(rows, x))  # (B, height, W * C)
        return ops.reshape(x, (-1, self.preprocessing.image_size[0], width, channels))

    def _round(self, x: Tensor) -> Tensor:
        if self.preprocessing.resize_dtype == "float32":
            return x
        # Bytes after each of the two steps, as Pillow does: clipping is not linear, and
        # halves, which are frequent at simple ratios, go up.
        return ops.clip(ops.floor(x + 0.5), 0.0, 255.0)

    def _border(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the mean colour where a row or a column lies beside the image."""
        height, width = self.preprocessing.image_size
        # The weights of a pixel inside add up to 1, those of one outside to 0.
        inside = ops.reshape(ops.sum(rows, axis=1), (height, 1, 1))
        inside = inside * ops.reshape(ops.sum(columns, axis=1), (1, width, 1))
        color = np.asarray(self.preprocessing.border_color, "float32")
        return (1.0 - ops.round(inside)) * ops.convert_to_tensor(color)

    def _scaled_size(self, height: Any, width: Any) -> tuple[Any, Any]:
        target_height, target_width = self.preprocessing.resized_size
        if self.preprocessing.resize == "squash":
            return target_height, target_width
        scaled_height = self._scaled_side(height, width, target_width)
        scaled_width = self._scaled_side(width, height, target_height)
        if self.preprocessing.resize == "crop":
            return (
                _largest(scaled_height, target_height),
                _largest(scaled_width, target_width),
            )
        return (
            _largest(_smallest(scaled_height, target_height), 1),
            _largest(_smallest(scaled_width, target_width), 1),
        )

    def _scaled_side(self, side: Any, other: Any, target: int) -> Any:
        """Return the pixels of a side if the other one becomes `target` pixels."""
        target_height, target_width = self.preprocessing.resized_size
        if self.preprocessing.resize == "crop" and target_height == target_width:
            return side * target // other
        if isinstance(side, int) and isinstance(other, int):
            return round(side / (other / target))  # As Preprocessing, to the last bit.
        return (2 * side * target + other) // (2 * other)

    @property
    def _can_be_too_small(self) -> bool:
        resized, wanted = self.preprocessing.resized_size, self.preprocessing.image_size
        is_smaller = any(a < b for a, b in zip(resized, wanted, strict=True))
        return self.preprocessing.resize == "border" or is_smaller

    def _offset(self, rest: Any) -> Any:
        """Return where the crop begins if so many pixels stand over."""
        if self.preprocessing.crop_rounding == "down":
            return rest // 2
        half = rest // 2
        even = half + (rest % 2) * (half % 2)  # Rounds halves to even, as round().
        if not self._can_be_too_small:
            return even
        # Of what is missing, the smaller half comes first.
        return _largest(even, 0) + (_smallest(rest, 0) + 1) // 2

    def _matrix(self, size: Any, scaled: Any, target: int) -> Tensor:
        """Return the (target, size) matrix that resizes to `scaled` and crops."""
        offset = self._offset(scaled - target)
        index = ops.reshape(ops.arange(target, dtype="int32") + offset, (-1, 1))
        weights = self._weights(index, size, scaled)
        if not self._can_be_too_small:
            return weights
        inside = ops.logical_and(index >= 0, index < scaled)
        return ops.where(inside, weights, 0.0)

    def _weights(self, index: Tensor, size: Any, scaled: Any) -> Tensor:
        """Return what resized pixels, (N, 1), take from each one: (N, size)."""
        if self._can_be_too_small:
            # Outside there is nothing to divide by; what it gives is thrown away.
            index = ops.clip(index, 0, scaled - 1)
        taps = ops.reshape(ops.arange(size, dtype="int32"), (1, -1))
        if self.preprocessing.interpolation == "nearest":
            # In whole numbers, because the centre often lies between two pixels.
            nearest = (2 * index + 1) * size // (2 * scaled)
            return ops.cast(ops.equal(taps, nearest), "float32")
        scale = ops.cast(size, "float32") / ops.cast(scaled, "float32")
        centre = (ops.cast(index, "float32") + 0.5) * scale
        taps = ops.cast(taps, "float32")
        width = ops.maximum(scale, 1.0)
        weights = _FILTERS[self.preprocessing.interpolation](
            (taps + 0.5 - centre) / width
        )
        return weights / ops.sum(weights, axis=1, keepdims=True)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], *self.preprocessing.image_size, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "preprocessing": asdict(self.preprocessing)}


def _is_height_first(less_height: Any, less_width: Any) -> bool:
    """Return whether the height is resized before the width, as from Pillow 13 on."""
    if not (isinstance(less_height, int) and isinstance(less_width, int)):
        return False  # Unknown sizes: as Pillow before 13.
    return less_height > max(0, 2 * less_width)


def _largest(size: Any, other: int) -> Any:
    return max(size, other) if isinstance(size, int) else ops.maximum(size, other)


def _smallest(size: Any, other: int) -> Any:
    return min(size, other) if isinstance(size, int) else ops.minimum(size, other)


def _triangle(x: Tensor) -> Tensor:
    return ops.maximum(1.0 - ops.abs(x), 0.0)


def _cubic(x: Tensor) -> Tensor:
    # Keys' kernel with a = -0.5.
    x = ops.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return ops.where(x < 1.0, near, ops.where(x < 2.0, far, 0.0))


def _lanczos(x: Tensor) -> Tensor:
    def sinc(y: Tensor) -> Tensor:
        y = math.pi * ops.where(ops.abs(y) < 1e-6, 1e-6, y)
        return ops.sin(y) / y

    return ops.where(ops.abs(x) < 3.0, sinc(x) * sinc(x / 3.0), 0.0)


_FILTERS = {
    "nearest": None,
    "bilinear": _triangle,
    "bicubic": _cubic,
    "lanczos": _lanczos,
}
