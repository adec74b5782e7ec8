"""The command that draws augmented images."""

from __future__ import annotations

import argparse
import json

import keras

from keras_vit.data.image_data import load_data
from keras_vit.data.preview import show_augmentation
from keras_vit.preprocessing import Preprocessing
from keras_vit.training.recipes import get_recipe


def run_augment(options: argparse.Namespace) -> None:
    """Draw training images as a recipe changes them."""
    recipe = get_recipe(options.recipe)
    is_digits = options.data == "digits"
    size = options.image_size or ((16, 16) if is_digits else (224, 224))
    data = load_data(
        options.data,
        data_dir=options.data_dir,
        verify=False,
        skip_unreadable=options.skip_unreadable,
    )
    drawing = show_augmentation(
        data,
        recipe.augmentation,
        options.output,
        preprocessing=Preprocessing(image_size=size, channels=1 if is_digits else 3),
        mixing=recipe.mixing,
        rows=options.rows,
        columns=options.columns,
        seed=options.seed,
    )
    report = {
        "output": options.output,
        "recipe": options.recipe,
        "backend": keras.backend.backend(),
        "pixels": [drawing.height, drawing.width],
    }
    if options.json:
        print(json.dumps(report, indent=1))
        return
    print(
        f"{options.output}: {drawing.width} x {drawing.height} pixels; originals "
        f"on the left, then the recipe {options.recipe!r}"
    )
