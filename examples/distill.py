"""Teach a small ViT by a large one: the student learns more than the labels say.

A teacher says of each picture how likely each class is: this 7 could have been a 1, but
hardly an 8. A student that learns those numbers beside the labels becomes better than
the same student that learns the labels alone, from the same pictures, just as long. The
script trains both from the same random weights, on a few pictures of each class, and
prints their accuracies on the test part. The teacher has seen all training pictures.

Source: Hinton et al. 2015, arXiv:1503.02531, section 2: probabilities at a temperature
T, the gradient times T^2. `--kind hard` is DeiT's way (Touvron et al. 2021,
arXiv:2012.12877, equation 3): the class that the teacher prefers is a second label.
Command: KERAS_BACKEND=jax python examples/distill.py
    python examples/distill.py --data photos/ --teacher saved_models/photos/model.keras
Expected: a minute on two cores; docs/research.md has the gain over several seeds.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_vit
from keras_vit.training import TrainingModel

DIGITS = Path(__file__).parents[1] / "saved_models" / "digits" / "model.keras"


def new_student(teacher: keras_vit.ViT, options: Any) -> keras_vit.ViT:
    """Return a small ViT for the pictures and the classes of the teacher."""
    return keras_vit.ViT(
        image_size=teacher.config.image_size,
        patch_size=options.patch_size or teacher.config.patch_size,
        channels=teacher.config.channels,
        num_classes=teacher.config.num_classes,
        hidden_dim=options.hidden_dim,
        num_layers=options.num_layers,
        num_heads=2,
        mlp_dim=2 * options.hidden_dim,
        pooling="mean",
        preprocessing=teacher.preprocessing,
        class_names=teacher.class_names,
    )


def taught(student: keras.Model, teacher: keras.Model, options: Any) -> TrainingModel:
    """Return the student around which `fit` puts the loss of the teacher.

    (1 - alpha) * loss of the labels + alpha * T^2 * divergence of the probabilities.
    """
    kind, temperature = options.kind, options.temperature
    return TrainingModel(
        student,
        teacher=teacher,
        distillation=kind,
        alpha=options.alpha,
        temperature=temperature if kind == "soft" else 1.0,
    )


def with_few_labels(data: Any, count: int, seed: int) -> Any:
    """Return the data with `count` training pictures of each class."""
    order = np.random.default_rng(seed).permutation(len(data.train))
    labels = data.train.labels[order]
    places = [order[labels == label][:count] for label in range(data.num_classes)]
    few = data.train.subset(data.train.indices[np.concatenate(places)])
    return replace(data, train=few)


def fit(model: keras.Model, batches: Any, options: Any) -> None:
    """Train on the labels, and on a teacher if the model has one."""
    length = {"epochs": options.epochs, "warmup_epochs": options.epochs / 20}
    recipe = replace(keras_vit.RECIPES["small_data"], **length)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(recipe.optimizer(len(batches)), loss)
    model.fit(batches, epochs=options.epochs, shuffle=False, verbose=0)


def measure(seed: int, teacher: Any, data: Any, options: Any) -> tuple[float, float]:
    """Return the accuracy of a student without teacher and of one with it."""
    few = with_few_labels(data, options.pictures, seed)
    found = []
    for has_teacher in (False, True):
        keras.utils.set_random_seed(seed)  # Both begin with the same weights.
        student = new_student(teacher, options)
        batches = few.train.batches(
            student.preprocessing,
            64,
            training=True,
            augmentation=keras_vit.RECIPES["small_data"].augmentation,
            seed=seed,
        )
        model = taught(student, teacher, options) if has_teacher else student
        fit(model, batches, options)
        found.append(keras_vit.evaluate(student, few).accuracy)
    return found[0], found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits", help="the teacher's, load_data")
    parser.add_argument("--teacher", default=DIGITS, help="a trained classifier")
    parser.add_argument("--pictures", type=int, default=20, help="of each class")
    parser.add_argument("--hidden-dim", type=int, default=32, help="of the student")
    parser.add_argument("--num-layers", type=int, default=2, help="of the student")
    parser.add_argument("--patch-size", type=int, help="pixels; default: the teacher's")
    parser.add_argument("--kind", choices=["soft", "hard"], default="soft")
    parser.add_argument("--temperature", type=float, default=3.0)
    parser.add_argument("--alpha", type=float, default=0.9, help="share of the teacher")
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=1, help="how many runs")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error("--seeds is at least 1.")
    data = keras_vit.load_data(options.data)
    teacher = keras_vit.load(options.teacher)
    print(f"teacher: {keras_vit.evaluate(teacher, data).accuracy:.3f}")
    runs = []
    for seed in range(options.seeds):
        alone, with_teacher = measure(seed, teacher, data, options)
        runs.append((alone, with_teacher, with_teacher - alone))
        print(f"seed {seed}: {alone:.3f} alone, {with_teacher:.3f} with a teacher")
    for name, found in zip(
        ("alone", "taught", "gain"), np.transpose(runs), strict=True
    ):
        spread = np.std(found, ddof=1) if len(found) > 1 else np.nan
        print(f"{name}: mean {np.mean(found):.3f}, standard deviation {spread:.3f}")


if __name__ == "__main__":
    main()
