"""Preprocessing by timm and transformers themselves, on all kinds of pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from keras_vit import Preprocessing
from keras_vit.preprocessing import exact_crop_ratio
from tests import peers

Picture = Image.Image
Transform = Callable[[Picture], np.ndarray]

HALF = {"image_mean": (0.5,) * 3, "image_std": (0.5,) * 3}
IMAGENET = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}
CLIP = {
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
}
# What a preprocessor_config.json leaves out; resample is Pillow's code.
SQUASH = {"size": {"height": 224, "width": 224}}
SHORT_SIDE = {"size": {"shortest_edge": 224}, "crop_size": 224, "do_center_crop": True}
PROCESSORS: dict[str, dict[str, Any]] = {
    "ViT": {**SQUASH, **HALF, "resample": 2},
    "DeiT": {"size": 256, "crop_size": 224, "do_center_crop": True, **HALF},
    "Bit": {**SHORT_SIDE, **CLIP, "do_convert_rgb": True},
    "CLIP": {**SHORT_SIDE, **CLIP, "do_convert_rgb": True},
    "ChineseCLIP": {**SHORT_SIDE, **CLIP, "do_convert_rgb": True},
    "Siglip": {**SQUASH, **HALF, "do_convert_rgb": True},
    "Blip": {"size": 384, **CLIP, "do_convert_rgb": True},
    "Beit": {**SQUASH, **HALF, "crop_size": 224},
    "DINOv3ViT": {**SQUASH, **IMAGENET, "resample": 2},
    "Tipsv2": {"size": 448, "resample": 2, "do_normalize": False}
    | {"do_convert_rgb": True},
}
_INTERPOLATIONS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
# One number as size: both sides, but the shorter side here (`default_to_square`).
_SHORT_SIDE_NUMBERS = ("Bit", "CLIP", "ChineseCLIP", "Siglip")
_TORCHVISION_ONLY = ("DINOv3ViT", "Tipsv2")


def pictures() -> dict[str, Picture]:
    """Return photographs of many sizes, and one in each mode of Pillow."""
    from sklearn.datasets import load_sample_images

    china, flower = (Image.fromarray(a) for a in load_sample_images().images)
    part = china.crop((100, 60, 433, 311))
    alpha = Image.linear_gradient("L").resize(part.size)
    see_through = part.copy()
    see_through.putalpha(alpha)
    grey_alpha = part.convert("L")
    grey_alpha.putalpha(alpha)
    return {
        "china 640x427": china,
        "flower 640x427": flower,
        "odd 333x251": part,
        "tall 201x427": china.crop((100, 0, 301, 427)),
        "wide 611x83": flower.crop((20, 200, 631, 283)),
        "small 37x61": flower.crop((300, 200, 337, 261)),
        "grey": part.convert("L"),
        "palette": part.quantize(64),
        "palette, transparent": _transparent_palette(part),
        "RGBA": see_through,
        "grey with alpha": grey_alpha,
        "black and white": part.convert("1"),
        "CMYK": part.convert("CMYK"),
        "EXIF rotation": _turned(part),
    }


def _transparent_palette(picture: Picture) -> Picture:
    file = io.BytesIO()
    palette = picture.quantize(64)
    palette.save(file, "PNG", transparency=palette.getpixel((0, 0)))
    return _reopened(file)


def _turned(picture: Picture) -> Picture:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    picture.save(file, "JPEG", exif=exif, quality=95)
    return _reopened(file)


def _reopened(file: io.BytesIO) -> Picture:
    file.seek(0)
    picture = Image.open(file)
    picture.load()
    return picture


def timm_transform(channels: int = 3, **options: Any) -> Transform:
    """Return timm's evaluation: its loader's conversion, then its transform."""
    peers.import_timm()
    from timm.data import create_transform

    transform = create_transform(**options)

    def apply(picture: Picture) -> np.ndarray:
        # timm does not turn pictures; we do, so both start from the upright one.
        upright = ImageOps.exif_transpose(picture)
        result = transform(upright.convert("L" if channels == 1 else "RGB"))
        return result.numpy().transpose(1, 2, 0)

    return apply


def from_timm(options: dict[str, Any]) -> Preprocessing:
    """Return what the options of timm's `create_transform`, as in a config, mean."""
    channels, height, width = options["input_size"]
    return Preprocessing(
        image_size=(height, width),
        channels=channels,
        resize={"center": "crop"}.get(options["crop_mode"], options["crop_mode"]),
        crop_ratio=options["crop_pct"],
        interpolation=options["interpolation"],
        mean=options["mean"],
        std=options["std"],
    )


