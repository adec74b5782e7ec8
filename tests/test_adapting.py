"""Models with the parts that a recipe needs."""

from __future__ import annotations

import numpy as np

import keras_vit
from tests.contract import set_random_weights, to_numpy


def make_model() -> keras_vit.ViT:
    model = keras_vit.ViT.from_variant("test", num_classes=3, class_names=list("abc"))
    set_random_weights(model)
    return model


def test_a_recipe_without_wishes_takes_the_model_as_it_is():
    model = make_model()
    assert keras_vit.adapt_to_recipe(model, keras_vit.Recipe()) is model


def test_a_model_learns_to_drop_patches_and_keeps_its_weights():
    model = make_model()
    recipe = keras_vit.Recipe(patch_dropout_rate=0.25)
    adapted = keras_vit.adapt_to_recipe(model, recipe)
    assert adapted.config.patch_dropout_rate == 0.25
    assert adapted.class_names == model.class_names
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    found, expected = to_numpy(adapted(images)), to_numpy(model(images))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_model_for_changing_sizes_predicts_at_the_size_that_it_had():
    model = make_model()
    recipe = keras_vit.Recipe(image_sizes=((0, 16), (5, 32)))
    adapted = keras_vit.adapt_to_recipe(model, recipe)
    assert adapted.input_shape == (None, None, None, 3)
    assert adapted.preprocessing.image_size == (32, 32)
    assert keras_vit.adapt_to_recipe(adapted, recipe) is adapted


def test_fewer_epochs_warm_up_for_the_same_share():
    recipe = keras_vit.Recipe(epochs=100, warmup_epochs=10).with_epochs(20)
    assert (recipe.epochs, recipe.warmup_epochs) == (20, 2.0)
