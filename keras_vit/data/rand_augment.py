"""RandAugment: a few operations, drawn for each image, at one magnitude."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_vit.data.operations import MAGNITUDES, OPERATIONS, Paint, strength_of

# timm's order: its draw from this list is by position.
RAND_AUGMENT_OPERATIONS = (
    *("auto_contrast", "equalize", "invert", "rotate", "posterize", "solarize"),
    *("solarize_add", "color", "contrast", "brightness", "sharpness"),
    *("shear_x", "shear_y", "translate_x", "translate_y"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RandAugment:
    """Change a picture by `num_operations` of 15 operations, drawn with replacement.

    The defaults are timm's `rand-m9-mstd0.5-inc1`, which DeiT trains with.

    Args:
        magnitude: how strong the operations are, [0, 10]. Default 9.
        magnitude_std: standard deviation of the magnitude between operations, at least
            0. Default 0.5.
        num_operations: drawn for each image, at least 1. Default 2.
        probability: that a drawn operation is applied, (0, 1]. Default 0.5.
        increasing: whether a higher magnitude always changes more. Default True.
            Without, posterize, solarize and the enhancements follow AutoAugment, where
            some are weakest at the highest magnitude.

    Raises:
        ValueError: if an option is out of its range.

    Reference: arXiv:1909.13719; timm.data.auto_augment.rand_augment_transform.
    """

    magnitude: float = 9.0
    magnitude_std: float = 0.5
    num_operations: int = 2
    probability: float = 0.5
    increasing: bool = True

    def __post_init__(self) -> None:
        check_magnitude(self.magnitude)
        if not self.magnitude_std >= 0:
            raise ValueError(
                "magnitude_std must be at least 0, received "
                f"magnitude_std={self.magnitude_std!r}."
            )
        if not isinstance(self.num_operations, int) or self.num_operations < 1:
            raise ValueError(
                "num_operations must be a whole number of at least 1, received "
                f"num_operations={self.num_operations!r}."
            )
        if not 0 < self.probability <= 1:
            raise ValueError(
                "probability must be above 0 and at most 1, received "
                f"probability={self.probability!r}."
            )

    def __call__(self, image: Any, paint: Paint, rng: np.random.Generator) -> Any:
        """Return a changed picture of the same size and mode."""
        names = RAND_AUGMENT_OPERATIONS
        for choice in rng.integers(len(names), size=self.num_operations):
            if rng.random() > self.probability:
                continue
            magnitude = rng.normal(self.magnitude, self.magnitude_std)
            operation = OPERATIONS[names[choice]]
            strength = strength_of(
                operation,
                min(max(magnitude, 0.0), MAGNITUDES),
                1 if rng.random() < 0.5 else -1,
                shift=0.45,
                increasing=self.increasing,
            )
            image = operation(image, strength, paint)
        return image


def check_magnitude(magnitude: float) -> None:
    """Raise a ValueError if a magnitude is not from 0 to 10."""
    if not 0 <= magnitude <= MAGNITUDES:
        raise ValueError(
            f"magnitude must be in [0, {MAGNITUDES:g}], received "
            f"magnitude={magnitude!r}."
        )
