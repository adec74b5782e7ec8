"""A folder as the pages of the site expect it, and small models for named ones."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_vit
from tests.pictures import digit_pictures

CLASSES = ("cat", "dog")
BACKBONES = ("facebook/dinov2-small", "vit_small_patch16_224.augreg_in21k")
OPTIONS = {"num_classes", "image_size"}


def write_pictures(folder: Path) -> None:
    """Write photos/, two pictures, new_photos/, train.csv and what Kaggle gives."""
    rows = []
    for number, (picture, label) in enumerate(digit_pictures(32, 2)):
        name = f"{number:03d}.jpg"
        kept = number % 4
        parts = (
            [f"photos/{CLASSES[label]}", "train"] if kept else ["new_photos", "test"]
        )
        for part in parts:
            path = folder / part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.convert("RGB").resize((48, 40)).save(path)
        if kept:
            rows.append((name[:3], CLASSES[label], f"p{number // 2}"))
        picture.convert("RGB").resize((48, 40)).save(folder / f"{CLASSES[label]}.jpg")
    write_csv(folder / "train.csv", ["id", "species", "patient"], rows)
    ids = sorted(path.stem for path in (folder / "test").iterdir())
    sample = [(name, 0.5, 0.5) for name in ids]
    write_csv(folder / "sample_submission.csv", ["id", *CLASSES], sample)


def write_csv(path: Path, header: list[str], rows: list[tuple[Any, ...]]) -> None:
    """Write a table."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def small_model(num_classes: int | None, **facts: Any) -> keras_vit.ViT:
    """Return a small model with weights that say something."""
    model = keras_vit.ViT.from_variant(
        "test",
        num_layers=4,
        num_classes=num_classes,
        preprocessing=keras_vit.Preprocessing(image_size=32),
        **facts,
    )
    rng = np.random.default_rng(0)
    model.set_weights([0.2 * rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def stand_in_for_load(folder: Path) -> Callable[..., keras_vit.ViT]:
    """Return `keras_vit.load` that knows some names without a network.

    Args:
        folder: with what stand-ins of other libraries have left, `NAME` with _ for /.
    """
    load = keras_vit.load

    def loaded(source: Any, **options: Any) -> keras_vit.ViT:
        left = folder / str(source).replace("/", "_")
        if left.exists():
            return load(left, **options)
        if source in BACKBONES:
            assert set(options) <= OPTIONS
            model = small_model(options.get("num_classes"))
            is_free = options.get("image_size", 32) is None
            return keras_vit.changed(model, image_size=None) if is_free else model
        return load(source, **options)

    return loaded


def prepare(patch: pytest.MonkeyPatch, folder: Path, *, with_run: bool) -> None:
    """Make a folder the working directory of a page.

    Args:
        patch: puts everything back.
        folder: an empty one.
        with_run: whether `saved_models/photos` is there.
    """
    write_pictures(folder)
    if with_run:
        run = folder / "saved_models" / "photos"
        run.mkdir(parents=True)
        keras_vit.save(small_model(2, class_names=CLASSES), run / "model.keras")
    enter(patch, folder)


def enter(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make a folder that `prepare` has filled, or a copy, the working directory."""
    patch.chdir(folder)
    patch.setenv("KERAS_VIT_CACHE", str(folder / "cache"))
    patch.setattr(keras_vit, "load", stand_in_for_load(folder))
    keras.utils.set_random_seed(0)
