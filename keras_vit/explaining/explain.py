"""Maps of what a model looks at, over the pictures as they were given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.data.checks import check_count
from keras_vit.explaining.explanation import Explanation
from keras_vit.explaining.grids import patch_size_of
from keras_vit.explaining.methods import (
    METHODS,
    MethodName,
    check_asked,
    default_method,
)
from keras_vit.explaining.needs import Asked, is_backbone
from keras_vit.explaining.seen_part import on_picture
from keras_vit.explaining.shown import shown_bytes
from keras_vit.explaining.targets import class_of
from keras_vit.inference.predictor import (
    Predictor,
    as_pictures,
    load_backbone,
    load_predictor,
)
from keras_vit.loading import load
from keras_vit.preprocessing import Preprocessing


def explain(
    model: keras.Model | str | Path,
    images: Sequence[Any] | np.ndarray,
    *,
    method: MethodName | None = None,
    target: int | str | None = None,
    block: int = -1,
    head: int | None = None,
    window: int = 2,
    point: tuple[float, float] | None = None,
    of: Any = None,
    joint: bool = False,
    foreground: bool = False,
    batch_size: int = 8,
    preprocessing: Preprocessing | None = None,
) -> list[Explanation]:
    """Show what a model looks at, as a heat map over each picture as it was given.

    Args:
        model: a `keras_vit.ViT`, or what `load` takes; "occlusion" takes each other
            Keras classifier of images, too. It stays as it is.
        images: paths, PIL images or arrays (H, W) or (H, W, C), mixed as you like.
        method: default None: "relevance" for a ViT with classes, "rollout" for one
            without or with an attention pooling, "occlusion" for another classifier.
            What the vector of a picture is made of, for all classes alike: "rollout"
            follows attention through all blocks (arXiv:2005.00928); "attention" takes
            that of one block; "pooling" that of an attention pooling.
            What speaks for a class: "relevance" follows attention times its gradient
            through all blocks (Chefer's rules, arXiv:2103.15679); "grad_cam" adds the
            channels of the tokens of one block by their gradients (arXiv:1610.02391);
            "occlusion" hides one part after the other and looks at the probability,
            which takes a forward pass for each patch.
            What a patch is to the model: "token_norms" is the length of its token after
            a block (artefacts, arXiv:2309.16588); "components" the first three
            principal components of the patches as colours (arXiv:2304.07193);
            "similarity" the cosine to the patch at a point.
        target: class that "relevance", "grad_cam" and "occlusion" look at, its number
            or name. Default None: the most likely one of each picture.
        block: of "attention", "grad_cam" (whose tokens are those that it reads),
            "token_norms", "components" and "similarity" (after it), from 0; negative:
            counted from the last. Default -1.
        head: of "attention", from 0. Default None: the mean of all heads.
        window: side of what "occlusion" hides, in patches, at least 1. Default 2.
        point: of "similarity", (x, y) in pixels of each picture as it was given.
        of: picture in which `point` is. Default None: in each of `images`.
        joint: whether the "components" are those of all pictures together, so that a
            colour means the same in each. Default False.
        foreground: whether "components" leaves out the ground. Default False.
        batch_size: pictures per call of the model, at least 1. Default 8.
        preprocessing: takes the place of the model's own.

    Returns:
        An `Explanation` for each picture.

    Raises:
        FileNotFoundError: if a model or picture does not exist.
        OSError: if a picture cannot be read.
        TypeError: if the model is no ViT and the method needs one.
        ValueError: if the method is not defined for this model, or an option is out of
            range or of another method.

    Example:
        ```python
        pictures = ["cat.jpg", "dog.jpg"]
        found = keras_vit.explain("saved_models/photos", pictures)
        found[0].values.shape, found[0].patches.shape  # ((40, 48), (4, 4))
        print(found[0].save("cat_map.png"))  # cat_map.png
        [map_of_dog] = keras_vit.explain(
            "saved_models/photos", ["dog.jpg"], method="grad_cam", target="dog"
        )
        ```
    """
    check_count("batch_size", batch_size, 1)
    check_count("window", window, 1)
    if isinstance(model, (str, Path)):
        model = load(model)
    asked = Asked(
        model=model,
        method=method or default_method(model, target),
        target=target,
        block=block,
        head=head,
        window=window,
        point=point,
        of=of,
        joint=joint,
        foreground=foreground,
    )
    check_asked(asked)
    opened = load_backbone if is_backbone(model) else load_predictor
    predictor = opened(model, preprocessing)
    pictures = as_pictures(images)
    predictor.check_values(pictures)
    read = METHODS[asked.method].open(asked, predictor)
    shown, rows, known = [], [], []
    for start in range(0, len(pictures), batch_size):
        some = range(start, min(start + batch_size, len(pictures)))
        given = [predictor.preprocessing.to_array(pictures[i]) for i in some]
        taken = np.stack([predictor.preprocessing.to_values(x) for x in given])
        outputs, found = read(given, taken)
        shown += [shown_bytes(pixels, predictor.preprocessing) for pixels in given]
        rows += list(outputs)
        known += list(found)
    finish = METHODS[asked.method].finish
    maps = known if finish is None else finish(asked, known)
    return [
        _explanation(predictor, asked, *of_one)
        for of_one in zip(shown, rows, maps, strict=True)
    ]


def _explanation(
    predictor: Predictor,
    asked: Asked,
    picture: np.ndarray,
    row: np.ndarray,
    patches: np.ndarray,
) -> Explanation:
    preprocessing = predictor.preprocessing
    number, name, probability = None, None, None
    is_of_class = METHODS[asked.method].is_of_class
    if row.ndim == 1 and not is_backbone(asked.model):
        number = class_of(predictor, asked.target if is_of_class else None, row)
        probability = float(predictor.probabilities(row[None])[0][number])
        names = predictor.class_names
        name = names[number] if number < len(names) else str(number)
    patch_size = patch_size_of(asked.model, preprocessing.image_size)
    of = asked.of
    if of is not None:
        of = shown_bytes(preprocessing.to_array(of), preprocessing)
    return Explanation(
        values=_on_picture(patches, picture.shape[:2], preprocessing, patch_size),
        patches=patches.astype("float32"),
        picture=picture,
        method=asked.method,
        target=number if is_of_class else None,
        class_name=name,
        probability=probability,
        point=asked.point,
        of=of,
    )


def _on_picture(patches: np.ndarray, *place: Any) -> np.ndarray:
    """Lay values or colours, (R, C) or (R, C, 3), over a picture; NaN stays NaN."""
    if patches.ndim == 2:
        return on_picture(patches, *place)
    is_known = on_picture(~np.isnan(patches[..., 0]), *place) >= 0.5
    channels = np.moveaxis(np.nan_to_num(patches), -1, 0)
    colours = np.stack([on_picture(one, *place) for one in channels], axis=-1)
    return np.where(is_known[..., None], colours, np.nan).astype("float32")
