"""Test-time augmentation: the mean answer over several views of a picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np

from keras_vit.inference.predictor import Predictor
from keras_vit.preprocessing import Preprocessing

Views = Literal["flip", "crops"]
# Of the side of the picture that crops are cut out of: 224 of 256 pixels.
CROP_RATIO = 0.875


def augmented(predictor: Predictor, augment: Views | None) -> Predictor:
    """Return a predictor whose outputs are mean probabilities over views.

    Args:
        predictor: of a classifier.
        augment: "flip" for the picture and its mirror image; "crops" for the centre and
            the four corners of the picture at `image_size / 0.875`, and their mirror
            images, ten in all; None for the picture alone.

    Raises:
        ValueError: if `augment` is none of those, or the model cuts pictures itself and
            crops are asked for.

    Reference: Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural
    Networks, section 4.1 (ten crops, mean of the softmax outputs).
    """
    if augment is None:
        return predictor
    if augment not in get_args(Views):
        raise ValueError(
            f"augment must be one of {list(get_args(Views))} or None, received "
            f"augment={augment!r}. Check the spelling."
        )
    if augment == "crops" and predictor.pixel_size is not None:
        raise ValueError(
            f"Crops are cut before the model, and {predictor.name!r} resizes and cuts "
            "pictures itself. Use augment='flip' (--tta flip), or the .keras model."
        )
    cut = augment == "crops"

    def run(images: np.ndarray) -> np.ndarray:
        # (B, H, W, C), or (B, 5, H, W, C).
        views = np.moveaxis(images, 1, 0) if cut else images[None]
        means = [
            predictor.probabilities(np.asarray(predictor.run(pixels)))
            for view in views
            for pixels in (view, np.ascontiguousarray(view[:, :, ::-1]))
        ]
        return np.mean(means, axis=0)

    return replace(
        predictor,
        run=run,
        activation=predictor.activation or "softmax",  # Probabilities already.
        views=five_crops if cut else None,
    )


def five_crops(preprocessing: Preprocessing, image: Any) -> np.ndarray:
    """Return centre and corners of a picture, ready for the model, (5, H, W, C)."""
    height, width = preprocessing.image_size
    rows, columns = (round(side / CROP_RATIO) for side in (height, width))
    whole = replace(preprocessing, image_size=(rows, columns), crop_ratio=1.0)
    pixels = whole.to_values(image)
    bottom, right = rows - height, columns - width
    places = [
        *((bottom // 2, right // 2), (0, 0), (0, right)),
        *((bottom, 0), (bottom, right)),
    ]
    return np.stack([pixels[y : y + height, x : x + width] for y, x in places])
