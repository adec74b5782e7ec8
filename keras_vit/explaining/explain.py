"""Maps of what a model looks at, over the pictures as they were given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import numpy as np

from keras_vit.data.checks import check_value
from keras_vit.explaining.drawing import draw
from keras_vit.explaining.occlusion import occlusion
from keras_vit.explaining.seen_part import on_picture
from keras_vit.explaining.token_reading import (
    attention_model,
    pooling_model,
    rollout_model,
)
from keras_vit.files import check_writable, replacing
from keras_vit.inference.predictor import (
    Predictor,
    as_pictures,
    load_embedder,
    load_predictor,
)
from keras_vit.loading import load
from keras_vit.model import ViT
from keras_vit.preprocessing import Preprocessing

Method = Literal["rollout", "attention", "pooling", "occlusion"]
_LEGENDS = {
    "rollout": ("reads least", "reads most"),
    "attention": ("reads least", "reads most"),
    "pooling": ("reads least", "reads most"),
    "occlusion": ("matters least", "matters most"),
}


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a model looks at in one picture.

    Args:
        values: float32 (H, W), in the coordinates of the picture as it was given; NaN
            where the model saw nothing, because it was cut off.
        patches: float32 (rows, columns), the same for each patch.
        picture: uint8 (H, W, 3).
        method: that the map was made by.
        target: number of the class that it is for; None where it is for none.
        class_name: name of the class that is the most likely, or of the target.
        probability: of that class; None of a model without classes.
    """

    values: np.ndarray
    patches: np.ndarray
    picture: np.ndarray = field(repr=False)
    method: str
    target: int | None = None
    class_name: str | None = None
    probability: float | None = None

    @property
    def alt_text(self) -> str:
        """What the picture shows, in words, for those who cannot see it."""
        rows, columns = self.patches.shape
        row, column = np.unravel_index(int(self.patches.argmax()), self.patches.shape)
        vertical = ("top", "middle", "bottom")[min(2, 3 * int(row) // rows)]
        horizontal = ("left", "centre", "right")[min(2, 3 * int(column) // columns)]
        said = "" if self.class_name is None else f" for {self.class_name!r}"
        if self.probability is not None:
            said += f" ({self.probability:.0%})"
        return (
            f"Heat map by {self.method}{said}: the highest value is at the {vertical} "
            f"{horizontal} of what the model sees."
        )

    def image(self) -> Any:
        """Return the map as colours over the picture, a PIL image with a legend."""
        return draw(self.picture, self.values, *_LEGENDS[self.method])

    def show(self) -> None:
        """Show the image with the program that the system has for pictures.

        A notebook shows an `Explanation` that stands in the last line of a cell.
        """
        self.image().show(title=self.alt_text)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the image as a PNG file.

        Args:
            path: ends in ".png".
            overwrite: whether a file that is there is replaced. Default False.

        Raises:
            FileExistsError: if there is a file that is not to be replaced.
            ValueError: if the name does not end in ".png".
        """
        path = Path(path).expanduser()
        if path.suffix.lower() != ".png":
            raise ValueError(
                f"A heat map is saved as .png, received {str(path)!r}. Rename it."
            )
        if path.exists() and not overwrite:
            raise FileExistsError(
                f"{str(path)!r} exists. Choose another path, or replace it with "
                "overwrite=True."
            )
        check_writable(path.parent)
        with replacing(path) as temporary:
            self.image().save(temporary, format="PNG")
        return path

    def _repr_png_(self) -> bytes:
        return self.image()._repr_png_()


def explain(
    model: keras.Model | str | Path,
    images: Sequence[Any] | np.ndarray,
    *,
    method: Method = "rollout",
    target: int | str | None = None,
    block: int = -1,
    head: int | None = None,
    window: int = 2,
    batch_size: int = 8,
    preprocessing: Preprocessing | None = None,
) -> list[Explanation]:
    """Show what a model looks at, as a heat map over each picture as it was given.

    Args:
        model: a `keras_vit.ViT`, or what `load` takes; "occlusion" takes each other
            Keras classifier of images, too. It stays as it is.
        images: paths, PIL images or arrays (H, W) or (H, W, C), mixed as you like.
        method: "rollout" (default) follows attention through all blocks
            (arXiv:2005.00928); "attention" takes that of one block; "pooling" that of
            an attention pooling; "occlusion" hides one part after the other and looks
            at the probability of a class, which takes a forward pass for each patch.
        target: class that "occlusion" looks at, its number or name. Default None: the
            most likely one of each picture.
        block: of "attention", from 0; negative: counted from the last. Default -1.
        head: of "attention", from 0. Default None: the mean of all heads.
        window: side of what "occlusion" hides, in patches, at least 1. Default 2.
        batch_size: pictures per call of the model, at least 1. Default 8.
        preprocessing: takes the place of the model's own.

    Returns:
        An `Explanation` for each picture.

    Raises:
        FileNotFoundError: if a model or picture does not exist.
        OSError: if a picture cannot be read.
        TypeError: if the model is no ViT and the method needs one.
        ValueError: if the method is not defined for this model, or an option is out of
            range.

    Example:
        >>> model = keras_vit.ViT.from_variant(
        ...     "test", preprocessing=keras_vit.Preprocessing(image_size=32)
        ... )
        >>> [found] = keras_vit.explain(model, [np.zeros((60, 90, 3), "uint8")])
        >>> found.values.shape, found.patches.shape
        ((60, 90), (4, 4))
    """
    check_value(batch_size >= 1, "batch_size", batch_size, "at least 1")
    check_value(window >= 1, "window", window, "at least 1")
    if method not in get_args(Method):
        raise ValueError(
            f"method must be one of {list(get_args(Method))}, received "
            f"method={method!r}."
        )
    if isinstance(model, (str, Path)):
        model = load(model)
    mapper = None if method == "occlusion" else _mapper(model, method, block, head)
    is_backbone = _is_backbone(model)
    if is_backbone and method == "occlusion":
        raise ValueError(
            "Occlusion looks at the probability of a class, received a model without a "
            "head. Take method='rollout', or fit a head: keras_vit.fit_head."
        )
    opened = load_embedder if is_backbone else load_predictor
    predictor = opened(model, preprocessing)
    pictures = as_pictures(images)
    predictor.check_values(pictures)
    found: list[Explanation] = []
    for start in range(0, len(pictures), batch_size):
        some = range(start, min(start + batch_size, len(pictures)))
        given = [predictor.preprocessing.to_array(pictures[i]) for i in some]
        taken = np.stack([predictor.preprocessing.to_values(x) for x in given])
        if mapper is None:
            outputs = np.asarray(predictor.run(taken))
            maps = _occlusion_maps(predictor, model, taken, outputs, target, window)
        else:
            result: Any = mapper.predict_on_batch(taken)
            outputs = keras.ops.convert_to_numpy(result["outputs"])
            maps = keras.ops.convert_to_numpy(result["map"])
        for pixels, row, values in zip(given, outputs, maps, strict=True):
            patches = _grid_values(model, values, taken.shape[1:3])
            found.append(
                _explanation(predictor, model, method, target, pixels, row, patches)
            )
    return found


def _mapper(model: Any, method: str, block: int, head: int | None) -> keras.Model:
    """Return the model that gives outputs and map, or refuse by name what has none."""
    if not isinstance(model, ViT):
        raise TypeError(
            f"The method {method!r} reads attention, which a keras_vit.ViT has, "
            f"received {type(model).__name__}. Take method='occlusion'."
        )
    config = model.config
    if config.pooling is None:
        raise ValueError(
            "A map says what the vector of a picture reads, received a model with "
            "pooling=None. Choose one: keras_vit.changed(model, pooling='token')."
        )
    if method == "pooling":
        if config.pooling not in ("attention", "query"):
            raise ValueError(
                "method='pooling' is for an attention pooling, received a model with "
                f"pooling={config.pooling!r}. Take method='rollout' or 'attention'."
            )
        return pooling_model(model)
    if config.attention == "differential" and method == "rollout":
        raise ValueError(
            "Rollout is not defined for differential attention, whose weights may be "
            "below 0. Take method='attention' or 'occlusion'."
        )
    if method == "rollout":
        return rollout_model(model)
    number = block + config.num_layers if block < 0 else block
    if not 0 <= number < config.num_layers:
        raise ValueError(
            f"block must be from {-config.num_layers} to {config.num_layers - 1}, the "
            f"blocks of this model, received block={block}."
        )
    if head is not None and not 0 <= head < config.num_heads:
        raise ValueError(
            f"head must be from 0 to {config.num_heads - 1}, the heads of this model, "
            f"received head={head}."
        )
    return attention_model(model, number, head)


def _occlusion_maps(
    predictor: Predictor,
    model: Any,
    taken: np.ndarray,
    outputs: np.ndarray,
    target: Any,
    window: int,
) -> list[np.ndarray]:
    """Return a map, (rows, columns), for each image."""
    if outputs.ndim != 2:
        raise ValueError(
            "Occlusion looks at the probability of a class, received a model with "
            f"outputs of shape {(None, *outputs.shape[1:])}. Pass a classifier."
        )
    patch_size = _patch_size(model, taken.shape[1:3])
    rows, columns = _grid(model, taken.shape[1:3])
    maps = []
    for image, row in zip(taken, outputs, strict=True):
        number = _target(predictor, target, row)

        def score(images: np.ndarray, number: int = number) -> np.ndarray:
            return predictor.probabilities(np.asarray(predictor.run(images)))[:, number]

        maps.append(occlusion(score, image, (rows, columns), patch_size, window, 32))
    return maps


def _target(predictor: Predictor, target: Any, row: np.ndarray) -> int:
    """Return the number of the class that a map is for."""
    names = predictor.class_names
    if target is None:
        return int(predictor.probabilities(row[None])[0].argmax())
    if isinstance(target, str):
        if target not in names:
            raise ValueError(
                f"target must be a class of the model, {list(names)[:10]}, received "
                f"target={target!r}."
            )
        return names.index(target)
    count = predictor.probabilities(row[None]).shape[1]
    if isinstance(target, bool) or not 0 <= int(target) < count:
        raise ValueError(
            f"target must be the number of a class, from 0 to {count - 1}, or its "
            f"name, received target={target!r}."
        )
    return int(target)


# Side of what stands for a patch in a model that has none, as a share of the image.
_PARTS = 14


def _patch_size(model: Any, size: Sequence[int]) -> tuple[int, int]:
    if isinstance(model, ViT):
        height, width = model.config.patch_size
        return height, width
    return max(1, size[0] // _PARTS), max(1, size[1] // _PARTS)


def _grid(model: Any, size: Sequence[int]) -> tuple[int, int]:
    """Return rows and columns of patches of an image of this size."""
    patch = _patch_size(model, size)
    pads = isinstance(model, ViT) and model.config.pad_images
    rows, columns = (
        -(-side // of_patch) if pads else side // of_patch
        for side, of_patch in zip(size, patch, strict=True)
    )
    return rows, columns


def _grid_values(model: Any, values: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Return what is read from each patch, (rows, columns), of values of all tokens."""
    rows, columns = _grid(model, size)
    # Other tokens stand before the patches.
    return values.ravel()[-rows * columns :].reshape(rows, columns)


def _explanation(
    predictor: Predictor,
    model: Any,
    method: str,
    target: Any,
    pixels: np.ndarray,
    row: np.ndarray,
    patches: np.ndarray,
) -> Explanation:
    preprocessing = predictor.preprocessing
    number, name, probability = None, None, None
    if row.ndim == 1 and not _is_backbone(model):
        number = _target(predictor, target if method == "occlusion" else None, row)
        probability = float(predictor.probabilities(row[None])[0][number])
        names = predictor.class_names
        name = names[number] if number < len(names) else str(number)
    size = pixels.shape[:2]
    patch_size = _patch_size(model, preprocessing.image_size)
    return Explanation(
        values=on_picture(patches, size, preprocessing, patch_size),
        patches=patches.astype("float32"),
        picture=_bytes(pixels, preprocessing),
        method=method,
        target=number if method == "occlusion" else None,
        class_name=name,
        probability=probability,
    )


def _is_backbone(model: Any) -> bool:
    return isinstance(model, ViT) and model.config.num_classes is None


def _bytes(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Return a picture as it can be shown, uint8 (H, W, 3)."""
    low, high = preprocessing.value_range
    shown = (pixels.astype("float64") - low) * (255 / (high - low))
    shown = shown if shown.shape[-1] == 3 else shown.mean(axis=-1, keepdims=True)
    shown = np.broadcast_to(shown, (*shown.shape[:2], 3))
    return np.clip(np.rint(shown), 0, 255).astype("uint8")
