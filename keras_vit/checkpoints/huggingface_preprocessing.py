"""From `preprocessor_config.json` of transformers to `Preprocessing`, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keras_vit.preprocessing import Interpolation, Preprocessing, exact_crop_ratio

# PIL's codes.
RESAMPLE: dict[int, Interpolation] = {
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
    4: "box",
    5: "hamming",
}
_FILES = ("preprocessor_config.json", "processor_config.json")


def read_preprocessing(
    folder: Path, image_size: tuple[int, int], channels: int
) -> Preprocessing | None:
    """Return what the image processor in a folder does; None if there is none.

    Args:
        folder: of the checkpoint.
        image_size: pixels that the model takes, (height, width). A processor for
            another size keeps its proportion of crop and image.
        channels: of the model.

    Raises:
        ValueError: if the file is not JSON or says something that keras_vit cannot do.
    """
    for name in _FILES:
        file = folder / name
        if not file.is_file():
            continue
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{str(file)!r} is not JSON: {error}") from error
        values = values.get("image_processor", values)
        if isinstance(values, dict) and "image_mean" in values:
            return preprocessing_from_huggingface(values, image_size, channels)
    return None


def preprocessing_from_huggingface(
    values: dict[str, Any], image_size: tuple[int, int], channels: int
) -> Preprocessing:
    """Return what an image processor does.

    Args:
        values: its configuration.
        image_size: pixels that the model takes, (height, width).
        channels: of the model.

    Raises:
        ValueError: if `resample` is no code of PIL.
    """
    resize, ratio = _resize(values, image_size)
    code = values.get("resample", 2 if resize == "squash" else 3)
    if code not in RESAMPLE:
        raise ValueError(
            f"resample must be one of {list(RESAMPLE)}, received resample={code!r}."
        )
    mean, std = _normalization(values, channels)
    kind = str(values.get("image_processor_type", ""))
    return Preprocessing(
        image_size=image_size,
        channels=channels,
        resize=resize,
        crop_ratio=ratio,
        interpolation=RESAMPLE[code],
        mean=mean,
        std=std,
        crop_rounding="down",
        # DINOv3's rescales before it resizes.
        resize_dtype="float32" if kind.startswith("DINOv3") else "uint8",
        transparency="white" if values.get("do_convert_rgb") else "drop",
    )


def _resize(
    values: dict[str, Any], image_size: tuple[int, int]
) -> tuple[Any, float | tuple[float, float]]:
    size = values.get("size", image_size)
    crop = values.get("crop_size") if values.get("do_center_crop") else None
    if isinstance(size, dict) and "shortest_edge" in size:
        side = size["shortest_edge"]
        cut = min(_height_width(crop)) if crop else side
        return "crop", _ratio(cut, side, min(image_size))
    if isinstance(size, int) and crop:  # Old files; CLIP's keep the proportions.
        return "crop", _ratio(min(_height_width(crop)), size, min(image_size))
    if not values.get("do_resize", True) or not _is_size(size):
        return "squash", 1.0
    resized = _height_width(size)
    cuts = _height_width(crop) if crop else resized
    ratios = [_ratio(*sizes) for sizes in zip(cuts, resized, image_size, strict=True)]
    return "squash", ratios[0] if ratios[0] == ratios[1] else (ratios[0], ratios[1])


def _ratio(cut: int, resized: int, wanted: int) -> float:
    # The same proportion if the model takes another size than the processor makes.
    return exact_crop_ratio(cut, resized) if cut == wanted else cut / resized


def _is_size(size: Any) -> bool:
    return not isinstance(size, dict) or {"height", "width"} <= set(size)


def _height_width(size: Any) -> tuple[int, int]:
    if isinstance(size, dict):
        edge = size.get("shortest_edge")
        return (edge, edge) if edge else (size["height"], size["width"])
    return tuple(size) if isinstance(size, (list, tuple)) else (size, size)


def _normalization(
    values: dict[str, Any], channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std in units of [0, 1], whatever the pixels are scaled by."""
    factor = values.get("rescale_factor", 1 / 255) if _does(values, "rescale") else 1.0
    unit = 255 * factor
    mean, std = (0.0,), (1.0,)
    if _does(values, "normalize"):
        mean, std = values["image_mean"], values["image_std"]
    return _scaled(mean, unit, channels), _scaled(std, unit, channels)


def _does(values: dict[str, Any], step: str) -> bool:
    return bool(values.get(f"do_{step}", True))


def _scaled(numbers: Any, unit: float, channels: int) -> tuple[float, ...]:
    numbers = numbers if isinstance(numbers, (list, tuple)) else [numbers]
    return tuple(float(numbers[i % len(numbers)]) / unit for i in range(channels))


def huggingface_preprocessing(preprocessing: Preprocessing) -> dict[str, Any]:
    """Return a `preprocessor_config.json`.

    Raises:
        ValueError: if transformers has no image processor that does the same.
    """
    low, high = preprocessing.value_range
    if preprocessing.resize == "border" or low != 0.0:
        raise ValueError(
            "transformers has no image processor for preprocessing with "
            f"resize={preprocessing.resize!r}, value_range=({low}, {high}). Set "
            "another preprocessing, or save with format='keras'."
        )
    (height, width), resized = preprocessing.image_size, preprocessing.resized_size
    is_square = resized[0] == resized[1]
    keeps = preprocessing.resize == "crop"
    if keeps and not is_square:
        raise ValueError(
            "transformers resizes the shorter side to one number, received "
            f"resize='crop' to {resized} (height, width). Use square images, or save "
            "with format='keras'."
        )
    codes = {name: code for code, name in RESAMPLE.items()}
    size = {"height": resized[0], "width": resized[1]}
    return {
        "image_processor_type": _processor(preprocessing),
        "do_convert_rgb": preprocessing.transparency == "white",
        "do_resize": True,
        "size": {"shortest_edge": resized[0]} if keeps else size,
        "resample": codes[preprocessing.interpolation],
        "do_center_crop": keeps or resized != (height, width),
        "crop_size": {"height": height, "width": width},
        "do_rescale": True,
        "rescale_factor": 1 / high,
        "do_normalize": True,
        "image_mean": list(preprocessing.mean),
        "image_std": list(preprocessing.std),
    }


def _processor(preprocessing: Preprocessing) -> str:
    """Return a class that obeys all of these keys."""
    if preprocessing.resize_dtype == "float32":
        return "DINOv3ViTImageProcessor"
    return (
        "CLIPImageProcessor" if preprocessing.resize == "crop" else "ViTImageProcessor"
    )
