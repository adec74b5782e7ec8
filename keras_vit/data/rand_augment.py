"""RandAugment: a few operations, drawn for each image, at one magnitude."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_vit.data.operations import (
    MAGNITUDES,
    MAX_MAGNITUDE,
    OPERATIONS,
    Paint,
    strength_of,
)

# timm's order: its draw from this list is by position.
RAND_AUGMENT_OPERATIONS = (
    *("auto_contrast", "equalize", "invert", "rotate", "posterize", "solarize"),
    *("solarize_add", "color", "contrast", "brightness", "sharpness"),
    *("shear_x", "shear_y", "translate_x", "translate_y"),
)

# Google's, with a square that is cut out.
BIG_VISION_OPERATIONS = (*RAND_AUGMENT_OPERATIONS, "cut_out")


@dataclass(frozen=True, kw_only=True, slots=True)
class RandAugment:
    """Change a picture by a few operations, drawn with replacement.

    The defaults are timm's `rand-m9-mstd0.5-inc1`, which DeiT trains with; `big_vision`
    makes those of Google.

    Args:
        magnitude: how strong the operations are, [0, 20]. Default 9.
        magnitude_std: standard deviation of the magnitude between operations, at least
            0. Default 0.5.
        num_operations: drawn for each image, at least 1. Default 2.
        probability: that a drawn operation is applied, (0, 1]. Default 0.5.
        increasing: whether a higher magnitude always changes more. Default True.
            Without, posterize, solarize and the enhancements follow AutoAugment, where
            some are weakest at the highest magnitude.
        operations: names from `keras_vit.data.operations.OPERATIONS` to draw from.
            Default: the 15 of timm.

    Raises:
        ValueError: if an option is out of its range.

    Reference: arXiv:1909.13719; timm.data.auto_augment.rand_augment_transform;
        google-research/big_vision, pp/archive/autoaugment.py.
    """

    magnitude: float = 9.0
    magnitude_std: float = 0.5
    num_operations: int = 2
    probability: float = 0.5
    increasing: bool = True
    operations: tuple[str, ...] = RAND_AUGMENT_OPERATIONS

    def __post_init__(self) -> None:
        check_magnitude(self.magnitude, MAX_MAGNITUDE)
        # JSON has lists where Python has tuples.
        object.__setattr__(self, "operations", tuple(self.operations))
        unknown = [name for name in self.operations if name not in OPERATIONS]
        if unknown or not self.operations:
            raise ValueError(
                f"operations must be some of {list(OPERATIONS)}, received "
                f"{unknown or list(self.operations)}. Check the spelling."
            )
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

    @classmethod
    def big_vision(cls, magnitude: float, num_operations: int = 2) -> RandAugment:
        """Return big_vision's `randaug(num_operations, magnitude)`.

        Each drawn operation is applied, at one magnitude, as strong as in AutoAugment.

        Args:
            magnitude: [0, 20]; AugReg has 0, 10, 15 and 20.
            num_operations: drawn for each image, at least 1. Default 2.
        """
        return cls(
            magnitude=magnitude,
            magnitude_std=0.0,
            num_operations=num_operations,
            probability=1.0,
            increasing=False,
            operations=BIG_VISION_OPERATIONS,
        )

    def __call__(self, image: Any, paint: Paint, rng: np.random.Generator) -> Any:
        """Return a changed picture of the same size and mode."""
        names = self.operations
        highest = max(self.magnitude, MAGNITUDES)
        for choice in rng.integers(len(names), size=self.num_operations):
            if rng.random() > self.probability:
                continue
            magnitude = rng.normal(self.magnitude, self.magnitude_std)
            operation = OPERATIONS[names[choice]]
            strength = strength_of(
                operation,
                min(max(magnitude, 0.0), highest),
                1 if rng.random() < 0.5 else -1,
                shift=0.45,
                increasing=self.increasing,
            )
            if operation.is_placed:
                paint = replace(paint, place=tuple(rng.random(2)))
            image = operation(image, strength, paint)
        return image


def check_magnitude(magnitude: float, highest: float = MAGNITUDES) -> None:
    """Raise a ValueError if a magnitude is not from 0 to `highest`."""
    if not 0 <= magnitude <= highest:
        raise ValueError(
            f"magnitude must be in [0, {highest:g}], received magnitude={magnitude!r}."
        )
