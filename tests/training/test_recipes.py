"""The named recipes: each trains, draws its batches, and is what the docs say."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import RECIPES, Preprocessing, Recipe
from keras_vit.data.sources.digits import load_digits
from keras_vit.training import get_recipe

IMAGES = np.random.default_rng(0).normal(size=(8, 32, 32, 3)).astype("float32")
LABELS = np.arange(8) % 3
DOCS = Path(__file__).parents[2] / "docs" / "recipes.md"


@pytest.mark.parametrize("name", RECIPES)
def test_the_loss_of_each_recipe_falls_in_the_own_fit(name):
    keras.utils.set_random_seed(0)
    model = keras_vit.ViT.from_variant("test", num_classes=3, num_layers=1)
    recipe = replace(RECIPES[name], batch_size=8, epochs=12, warmup_epochs=0)
    model = recipe.prepared(model)
    recipe.compile(model, steps_per_epoch=1)
    frozen = [keras.ops.convert_to_numpy(w) for w in model.non_trainable_weights]
    options = {"batch_size": 8, "epochs": 12, "verbose": 0}
    losses = model.fit(IMAGES, LABELS, **options).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    for before, weight in zip(frozen, model.non_trainable_weights, strict=True):
        if weight.dtype == "float32":  # The others are states of generators.
            np.testing.assert_array_equal(before, keras.ops.convert_to_numpy(weight))


@pytest.mark.parametrize("name", RECIPES)
def test_each_recipe_draws_its_batches(name):
    recipe = RECIPES[name]
    images, labels = load_digits()
    pixels = np.repeat(images[:24] * 15, 3, axis=-1).astype("uint8")
    data = keras_vit.load_data((pixels, labels[:24]), validation_fraction=0.0)
    batch, targets = data.train.batches(
        Preprocessing(image_size=32),
        8,
        training=True,
        augmentation=recipe.augmentation,
        mixing=recipe.mixing,
        repeated_augmentation=recipe.repeated_augmentation,
    )[0]
    assert batch.shape == (8, 32, 32, 3) and np.isfinite(batch).all()
    if recipe.mixing is not None:
        np.testing.assert_allclose(targets.sum(axis=-1), 1, rtol=1e-5)


def test_rates_of_each_size_of_deit3_are_one_change_away():
    recipe = get_recipe("deit3", stochastic_depth_rate=0.45)
    model = keras_vit.ViT.from_variant("test", num_classes=3, layer_scale=1e-4)
    model = recipe.prepared(model)
    assert model.get_layer("block_0").stochastic_depth_rate == 0.45
    assert model.config.stochastic_depth_curve == "constant"


def crop(recipe: Recipe) -> str:
    area, padding = recipe.augmentation.crop_area, recipe.augmentation.crop_padding
    if padding is not None:
        return f"padded {padding}"
    return "–" if area is None else f"{area[0]:g} to {area[1]:g}"


def docs_row(name: str, recipe: Recipe) -> str:
    """Return the row of a recipe in docs/recipes.md."""
    mixing, colours = recipe.mixing, recipe.augmentation.rand_augment
    cells = (
        f"`{name}`",
        recipe.epochs,
        recipe.batch_size,
        f"{recipe.optimizer_name} {recipe.learning_rate:g}",
        f"{recipe.warmup_epochs:g}",
        f"{recipe.weight_decay:g}",
        "–" if recipe.gradient_clip_norm is None else f"{recipe.gradient_clip_norm:g}",
        recipe.loss_name.replace("_", " "),
        f"{recipe.label_smoothing:g}",
        "–"
        if recipe.stochastic_depth_rate is None
        else f"{recipe.stochastic_depth_rate:g}",
        crop(recipe),
        "three-augment"
        if recipe.augmentation.three_augment
        else ("–" if colours is None else f"RandAugment {colours.magnitude:g}"),
        "–" if mixing is None else f"{mixing.mixup_alpha:g}, {mixing.cutmix_alpha:g}",
    )
    return f"| {' | '.join(map(str, cells))} |"


@pytest.mark.parametrize("name", RECIPES)
def test_the_docs_show_each_recipe_as_it_is(name):
    text = DOCS.read_text(encoding="utf-8")
    assert docs_row(name, RECIPES[name]) in text
    page = (DOCS.parent / "model.md").read_text(encoding="utf-8")
    assert f"`{name}`" in page
