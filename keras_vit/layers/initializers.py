"""The first values that several layers share.

Keras annotates its arguments as names of initializers, so these are typed as Any.
"""

from __future__ import annotations

from typing import Any

import keras


def xavier_of_square() -> Any:
    """Return Xavier uniform of a (D, D) matrix, for several beside each other.

    A fused (D, 3 D) one would have a smaller limit. sqrt(3 * scale / fan_avg) =
    sqrt(3 / D) with fan_avg = 2 D.
    """
    return keras.initializers.VarianceScaling(
        scale=2.0, mode="fan_avg", distribution="uniform"
    )


def nearly_zero() -> Any:
    """Return a normal distribution of standard deviation 1e-6."""
    return keras.initializers.RandomNormal(stddev=1e-6)
