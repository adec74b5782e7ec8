"""From `preprocessor_config.json` of transformers to `Preprocessing`, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_vit.checkpoints.files.json import read_json, read_table
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
# For these one number is the shorter side, for the others both sides.
_SHORT_SIDE_NUMBERS = ("Bit", "CLIP", "ChineseCLIP")
_SUFFIXES = ("Fast", "Pil", "ImageProcessor", "FeatureExtractor")
_FILES = ("preprocessor_config.json", "processor_config.json")


def _defaults() -> dict[str, dict[str, Any]]:
    """Return what the classes of transformers 5.23 do where a file says nothing."""
    return read_table("huggingface/processors.json")


def read_preprocessing(
    folder: Path, image_size: tuple[int, int] | None, channels: int
) -> Preprocessing | None:
    """Return what the image processor in a folder does; None if there is none.

    Args:
        folder: of the checkpoint.
        image_size: pixels that the model takes, (height, width). A processor for
            another size keeps its proportion of crop and image. None: the size that
            the processor makes; there is no preprocessing if it makes none.
        channels: of the model.

    Raises:
        ValueError: if the file is not JSON or says something that keras_vit cannot do.
    """
    for values in filter(None, (read_json(folder / name) for name in _FILES)):
        values = values.get("image_processor", values)
        is_known = isinstance(values, dict) and (
            "image_mean" in values or _class_name(values) in _defaults()
        )
        if is_known:
            image_size = image_size or processor_size(values)
            if image_size is None:
                return None
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
    name = _class_name(values)
    values = {**_defaults().get(name, {}), **values}
    resize, ratio = _resize(name, values, image_size)
    code = values.get("resample", 2 if resize == "squash" else 3)
    if code not in RESAMPLE:
        raise ValueError(
            f"resample must be one of {list(RESAMPLE)}, received resample={code!r}."
        )
    mean, std = _normalization(values, channels)
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
        resize_dtype="float32" if name == "DINOv3ViT" else "uint8",
        transparency="white" if values.get("do_convert_rgb") else "drop",
    )


def processor_size(values: dict[str, Any]) -> tuple[int, int] | None:
    """Return the size, (height, width), of the pictures that a processor makes.

    None where they depend on the picture: without a crop, the longer side does.

    Args:
        values: configuration of the processor.
    """
    name = _class_name(values)
    values = {**_defaults().get(name, {}), **values}
    if values.get("do_center_crop") and values.get("crop_size"):
        return _whole(_height_width(values["crop_size"]))
    size = values.get("size")
    if size is None or not values.get("do_resize", True):
        return None
    if isinstance(size, int) and name in _SHORT_SIDE_NUMBERS:
        return None
    return _whole(_height_width(size)) if _is_size(size) else None


def _whole(size: Any) -> tuple[int, int]:
    height, width = (int(side) for side in size)
    return height, width


def normalized_again(
    preprocessing: Preprocessing, mean: Sequence[float], std: Sequence[float]
) -> Preprocessing:
    """Return one that also does what a model does to its images first.

    Args:
        preprocessing: before the model.
        mean: subtracted by the model, per channel.
        std: divided by afterwards.
    """
    first = list(zip(preprocessing.mean, preprocessing.std, strict=True))
    second = [(mean[i % len(mean)], std[i % len(std)]) for i in range(len(first))]
    # ((x - m) / s - n) / t = (x - (m + s n)) / (s t)
    both = [(m + s * n, s * t) for (m, s), (n, t) in zip(first, second, strict=True)]
    return replace(
        preprocessing, mean=tuple(m for m, _ in both), std=tuple(s for _, s in both)
    )


def _class_name(values: dict[str, Any]) -> str:
    """Return such as "CLIP" for a CLIPImageProcessorFast or a CLIPFeatureExtractor."""
    name = values.get("image_processor_type") or values.get("feature_extractor_type")
    name = str(name or "")
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def _resize(
    name: str, values: dict[str, Any], image_size: tuple[int, int]
) -> tuple[Any, float | tuple[float, float]]:
    size = values.get("size", image_size)
    if isinstance(size, int) and name in _SHORT_SIDE_NUMBERS:
        size = {"shortest_edge": size}
    keeps = isinstance(size, dict) and "shortest_edge" in size
    if not values.get("do_resize", True) or not (keeps or _is_size(size)):
        return "squash", 1.0
    resized = _height_width(size)
    crop = values.get("crop_size") if values.get("do_center_crop") else None
    cuts = _height_width(crop) if crop else resized
    ratios = [_ratio(*sizes) for sizes in zip(cuts, resized, image_size, strict=True)]
    ratio = ratios[0] if ratios[0] == ratios[1] else (ratios[0], ratios[1])
    return "crop" if keeps else "squash", ratio


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
        mean = values.get("image_mean") or 0.5
        std = values.get("image_std") or 0.5
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
    if preprocessing.resize == "border":
        raise ValueError(
            "transformers has no image processor for preprocessing with "
            f"resize={preprocessing.resize!r}. Set another preprocessing, or save with "
            "format='keras'."
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
        # Files hold bytes, whatever the arrays hold that the model was trained on.
        "rescale_factor": 1 / 255,
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
