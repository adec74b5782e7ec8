"""A folder as the pages of the site expect it, and small models for named ones."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_vit
from tests.pictures import digit_pictures

CLASSES = ("cat", "dog")
CHECKPOINTS = (
    "facebook/dinov2-small",
    "vit_small_patch16_224.augreg_in21k",
    "vit_base_patch16_224.augreg_in21k",
    "B_16.npz",
    "dino_deitsmall16.pth",
    "last.ckpt",
)
OPTIONS = {"num_classes", "image_size", "architecture"}
_train = keras_vit.train
_export_all = keras_vit.export_all
_from_variant = keras_vit.ViT.from_variant
PHOTOGRAPHS = ("coffee.jpg", "astronaut.jpg", "camera.jpg")


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
    for name in PHOTOGRAPHS:  # Of one size: a point is given in pixels.
        picture.convert("RGB").resize((400, 300)).save(folder / name)
    write_csv(folder / "train.csv", ["id", "species", "patient"], rows)
    write_lists(folder, rows)
    ids = sorted(path.stem for path in (folder / "test").iterdir())
    sample = [(name, 0.5, 0.5) for name in ids]
    write_csv(folder / "sample_submission.csv", ["id", *CLASSES], sample)


def write_lists(folder: Path, rows: list[tuple[str, str, str]]) -> None:
    """Write the lists of docs/data.md."""
    named = [(f"train/{name}.jpg", *rest) for name, *rest in rows]
    weighted = [(*row, 1.0) for row in named]
    write_csv(folder / "pictures.csv", ["path", "label", "group", "weight"], weighted)
    for file, between in (("tags.csv", "|"), ("words.csv", " ")):
        labels = [between.join(CLASSES[: 1 + i % 2]) for i in range(len(named))]
        tagged = [(row[0], label) for row, label in zip(named, labels, strict=True)]
        write_csv(folder / file, ["path", "label"], tagged)
    flags = [(row[0], i % 2, i % 3 % 2) for i, row in enumerate(named)]
    write_csv(folder / "columns.csv", ["path", *CLASSES], flags)


def write_csv(path: Path, header: list[str], rows: list[tuple[Any, ...]]) -> None:
    """Write a table."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def small_model(num_classes: int | None, **facts: Any) -> keras_vit.ViT:
    """Return a small model with weights that say something."""
    model = _from_variant(
        "test",
        **{"num_layers": 4, **facts},
        num_classes=num_classes,
        preprocessing=keras_vit.Preprocessing(image_size=32),
    )
    rng = np.random.default_rng(0)
    model.set_weights([0.2 * rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def small_variant(variant: str, **changes: Any) -> keras_vit.ViT:
    """Return a small model in place of a named size, for small pictures."""
    assert variant in keras_vit.VARIANTS
    return small_model(
        changes["num_classes"], **({"num_layers": 10} if variant == "S/16" else {})
    )


def short_training(
    model: keras_vit.ViT, data: Any, recipe: keras_vit.Recipe, **options: Any
) -> Any:
    """Train for two epochs of small batches, whatever the recipe says."""
    short = replace(recipe, epochs=2, warmup_epochs=1, batch_size=4)
    return _train(model, data, short, **options)


def few_formats(model: Any, folder: Any, **options: Any) -> Any:
    """Compare two formats instead of all, each of which has tests of its own."""
    return _export_all(model, folder, **{"formats": ("onnx", "openvino"), **options})


def small_beans(name: str) -> Any:
    """Return a data set of the library `datasets` in place of a download."""
    import datasets

    assert name == "AI-Lab-Makerere/beans"
    labels = datasets.ClassLabel(names=["healthy", "rust"])
    kinds = datasets.Features({"image": datasets.Image(), "labels": labels})
    pictures, numbers = zip(*digit_pictures(32, 2), strict=True)
    columns = {"image": list(pictures), "labels": list(numbers)}
    part = datasets.Dataset.from_dict(columns, features=kinds)
    return datasets.DatasetDict({"train": part, "validation": part})


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
        if source in CHECKPOINTS:
            assert set(options) <= OPTIONS
            model = small_model(options.get("num_classes"))
            is_free = options.get("image_size", 32) is None
            return keras_vit.changed(model, image_size=None) if is_free else model
        return load(source, **options)

    return loaded


def make_small(patch: pytest.MonkeyPatch) -> None:
    """Let a page train small models for a short time, and download nothing."""
    import datasets

    patch.setattr(keras_vit, "export_all", few_formats)
    patch.setattr(keras_vit.ViT, "from_variant", small_variant)
    patch.setattr(keras_vit, "train", short_training)
    patch.setattr(datasets, "load_dataset", small_beans)


def prepare(patch: pytest.MonkeyPatch, folder: Path, *, with_run: bool) -> None:
    """Make a folder the working directory of a page.

    Args:
        patch: puts everything back.
        folder: an empty one.
        with_run: whether `saved_models/photos` is there.
    """
    write_pictures(folder)
    if with_run:
        for name in ("photos", "other"):
            run = folder / "saved_models" / name
            run.mkdir(parents=True)
            keras_vit.save(small_model(2, class_names=CLASSES), run / "model.keras")
    enter(patch, folder)


def enter(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make a folder that `prepare` has filled, or a copy, the working directory."""
    patch.chdir(folder)
    patch.setenv("KERAS_VIT_CACHE", str(folder / "cache"))
    patch.setattr(keras_vit, "load", stand_in_for_load(folder))
    keras.utils.set_random_seed(0)
