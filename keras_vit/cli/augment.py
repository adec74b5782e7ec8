"""The command that draws augmented images."""

from __future__ import annotations

from argparse import Namespace

import keras

from keras_vit.cli.arguments import Commands, add_command, print_found
from keras_vit.cli.data import add_source, open_source
from keras_vit.cli.values import size
from keras_vit.data.augmenting.preview import show_augmentation
from keras_vit.preprocessing import Preprocessing
from keras_vit.training.recipes import RECIPES, get_recipe


def add_augment(commands: Commands) -> None:
    """Add `keras-vit augment` to the commands."""
    parser = add_command(
        commands,
        run_augment,
        "augment",
        "draw images as a recipe changes them",
        "--data photos/ --recipe photos --output grid.png",
    )
    add_source(parser)
    parser.add_argument(
        "--recipe",
        metavar="NAME",
        default="photos",
        help=f"one of {', '.join(RECIPES)}; default: photos",
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="a .png file")
    parser.add_argument("--image-size", type=size, metavar="N|HxW", help="pixels")
    parser.add_argument("--rows", type=int, default=6, metavar="N", help="images")
    parser.add_argument("--columns", type=int, default=8, metavar="N", help="draws")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws")


def run_augment(options: Namespace) -> None:
    """Draw training images as a recipe changes them."""
    recipe = get_recipe(options.recipe)
    is_digits = options.data == "digits"
    image_size = options.image_size or ((16, 16) if is_digits else (224, 224))
    channels = 1 if is_digits else 3
    preprocessing = Preprocessing(image_size=image_size, channels=channels)
    data = open_source(options, verify=False)
    drawing = show_augmentation(
        data,
        recipe.augmentation,
        options.output,
        preprocessing=preprocessing,
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
    print_found(
        options,
        report,
        f"{options.output}: {drawing.width} x {drawing.height} pixels; originals "
        f"on the left, then the recipe {options.recipe!r}",
    )
