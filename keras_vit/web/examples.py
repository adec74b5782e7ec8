"""Example pictures beside a page, for people who have none at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.preprocessing import Preprocessing

FOLDER = "examples"
MOST = 6
# Pixels of the longer side: enough to look at, and for models of that size.
_LARGEST_SIDE = 512
# Below, each pixel counts and a file without loss is small.
_SMALL_SIDE = 128


def write_examples(
    examples: Sequence[Any], preprocessing: Preprocessing, folder: Path
) -> list[str]:
    """Write pictures into the folder of a page; return their names in it.

    Nothing but pixels is kept: no name of a file, no place, no date.

    Args:
        examples: paths, PIL images or arrays, as `Preprocessing` takes them.
        preprocessing: of the model.
        folder: of the page.

    Raises:
        OSError: if a picture cannot be read.
        ValueError: if there are more than six, or one has the wrong shape or values.
    """
    if len(examples) > MOST:
        raise ValueError(
            f"A page has up to {MOST} example pictures, received {len(examples)}. "
            "Choose a few that show what the model is for."
        )
    names = []
    for number, example in enumerate(examples, 1):
        image = _small(_bytes(example, preprocessing))
        is_exact = max(image.size) <= _SMALL_SIDE or image.mode == "RGBA"
        name = f"{FOLDER}/{number}{'.png' if is_exact else '.jpg'}"
        (folder / FOLDER).mkdir(exist_ok=True)
        image.save(folder / name, **({} if is_exact else {"quality": 92}))
        names.append(name)
    return names


def _bytes(example: Any, preprocessing: Preprocessing) -> np.ndarray:
    pixels = preprocessing.to_array(example)
    low, high = preprocessing.value_range
    scaled = (np.asarray(pixels, "float32") - low) * (255 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype("uint8")


def _small(pixels: np.ndarray) -> Any:
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE), Image.Resampling.LANCZOS)
    return image
