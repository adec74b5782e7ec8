"""Check a data set: what would make training go wrong, found before it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.data.contents import Contents
from keras_vit.data.image_data import ImageData, load_data
from keras_vit.data.images import Images
from keras_vit.data.sources.picture_files import entries, image_files
from keras_vit.heads.feature_kinds import feature_kinds
from keras_vit.heads.feature_pass import needed_preprocessing
from keras_vit.heads.in_threads import check_packages
from keras_vit.heads.kept_features import kept_features
from keras_vit.inspecting.data_check import DataCheck, Finding
from keras_vit.inspecting.duplicates import equal_pairs, groups, near_pairs
from keras_vit.inspecting.findings import (
    broken,
    copies,
    far_away,
    imbalance,
    poor,
    unjudged,
    wrong_labels,
)
from keras_vit.inspecting.labels import (
    likely_wrong,
    out_of_fold,
    outliers,
    tells_classes,
)
from keras_vit.inspecting.pictures import PictureFacts, look_at, small_picture
from keras_vit.loading import OWN_SIZE, load
from keras_vit.model import ViT

Progress = Callable[[str, int, int], None]


def check_data(
    source: Any,
    *,
    model: Any = None,
    near_duplicates: bool = True,
    model_options: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> DataCheck:
    """Look for what makes training go wrong, or its accuracy a lie.

    Counts classes, sizes, shapes and formats. Finds files that cannot be read, equal
    pictures and near duplicates (encoded again, resized, slightly cropped), above all
    between the parts of a divided set and between classes, pictures that are blurred,
    of one colour or very long, and classes that are rare. With a model it also finds
    pictures whose label is likely wrong, and outliers.

    Args:
        source: what `load_data` takes, undivided or with parts of its own, an
            `ImageData`, or a folder of pictures without class folders, of which only
            labels are not checked. Where a picture may have several labels, they
            together are its class, such as cat|dog.
        model: a `keras_vit.ViT`, or what `load` takes, such as the name of a
            checkpoint: its features say which labels are likely wrong and which
            pictures lie far from all others. Needs SciPy. They are kept on disk, where
            `fit_head` finds them. Default None: neither.
        near_duplicates: whether to look for them. It is what takes the longest in large
            sets. Default True.
        model_options: of `load`, such as `image_size`. Default: the size that the
            checkpoint's own preprocessing makes.
        seed: of the folds that labels are judged in. Default 0.
        progress: is called with what is done, how many pictures are done, and of how
            many. Default: nothing.
        **options: of `load_data`, such as `class_names`.

    Returns:
        A `DataCheck`: `findings`, the worst first, and `text()` to read.

    Raises:
        FileNotFoundError: if there is nothing at the source.
        ImportError: if `model` is given and SciPy is not installed.
        TypeError: if the source is something else, or a set that cannot be read by
            number, such as a stream of TensorFlow Datasets.
        ValueError: if there is no picture, or data and options do not fit.

    Example:
        ```python
        found = keras_vit.check_data("photos/")
        print(found.text())  # photos: 24 pictures in 2 classes ...
        ```
    """
    if model is not None:
        model = _loaded(model, dict(model_options or {}))
    data, left_out = _opened(source, options)
    tell = progress or (lambda what, done, total: None)
    pictures, sources = _look(data, tell)
    readable = [n for n, facts in enumerate(pictures) if facts.problem is None]

    def read(number: int) -> Any:
        images, position = sources[number]
        return small_picture(images.read(position), images)[0]

    contents = Contents(lambda n: _raw(*sources[n]), len(sources)).numbers
    equal = equal_pairs(contents)
    near = []
    if near_duplicates and readable:
        distinct = _first_of_each(readable, equal, pictures)
        tell("comparing", 0, len(distinct))
        vectors: list[Any] = [pictures[n].vectors for n in distinct]
        near = near_pairs(np.stack(vectors), distinct, read) if distinct else []
        tell("comparing", len(distinct), len(distinct))
    is_labelled = bool(data.class_names)
    found = [
        broken(pictures),
        *copies(pictures, equal, near, data.class_names),
        *poor(pictures),
        imbalance(pictures, data.class_names),
    ]
    looked_for = ["files that cannot be read", "equal pictures"]
    looked_for += ["near duplicates"] if near_duplicates else []
    looked_for += ["blurred pictures", "pictures of one colour", "very long pictures"]
    looked_for += ["rare classes"] if is_labelled else []
    if model is not None:
        parts = _parts(sources, readable)
        features = kept_features(model, parts, verbose=progress is not None)
        pairs = [*equal, *near]
        found += _by_features(features, pictures, readable, pairs, data, seed)
        looked_for += ["outliers", *(["wrong labels"] if is_labelled else [])]
    kinds = {finding.looked_for for finding in found if finding}
    if {"between_classes", "between_splits"} & {f.kind for f in found if f}:
        kinds |= {"equal pictures", "near duplicates"}
    return DataCheck(
        name=data.name,
        class_names=data.class_names,
        pictures=tuple(pictures),
        findings=tuple(finding for finding in found if finding),
        looked_for=tuple(name for name in looked_for if name not in kinds),
        left_out=left_out,
        open=read,
    )


def _loaded(model: Any, options: dict[str, Any]) -> ViT:
    check_packages()
    if isinstance(model, (str, Path)):
        model = load(model, **{"image_size": OWN_SIZE, **options})
    elif options:
        raise ValueError(
            "model_options are for a checkpoint that is loaded, received them with a "
            f"{type(model).__name__}. Change the model with keras_vit.changed."
        )
    if not isinstance(model, ViT):
        raise TypeError(
            "A check takes the features of a keras_vit.ViT, received model of type "
            f"{type(model).__name__}. Load one: keras_vit.load(NAME)."
        )
    feature_kinds(model)
    needed_preprocessing(model)
    return model


def _parts(sources: list[tuple[Images, int]], readable: list[int]) -> list[Images]:
    """Return the readable pictures of each part."""
    positions: dict[int, tuple[Images, list[int]]] = {}
    for number in readable:  # Parts come one after the other.
        images, position = sources[number]
        positions.setdefault(id(images), (images, []))[1].append(position)
    return [images.subset(np.asarray(some)) for images, some in positions.values()]


def _opened(source: Any, options: dict[str, Any]) -> tuple[ImageData, tuple[str, ...]]:
    """Return data that is not divided further, and what loading said."""
    if isinstance(source, ImageData):
        return _by_number(source), ()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if _is_flat(source):
            data = _unlabelled(Path(source).expanduser())
        else:
            split = {"validation_fraction": 0.0, "test_fraction": 0.0, "verify": False}
            data = load_data(source, **{**split, **options})
    texts = dict.fromkeys(str(one.message).splitlines()[0] for one in said)
    return _by_number(data), tuple(texts)


def _is_flat(source: Any) -> bool:
    """Return whether a source is a folder of pictures without class folders."""
    if not isinstance(source, (str, Path)):
        return False
    folder = Path(source).expanduser()
    return folder.is_dir() and not entries(folder)[0]


def _unlabelled(folder: Path) -> ImageData:
    paths = image_files([folder])
    labels = np.zeros(len(paths), "int64")
    contents = Contents(paths.__getitem__, len(paths))
    images = Images(paths.__getitem__, labels, contents=contents)
    return ImageData(name=str(folder), class_names=(), train=images)


def _by_number(data: ImageData) -> ImageData:
    for name, part in data.parts.items():
        if not isinstance(part, Images):
            raise TypeError(
                "A check reads pictures by number, received a stream as the part "
                f"{name!r} of {data.name!r}. Save its pictures in a folder first."
            )
    return _with_one_class(data) if data.is_multi_label else data


def _with_one_class(data: ImageData) -> ImageData:
    """Return data in which all labels of a picture together are its class."""
    parts: dict[str, Any] = dict(data.parts)
    rows = np.concatenate([part.all_labels for part in parts.values()])
    sets = np.unique(rows, axis=0)
    number_of = {row.tobytes(): number for number, row in enumerate(sets)}
    names = [
        "|".join(data.class_names[i] for i in np.flatnonzero(row)) or "none of them"
        for row in sets
    ]
    changed = {
        name: replace(
            part,
            all_labels=np.array([number_of[row.tobytes()] for row in part.all_labels]),
            num_classes=len(sets),
        )
        for name, part in parts.items()
    }
    return replace(data, class_names=tuple(names), **changed)


def _raw(images: Images, position: int) -> Any:
    return images.read(position)


def _look(
    data: ImageData, tell: Progress
) -> tuple[list[PictureFacts], list[tuple[Images, int]]]:
    """Return the facts of all pictures, and where each one is read."""
    pictures: list[PictureFacts] = []
    sources: list[tuple[Images, int]] = []
    parts: dict[str, Any] = dict(data.parts)
    total = sum(len(images) for images in parts.values())
    for part, images in parts.items():
        sources += [(images, int(position)) for position in images.indices]
        for facts in look_at(images, part):
            pictures.append(facts)
            tell("reading", len(pictures), total)
    return pictures, sources


def _first_of_each(
    readable: list[int], equal: list[tuple[int, int]], pictures: list[PictureFacts]
) -> list[int]:
    """Return the pictures with something to see, one of those that are equal."""
    again = {number for _, number in equal}
    return [n for n in readable if n not in again and not pictures[n].is_blank]


def _by_features(
    features: Mapping[str, np.ndarray],
    pictures: list[PictureFacts],
    readable: list[int],
    pairs: list[tuple[int, int]],
    data: ImageData,
    seed: int,
) -> list[Finding | None]:
    """Return what the features of a model say of labels and outliers."""
    first = next(iter(features.values()))
    if not data.class_names:
        return [far_away([readable[i] for i in outliers(first)])]
    names, labels = np.unique(
        [pictures[n].label for n in readable], return_inverse=True
    )
    copy_of = np.arange(len(pictures))
    for group in groups(pairs):
        copy_of[list(group)] = group[0]
    judged = out_of_fold(features, labels, copy_of[readable], seed)
    rows = first if judged is None else features[judged[0]]
    far = far_away([readable[i] for i in outliers(rows)])
    if judged is None:
        return [far, unjudged("a class has fewer than two pictures")]
    probabilities = judged[1]
    if not tells_classes(probabilities, labels):
        return [far, unjudged("these features tell classes no better than chance")]
    wrong = likely_wrong(probabilities, labels)
    notes = [
        f"labelled {data.class_names[names[labels[i]]]}, looks like "
        f"{data.class_names[names[probabilities[i].argmax()]]} "
        f"({probabilities[i].max():.0%})"
        for i in wrong
    ]
    return [wrong_labels([readable[i] for i in wrong], notes), far]
