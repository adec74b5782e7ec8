"""Division by the root mean square, which normalizations share. Shapes: D hidden."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from keras import ops

from keras_vit.layers.shapes import Tensor

# A power of two, so that nothing is rounded: float32 results stay the same.
HALF_PRECISION_SCALE = 1 / 16

_SCALES: list[float] = []


@contextmanager
def half_precision_squares() -> Iterator[None]:
    """Let the layers that are called in the block square smaller numbers.

    GPUs of phones compute in float16, whose largest number is 65504: the square of 256
    overflows, and the normalized token is zero. In the block it is 4096 instead.
    """
    _SCALES.append(HALF_PRECISION_SCALE)
    try:
        yield
    finally:
        _SCALES.pop()


def divide_by_root_mean_square(x: Tensor, epsilon: float) -> Tensor:
    """Return x / sqrt(mean(x^2) + epsilon), (..., D)."""
    if _SCALES:
        x, epsilon = x * _SCALES[-1], epsilon * _SCALES[-1] ** 2
    # x * x, not ops.square(x): after a subtraction the converter fuses the latter to an
    # op that full integer quantization leaves in float.
    return x * ops.rsqrt(ops.mean(x * x, axis=-1, keepdims=True) + epsilon)
