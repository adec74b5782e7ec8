"""The pictures of a data set that are nearest to others. N pictures, D features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.data.checks import check_value
from keras_vit.data.image_data import ImageData, Part
from keras_vit.explaining.needs import Asked, check_vit, needs_vit_with_pooling
from keras_vit.explaining.plots import row_of_pictures
from keras_vit.explaining.shown import Shown, shown_bytes
from keras_vit.heads.feature_cache import cache_folder
from keras_vit.heads.feature_pass import FeatureReader, needed_preprocessing
from keras_vit.inference.embed import embed
from keras_vit.inference.predictor import as_pictures
from keras_vit.loading import load
from keras_vit.model import ViT
from keras_vit.surgery import changed

AUTO = "auto"


@dataclass(frozen=True, kw_only=True, eq=False)
class NearestPictures(Shown):
    """The pictures of a data set that are the most alike for a model.

    Args:
        numbers: int64 (count,), which pictures of the part of the data; the nearest
            first.
        similarities: float32 (count,), the cosine of the features, from -1 to 1.
        class_names: of each of them; several with commas between them, or none at all,
            where an image may have several.
        pictures: uint8 (H, W, 3) for each of them.
        picture: uint8 (H, W, 3), what they are compared with.
    """

    numbers: np.ndarray
    similarities: np.ndarray
    class_names: tuple[str, ...]
    pictures: tuple[np.ndarray, ...] = field(repr=False)
    picture: np.ndarray = field(repr=False)

    @property
    def alt_text(self) -> str:
        """What the drawing shows, in words, for those who cannot see it."""
        return f"A picture, and the nearest to it: {', '.join(self._captions())}."

    def image(self) -> Any:
        """Return the picture and those nearest to it in a row, a PIL image."""
        captions = ["the picture", *self._captions()]
        return row_of_pictures([self.picture, *self.pictures], captions)

    def _captions(self) -> list[str]:
        pairs = zip(self.class_names, self.similarities, strict=True)
        return [f"{name or 'no class'} {similarity:.2f}" for name, similarity in pairs]


def nearest_pictures(
    model: keras.Model | str | Path,
    images: Sequence[Any] | np.ndarray,
    data: ImageData,
    *,
    part: str = "train",
    count: int = 5,
    cache: str | Path | None = AUTO,
    batch_size: int = 32,
    verbose: bool = True,
) -> list[NearestPictures]:
    """Find what a model was shown that is the most like some pictures.

    It says what it says of a picture because for it the picture looks like these. What
    its classifier sees of each picture is compared by the cosine. Features of the data
    are computed once, and kept for the next call and for `fit_head`.

    Args:
        model: a `keras_vit.ViT` with a pooling and preprocessing, or what `load` takes.
            It stays as it is.
        images: paths, PIL images or arrays, as for `explain`.
        data: from `load_data`.
        part: of the data, "train" (default), "validation" or "test".
        count: how many are found for each picture, from 1 to the size of the part.
            Default 5.
        cache: folder for the features of the data; None keeps none. Default "auto": as
            for `fit_head`.
        batch_size: pictures per call of the model, at least 1. Default 32.
        verbose: whether progress is told. Default True.

    Returns:
        For each image a `NearestPictures`: `numbers` in the part, `similarities`
        from -1 to 1, `class_names` and `pictures`. It draws itself: `save("a.png")`.

    Raises:
        TypeError: if the model is no ViT.
        ValueError: if the model has no pooling or no preprocessing, or there is no such
            part, or not so many pictures.

    Example:
        ```python
        data = keras_vit.load_data("photos/")
        model = keras_vit.load("saved_models/photos")
        [one] = keras_vit.nearest_pictures(model, ["cat.jpg"], data, count=3)
        one.numbers.shape, one.similarities.shape  # ((3,), (3,))
        print(one.save("nearest.png"))  # nearest.png
        ```
    """
    if isinstance(model, (str, Path)):
        model = load(model)
    check_vit(model, "nearest_pictures")
    needs_vit_with_pooling(Asked(model=model, method="nearest_pictures"))
    among = data.part(part)
    check_value(batch_size >= 1, "batch_size", batch_size, "at least 1")
    rule = f"from 1 to {len(among)}, the pictures of the part {part!r}"
    check_value(1 <= count <= len(among), "count", count, rule)
    plain: Any = model
    preprocessing = needed_preprocessing(plain)
    backbone: ViT = changed(plain, num_classes=None, lora=None)
    pictures = as_pictures(images)
    wanted = embed(
        backbone, pictures, batch_size=batch_size, preprocessing=preprocessing
    )
    reader = FeatureReader(
        lambda dtype: backbone,
        preprocessing,
        dtype=str(backbone.compute_dtype),
        batch_size=batch_size,
        folder=_folder(cache),
        verbose=verbose,
    )
    cosines = _unit(wanted) @ _unit(reader.read(among)).T  # (pictures, N)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    shown = {
        number: shown_bytes(preprocessing.to_array(picture), preprocessing)
        for number, picture in _pictures_at(among, np.unique(order)).items()
    }
    return [
        NearestPictures(
            numbers=numbers,
            similarities=row[numbers].astype("float32"),
            class_names=tuple(_name(data, among.labels[n]) for n in numbers),
            pictures=tuple(shown[int(n)] for n in numbers),
            picture=shown_bytes(preprocessing.to_array(picture), preprocessing),
        )
        for picture, row, numbers in zip(pictures, cosines, order, strict=True)
    ]


def _folder(cache: str | Path | None) -> Path | None:
    if cache == AUTO:
        return cache_folder()
    return None if cache is None else Path(cache).expanduser()


def _pictures_at(part: Part, numbers: np.ndarray) -> dict[int, Any]:
    """Return some pictures of a part, by their numbers in it."""
    wanted = {int(number) for number in numbers}
    if hasattr(part, "read"):
        images: Any = part
        return {n: images.read(int(images.indices[n])) for n in wanted}
    # TensorFlow Datasets are streams.
    return {n: x for n, x in enumerate(part.pictures()) if n in wanted}


def _name(data: ImageData, label: Any) -> str:
    """Return the name of a class, or of each one that is on a picture."""
    if np.ndim(label) == 0:
        return data.class_names[int(label)]
    return ", ".join(data.class_names[i] for i in np.flatnonzero(label))


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype("float64")
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
