"""RandAugment: a few operations, drawn for each image, at one magnitude."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_vit.data.augmenting.operations import (
    MAGNITUDES,
    MAX_MAGNITUDE,
    OPERATIONS,
    Paint,
)
from keras_vit.data.checks import check_count, check_value

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
        operations: names from `OPERATIONS` of `keras_vit.data.augmenting.operations` to
            draw from. Default: the 15 of timm.

    Raises:
        ValueError: if an option is out of its range.

    Example:
        ```python
        weaker = keras_vit.RandAugment(magnitude=5, num_operations=1)
        augmentation = keras_vit.Augmentation(rand_augment=weaker, horizontal_flip=True)
        recipe = keras_vit.Recipe(augmentation=augmentation)
        recipe.augmentation.rand_augment.num_operations  # 1
        ```

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
        strongest = f"in [0, {MAX_MAGNITUDE:g}]"
        is_valid = 0 <= self.magnitude <= MAX_MAGNITUDE
        check_value(is_valid, "magnitude", self.magnitude, strongest)
        # JSON has lists where Python has tuples.
        object.__setattr__(self, "operations", tuple(self.operations))
        unknown = [name for name in self.operations if name not in OPERATIONS]
        if unknown or not self.operations:
            raise ValueError(
                f"operations must be some of {list(OPERATIONS)}, received "
                f"{unknown or list(self.operations)}. Check the spelling."
            )
        spread, probability = self.magnitude_std, self.probability
        check_value(spread >= 0, "magnitude_std", spread, "at least 0")
        check_count("num_operations", self.num_operations, 1)
        rule = "above 0 and at most 1"
        check_value(0 < probability <= 1, "probability", probability, rule)

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
            drawn = rng.normal(self.magnitude, self.magnitude_std)
            magnitude, increasing = min(max(drawn, 0.0), highest), self.increasing
            image = OPERATIONS[names[choice]].apply_at(
                magnitude, image, paint, rng, shift=0.45, increasing=increasing
            )
        return image
