"""What is refused before a head is fitted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.data.image_data import ImageData
from keras_vit.files import check_replaceable, check_writable
from keras_vit.heads.feature_kinds import FeatureKind, feature_kinds
from keras_vit.heads.feature_pass import needed_preprocessing
from keras_vit.heads.in_threads import check_packages
from keras_vit.heads.labelled_parts import class_targets
from keras_vit.model import ViT
from keras_vit.training.run_folder import (
    BEST_FOLDER,
    CHECKPOINT_FOLDER,
    LOG_FOLDER,
    OWN_FILES,
    PICTURE_FOLDER,
    derived_files,
)
from keras_vit.training.run_lock import LOCK_FILE, holds_something


def check_head(
    model: Any, data: Any, features: str, folds: int, batch_size: int
) -> list[FeatureKind]:
    """Refuse what cannot work, before any work; return the kinds of features."""
    if not isinstance(model, ViT):
        raise TypeError(
            "A head is fitted on a keras_vit.ViT, received "
            f"{type(model).__name__}. Load one: keras_vit.load(NAME)."
        )
    if not isinstance(data, ImageData):
        raise TypeError(
            "fit_head takes what keras_vit.load_data returns, received data of type "
            f"{type(data).__name__}. Call load_data with a folder, arrays or a list."
        )
    if data.num_classes < 2 and not data.is_multi_label:
        raise ValueError(
            "A head needs pictures of at least two classes, received "
            f"{list(data.class_names)} in {data.name!r}. Put the pictures of each "
            "class in a sub-folder of its own."
        )
    counts = class_targets(data.train.labels, data.num_classes).sum(axis=0)
    if not counts.all():
        empty = [data.class_names[i] for i in np.flatnonzero(counts == 0)]
        raise ValueError(
            "A head needs a training picture of each class, received none of "
            f"{empty[:5]} in {data.name!r}. Add some, or leave these classes out."
        )
    for name, value, least in (("folds", folds, 2), ("batch_size", batch_size, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(
                f"{name} must be a whole number of at least {least}, received "
                f"{name}={value!r}."
            )
    kinds = feature_kinds(model, features)
    preprocessing = needed_preprocessing(model)
    check_packages()
    preprocessing.to_values(data.train.samples(1)[0])
    return kinds


def given_weights(wanted: Any, data: ImageData) -> Any:
    """Return the weights of classes as `class_weights` takes them, or refuse them."""
    if wanted is not None and data.is_multi_label:
        # A picture without labels would count nothing.
        raise ValueError(
            "class_weight is for one label per picture, received class_weight="
            f"{wanted!r} for {data.name!r}, where each class has a threshold of its "
            "own. Leave it out."
        )
    if wanted is None or wanted == "balanced":
        return wanted
    names = data.class_names
    if not isinstance(wanted, Mapping) or set(wanted) != set(names):
        raise ValueError(
            "class_weight must be None, 'balanced' or a weight for each of the classes "
            f"{list(names)[:10]}, received class_weight={wanted!r}."
        )
    weights = [float(wanted[name]) for name in names]
    if not all(np.isfinite(weights)) or min(weights) <= 0:
        raise ValueError(
            f"Each class weight must be above 0, received class_weight={wanted!r}. "
            "Leave pictures out that must not count."
        )
    return weights


def check_output(folder: Path, overwrite: bool, model: ViT) -> None:
    """Refuse a folder that cannot be written or must not be replaced."""
    if holds_something(folder):
        if not overwrite:
            raise FileExistsError(
                f"{str(folder)!r} exists. Choose another output, or replace it with "
                "overwrite=True (--overwrite)."
            )
        own = {*OWN_FILES, *derived_files(folder), CHECKPOINT_FOLDER, BEST_FOLDER}
        check_replaceable(folder, own | {LOG_FOLDER, PICTURE_FOLDER, LOCK_FILE})
    check_writable(folder, required_bytes=2 * 4 * model.count_params())
