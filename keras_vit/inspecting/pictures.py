"""Look at each picture once: what file it is, and what a small copy of it shows."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_vit.data.images import Images
from keras_vit.inspecting.candidates import vectors_of
from keras_vit.read_image import name_of, opened, to_array

# A JPEG is decoded no larger than needed: the shorter side keeps that many pixels.
_DECODED = 512
# The shorter side, at which models see pictures: what is blurred here is so for them.
_SHORT_SIDE = 256
_BLUR_WIDTH = 9
BLANK = 3.0  # contrast below which a picture shows one colour


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """What is known of one picture.

    Args:
        name: path of the file, or "picture 5" where there is none.
        part: "train", "validation" or "test".
        label: number of its class.
        problem: why it cannot be read; None if it can. Then what follows is unknown.
        width, height: pixels, as it is shown.
        format: "JPEG" for example, or "array".
        contrast: standard deviation of its grey values, 0 to 127.
        blur: 0 is sharp, 1 blurred; see `blur_of`.
    """

    name: str
    part: str
    label: int
    problem: str | None = None
    width: int = 0
    height: int = 0
    format: str = ""
    contrast: float = 0.0
    blur: float = 0.0
    vectors: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def is_blank(self) -> bool:
        """Whether it shows one colour only."""
        return self.problem is None and self.contrast < BLANK

    def is_longer_than(self, times: float) -> bool:
        """Return whether one side is so many times longer than the other."""
        return max(self.width, self.height) > times * min(self.width, self.height)


def look_at(images: Images, part: str) -> Iterator[PictureFacts]:
    """Yield the facts of each picture of a set, in order, read by several threads."""

    def look(place: tuple[int, int]) -> PictureFacts:
        position, label = place
        picture = images.read(position)
        name = (
            f"{part} picture {position}"
            if _is_in_memory(picture)
            else name_of(picture).strip("'")
        )
        return _facts(picture, images, name=name, part=part, label=label)

    places = zip(images.indices.tolist(), images.labels.tolist(), strict=True)
    with ThreadPoolExecutor() as pool:
        yield from pool.map(look, places)


def small_picture(picture: Any, images: Images) -> tuple[Any, tuple[int, int], str]:
    """Return a picture as a PIL image, perhaps reduced, its whole size and its format.

    Raises:
        OSError: if a file cannot be read.
        ValueError: if what was read is no picture.
    """
    from PIL import Image

    if hasattr(picture, "shape"):
        pixels = np.asarray(picture)
        channels = pixels.shape[-1] if pixels.ndim == 3 else 1
        pixels = to_array(pixels, channels)
        if channels not in (3, 4):
            pixels = pixels.mean(-1, keepdims=True).repeat(3, axis=-1)
        low, high = _range(images)
        scaled = (pixels[..., :3].astype("float32") - low) * (255 / (high - low))
        image = Image.fromarray(np.clip(scaled, 0, 255).round().astype("uint8"))
        return image, image.size, "array"
    if isinstance(picture, Image.Image):
        pixels = to_array(picture, 3)
        return Image.fromarray(pixels), pixels.shape[1::-1], picture.format or "image"
    with opened(picture) as image:
        size, format = image.size, image.format or ""
        image.draft(None, (_DECODED, _DECODED))  # pyright: ignore[reportArgumentType]
        pixels = to_array(image, 3)
    # Turned by its EXIF.
    is_turned = (pixels.shape[1] > pixels.shape[0]) != (size[0] > size[1])
    return Image.fromarray(pixels), size[::-1] if is_turned else size, format


def _is_in_memory(picture: Any) -> bool:
    return hasattr(picture, "shape") or name_of(picture).startswith("a picture")


def _range(images: Images) -> tuple[float, float]:
    values = images.values
    if values is None or (values.dtype == "uint8"):
        return 0.0, 255.0
    return values.low, max(values.high, values.low + 1e-6)


def _facts(picture: Any, images: Images, **known: Any) -> PictureFacts:
    from PIL import Image

    try:
        image, (width, height), format = small_picture(picture, images)
    except (OSError, ValueError) as error:
        return PictureFacts(**known, problem=_reason(error, known["name"]))
    grey = image.convert("L")
    scale = _SHORT_SIDE / min(grey.size)
    shown = grey
    if scale < 1:
        size = [max(1, round(side * scale)) for side in grey.size]
        shown = grey.resize((size[0], size[1]), Image.Resampling.BOX)
    pixels = np.asarray(shown, "float32")
    return PictureFacts(
        **known,
        width=width,
        height=height,
        format=format,
        contrast=float(pixels.std()),
        blur=blur_of(pixels),
        vectors=vectors_of(grey).astype("float16"),
    )


def _reason(error: Exception, name: str) -> str:
    text = (str(error) or type(error).__name__).splitlines()[0]
    for start in (f"'{name}' ", "cannot be read as an image: "):
        text = text.removeprefix(start)
    return text


def blur_of(grey: np.ndarray) -> float:
    """Return how blurred a grey picture is, from 0 (sharp) to 1.

    A sharp picture loses much by one more blur, a blurred one little (Crete et al.,
    "The blur effect", 2007): so pictures of different things compare.

    Args:
        grey: float32 (H, W).
    """
    found = [_blur_along(grey, axis) for axis in (0, 1) if grey.shape[axis] > 2]
    return max(found, default=0.0)


def _blur_along(grey: np.ndarray, axis: int) -> float:
    sharp = np.abs(np.diff(grey, axis=axis))
    soft = np.abs(np.diff(_smoothed(grey, axis), axis=axis))
    total = float(sharp.sum())
    lost = float(np.maximum(0, sharp - soft).sum())
    return (total - lost) / total if total > 0 else 0.0


def _smoothed(grey: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean of each pixel and its neighbours along one axis."""
    before = _BLUR_WIDTH // 2
    padding = [(0, 0), (0, 0)]
    padding[axis] = (before + 1, before)
    sums = np.cumsum(np.pad(grey, padding, mode="edge"), axis=axis, dtype="float64")
    ends, starts = (
        np.take(sums, np.arange(grey.shape[axis]) + offset, axis=axis)
        for offset in (_BLUR_WIDTH, 0)
    )
    return (ends - starts) / _BLUR_WIDTH
