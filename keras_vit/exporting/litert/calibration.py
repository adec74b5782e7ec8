"""Pictures that show a quantizer which values occur."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.data.sequences import by_position
from keras_vit.data.sources.picture_files import image_files
from keras_vit.exporting.prepared_model import PreparedModel

LEAST_IMAGES = 10
_MOST_NAMED = 5


def calibration_images(
    calibration: Sequence[Any] | str | Path, prepared: PreparedModel
) -> np.ndarray:
    """Return calibration pictures as the file takes them, (N, H, W, C).

    Args:
        calibration: a folder, or paths, PIL images or arrays.
        prepared: what is converted.

    Raises:
        OSError: if a picture cannot be read.
        ValueError: if there are too few pictures, or one of them has the wrong shape or
            shows nothing.
    """
    if isinstance(calibration, (str, Path)):
        calibration = image_files([calibration])
    pictures = list(by_position(calibration, "calibration"))
    if len(pictures) < LEAST_IMAGES:
        raise ValueError(
            f"calibration must hold at least {LEAST_IMAGES} pictures, so that the "
            f"values in it are those in use, received {len(pictures)}. About 100 are "
            "better."
        )
    prepared.check_values(pictures)
    read = []
    for i, picture in enumerate(pictures):
        try:
            read.append(prepared.picture(picture))
        except (TypeError, ValueError) as error:
            name = _name(pictures, i)
            raise type(error)(f"{name} cannot be used: {error}") from error
    _check_content(read, pictures)
    return np.stack(read)


def _check_content(read: list[np.ndarray], pictures: list[Any]) -> None:
    # Channel by channel: normalization makes three values of one grey.
    constant = [i for i, x in enumerate(read) if np.ptp(x, axis=(0, 1)).max() == 0]
    if constant:
        names = ", ".join(_name(pictures, i) for i in constant[:_MOST_NAMED])
        more = ", ..." if len(constant) > _MOST_NAMED else ""
        raise ValueError(
            "calibration must hold pictures that show something, received "
            f"{len(constant)} of {len(read)} with one colour for all pixels: "
            f"{names}{more}. Leave them out."
        )
    if all(np.array_equal(image, read[0]) for image in read):
        raise ValueError(
            "calibration must hold different pictures, received the same one "
            f"{len(read)} times. Pass pictures like those in use."
        )


def _name(pictures: list[Any], i: int) -> str:
    is_path = isinstance(pictures[i], (str, Path))
    return repr(str(pictures[i])) if is_path else f"calibration[{i}]"
