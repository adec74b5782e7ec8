"""Preprocessing inside the graph. Shapes: B batch, H W C image."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vit.layers.shapes import Shape, Tensor, check_rank


@keras.saving.register_keras_serializable(package="keras_vit")
class ImagePreprocessing(keras.layers.Layer):
    """Do in the graph what `keras_vit.Preprocessing` does to one picture of bytes.

    For exports that take pixels. Resizing is two products with matrices that hold the
    filter, so each runtime has the ops and all give the same numbers as Pillow, up to
    its rounding: at most one of 255 steps apart ("nearest" aside, where Pillow's choice
    between two pixels at the same distance follows from its rounding). The arguments
    are the fields of `keras_vit.Preprocessing` of the same names; `value_range` is
    (0, 255).

    Args:
        image_size: pixels of the result, (height, width).
        resize: "crop" or "squash".
        crop_ratio: share of the resized sides that is kept, (0, 1].
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos".
        mean: one number per channel, in units of [0, 1].
        std: one number per channel, in units of [0, 1].

    Input shape: (B, H, W, C), values in [0, 255], any type; H and W may be unknown.
    Output shape: (B, height, width, C).

    Reference: Pillow, src/libImaging/Resample.c (filters and their support).
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        resize: str = "crop",
        crop_ratio: float = 1.0,
        interpolation: str = "bicubic",
        mean: tuple[float, ...] = (0.5,),
        std: tuple[float, ...] = (0.5,),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if interpolation not in _FILTERS:
            raise ValueError(
                f"interpolation must be one of {list(_FILTERS)}, received "
                f"interpolation={interpolation!r}."
            )
        self.image_size = tuple(image_size)
        self.resize = resize
        self.crop_ratio = crop_ratio
        self.interpolation = interpolation
        self.mean = tuple(mean)
        self.std = tuple(std)

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, H, W, C)")

    def call(self, images: Tensor) -> Tensor:
        shape: Any = ops.shape(images)
        _, height, width, channels = shape
        scaled_height, scaled_width = self._scaled_size(height, width)
        rows = self._matrix(height, scaled_height, self.image_size[0])
        columns = self._matrix(width, scaled_width, self.image_size[1])
        x = ops.cast(images, "float32")
        # Bytes after each of the two steps, as Pillow does: clipping is not linear.
        x = ops.matmul(columns, x)  # (B, H, width, C)
        x = ops.clip(ops.round(x), 0.0, 255.0)
        x = ops.reshape(x, (-1, height, self.image_size[1] * channels))
        x = ops.matmul(rows, x)  # (B, height, width * C)
        x = ops.clip(ops.round(x), 0.0, 255.0)
        x = ops.reshape(x, (-1, *self.image_size, channels))
        std = 255.0 * np.asarray(self.std)
        scale = (1.0 / std).astype("float32")
        offset = (-255.0 * np.asarray(self.mean) / std).astype("float32")
        x = x * ops.convert_to_tensor(scale) + ops.convert_to_tensor(offset)
        return ops.cast(x, self.compute_dtype)

    def _scaled_size(self, height: Any, width: Any) -> tuple[Any, Any]:
        target_height = math.floor(self.image_size[0] / self.crop_ratio)
        target_width = math.floor(self.image_size[1] / self.crop_ratio)
        if self.resize == "squash":
            return target_height, target_width
        by_height = target_height, target_height * width // height
        by_width = target_width * height // width, target_width
        if isinstance(height, int) and isinstance(width, int):
            return (
                max(by_width[0], target_height),
                max(by_height[1], target_width),
            )
        return (
            ops.maximum(by_width[0], target_height),
            ops.maximum(by_height[1], target_width),
        )

    def _matrix(self, size: Any, scaled: Any, target: int) -> Tensor:
        """Return the (target, size) matrix that resizes to `scaled` and crops."""
        rest = scaled - target
        half = rest // 2
        offset = half + (rest % 2) * (half % 2)  # Rounds halves to even, as round().
        index = ops.reshape(ops.arange(target, dtype="int32") + offset, (-1, 1))
        taps = ops.reshape(ops.arange(size, dtype="int32"), (1, -1))
        if self.interpolation == "nearest":
            # In whole numbers, because the centre often lies between two pixels.
            nearest = (2 * index + 1) * size // (2 * scaled)
            return ops.cast(ops.equal(taps, nearest), "float32")
        scale = ops.cast(size, "float32") / ops.cast(scaled, "float32")
        centre = (ops.cast(index, "float32") + 0.5) * scale
        taps = ops.cast(taps, "float32")
        width = ops.maximum(scale, 1.0)
        weights = _FILTERS[self.interpolation]((taps + 0.5 - centre) / width)
        return weights / ops.sum(weights, axis=1, keepdims=True)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], *self.image_size, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "resize": self.resize,
            "crop_ratio": self.crop_ratio,
            "interpolation": self.interpolation,
            "mean": self.mean,
            "std": self.std,
        }


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
