"""AugMix: chains of operations, blended with each other and with the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_vit.data.augmenting.operations import MAGNITUDES, OPERATIONS, Paint
from keras_vit.data.checks import check_value

AUG_MIX_OPERATIONS = (
    *("auto_contrast", "color", "contrast", "brightness", "sharpness", "equalize"),
    *("rotate", "posterize", "solarize", "shear_x", "shear_y"),
    *("translate_x", "translate_y"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class AugMix:
    """Blend a picture with a mixture of `width` chains of 1 to 3 operations.

    The defaults are timm's `augmix`; without the consistency loss of the paper, which
    compares several mixtures of one image.

    Args:
        magnitude: the strongest operations, [0, 10]; drawn evenly from 0. Default 3.
        width: chains, at least 1. Default 3.
        depth: operations in a chain, at least 1, or None: 1 to 3, drawn. Default None.
        alpha: of the Dirichlet and Beta distributions of the shares, above 0.
            Default 1.

    Raises:
        ValueError: if an option is out of its range.

    Example:
        ```python
        augmentation = keras_vit.Augmentation(aug_mix=keras_vit.AugMix(magnitude=5))
        recipe = keras_vit.Recipe(augmentation=augmentation)
        recipe.augmentation.aug_mix.width  # 3
        ```

    Reference: arXiv:1912.02781, algorithm 1; timm.data.auto_augment.AugMixAugment.
    """

    magnitude: float = 3.0
    width: int = 3
    depth: int | None = None
    alpha: float = 1.0

    def __post_init__(self) -> None:
        is_valid = 0 <= self.magnitude <= MAGNITUDES
        check_value(is_valid, "magnitude", self.magnitude, f"in [0, {MAGNITUDES:g}]")
        if self.width < 1 or (self.depth is not None and self.depth < 1):
            raise ValueError(
                "width and depth must be at least 1, received "
                f"width={self.width!r}, depth={self.depth!r}. depth=None draws it."
            )
        check_value(self.alpha > 0, "alpha", self.alpha, "above 0")

    def __call__(self, image: Any, paint: Paint, rng: np.random.Generator) -> Any:
        """Return a changed picture of the same size and mode."""
        from PIL import Image

        shares = rng.dirichlet([self.alpha] * self.width).astype("float32")
        blend = float(rng.beta(self.alpha, self.alpha))
        mixed = np.zeros(np.asarray(image).shape, "float32")
        for share in shares:
            mixed += share * np.asarray(self._chain(image, paint, rng), "float32")
        mixture = np.clip(mixed, 0, 255).astype("uint8")
        return Image.blend(image, Image.fromarray(mixture), blend)

    def _chain(self, image: Any, paint: Paint, rng: np.random.Generator) -> Any:
        depth = self.depth or int(rng.integers(1, 4))
        for choice in rng.integers(len(AUG_MIX_OPERATIONS), size=depth):
            operation = OPERATIONS[AUG_MIX_OPERATIONS[choice]]
            magnitude = min(rng.uniform(0, self.magnitude), MAGNITUDES)
            image = operation.apply_at(magnitude, image, paint, rng, shift=0.3)
        return image