def processor(name: str, folder: Path, backend: str, **options: Any) -> Transform:
    """Let transformers read a preprocessor_config.json that says no more than this."""
    peers.import_timm()  # Makes torchvision importable.
    from transformers import AutoImageProcessor

    config = {"image_processor_type": f"{name}ImageProcessor", **options}
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    apply = AutoImageProcessor.from_pretrained(folder, backend=backend)
    assert apply.backend == backend
    converts = {**PROCESSORS[name], **options}.get("do_convert_rgb", False)

    def call(picture: Picture) -> np.ndarray:
        upright = ImageOps.exif_transpose(picture)
        if not converts:  # It takes RGB alone.
            upright = upright.convert("RGB")
        values = apply(upright, return_tensors="np")["pixel_values"][0]
        return np.asarray(values).transpose(1, 2, 0)

    return call


def backends(name: str) -> list[str]:
    """Return the implementations that transformers has of a processor."""
    return ["torchvision"] if name in _TORCHVISION_ONLY else ["pil", "torchvision"]


def from_transformers(name: str, **options: Any) -> Preprocessing:
    """Return what a preprocessor_config.json means: the class and what it says."""
    config = {"do_normalize": True, "resample": 3, "rescale_factor": 1 / 255}
    config |= {**PROCESSORS[name], **options}
    size = config["size"]
    if isinstance(size, int) and name in _SHORT_SIDE_NUMBERS:
        size = {"shortest_edge": size}
    resize = "crop" if "shortest_edge" in _as_dict(size) else "squash"
    size, crop_size = _sides(size), _sides(config.get("crop_size", 1))
    if not config.get("do_center_crop"):
        assert resize == "squash", "The size of the result depends on the picture."
        crop_size = size
    ratios = [exact_crop_ratio(c, s) for c, s in zip(crop_size, size, strict=True)]
    mean, std = np.zeros(3), np.ones(3)
    if config["do_normalize"]:
        mean, std = np.array(config["image_mean"]), np.array(config["image_std"])
    factor = 255 * config["rescale_factor"] if config.get("do_rescale", True) else 255
    return Preprocessing(
        image_size=crop_size,
        resize=resize,
        crop_ratio=tuple(ratios),
        interpolation=_INTERPOLATIONS[config["resample"]],
        mean=tuple(mean / factor),
        std=tuple(std / factor),
        crop_rounding="down",
        resize_dtype="float32" if name == "DINOv3ViT" else "uint8",
        transparency="white" if config.get("do_convert_rgb") else "drop",
    )


def _as_dict(size: Any) -> dict[str, int]:
    return size if isinstance(size, dict) else {"height": size, "width": size}


def _sides(size: Any) -> tuple[int, int]:
    sides = _as_dict(size)
    if "shortest_edge" in sides:
        return sides["shortest_edge"], sides["shortest_edge"]
    return sides["height"], sides["width"]


def largest_difference(
    ours: Preprocessing, theirs: Transform, picture: Picture
) -> float:
    """Return how far two results are apart before mean and std, in units of [0, 1]."""
    expected, result = theirs(picture), ours(picture)
    assert result.shape == expected.shape, (result.shape, expected.shape)
    return float(np.max(np.abs(result - expected) * np.asarray(ours.std)))
