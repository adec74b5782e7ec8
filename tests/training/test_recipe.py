"""Recipes."""

import json
from dataclasses import asdict, replace

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import RECIPES, Augmentation, Recipe
from keras_vit.training import get_recipe

RECIPE = Recipe(epochs=10, warmup_epochs=2, learning_rate=0.5)


def rates(recipe: Recipe, steps_per_epoch: int = 10) -> np.ndarray:
    schedule = recipe.schedule(steps_per_epoch)
    steps = range(recipe.epochs * steps_per_epoch + 1)
    return np.array([float(schedule(step)) for step in steps])


def test_the_learning_rate_grows_linearly_to_its_peak():
    np.testing.assert_allclose(rates(RECIPE)[:21], np.linspace(0, 0.5, 21), atol=1e-6)


def test_the_learning_rate_falls_to_zero_along_a_cosine():
    share = np.arange(81) / 80
    expected = 0.25 * (1 + np.cos(np.pi * share))
    np.testing.assert_allclose(rates(RECIPE)[20:], expected, atol=1e-6)


def test_without_warm_up_the_peak_comes_first():
    assert rates(replace(RECIPE, warmup_epochs=0))[0] == pytest.approx(0.5)


def test_gradients_are_clipped_by_their_common_norm():
    model = keras_vit.ViT.from_variant("test", num_classes=3)
    recipe = Recipe(gradient_clip_norm=0.25)
    recipe.compile(model, steps_per_epoch=5)
    assert model.optimizer.global_clipnorm == 0.25


def test_the_parts_train_a_model_by_hand(rng):
    model = keras_vit.ViT.from_variant("test", num_classes=3)
    recipe = Recipe(epochs=12, warmup_epochs=0, learning_rate=3e-3)
    model.compile(recipe.optimizer(1), recipe.loss(), metrics=["accuracy"])
    images = rng.normal(size=(12, 32, 32, 3)).astype("float32")
    history = model.fit(images, np.arange(12) % 3, epochs=12, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]


@pytest.mark.parametrize("name", list(RECIPES))
def test_recipes_survive_json_and_say_their_source(name):
    recipe = RECIPES[name]
    assert Recipe(**json.loads(json.dumps(asdict(recipe)))) == recipe
    assert recipe.source


def test_a_probability_output_gets_the_matching_loss():
    model = keras_vit.ViT.from_variant(
        "test", num_classes=3, classifier_activation="softmax"
    )
    Recipe().compile(model, steps_per_epoch=5)
    assert model.loss.from_logits is False
    assert isinstance(model.optimizer, keras.optimizers.AdamW)


def test_unknown_recipes_and_options_are_refused():
    with pytest.raises(ValueError, match=r"recipe must be one of \['small_data'"):
        get_recipe("huge_data")
    with pytest.raises(TypeError, match=r"option\(s\) \['speed'\]. The options are"):
        get_recipe("small_data", speed=0.9)
    # As from the command line.
    for name, listed in (("augmentation", "crop_area"), ("mixing", "cutmix_alpha")):
        with pytest.raises(TypeError, match=rf"Unknown {name} .*foo.*{listed}"):
            Recipe(**{name: {"foo": 1}})
    with pytest.raises(TypeError, match="speed"):
        Recipe(speed=0.9)
    for part, value in (("augmentation", {"crop": 1}), ("mixing", {"alpha": 1})):
        message = rf"Unknown {part} option\(s\) .* The options are"
        with pytest.raises(TypeError, match=message):
            get_recipe("deit", **{part: value})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1"),
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"learning_rate": 0}, "learning_rate must be above 0"),
        ({"gradient_clip_norm": -1}, "gradient_clip_norm must be above 0"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0"),
        ({"label_smoothing": 1.0}, "label_smoothing must be at least 0 and below 1"),
        ({"epochs": 3, "warmup_epochs": 3}, "Train longer or warm up for less"),
        ({"augmentation": {"zoom": 2}}, "zoom must be"),
        ({"optimizer_name": "lion"}, r"optimizer_name must be one of \['adamw'"),
        ({"schedule_name": "step"}, "schedule_name must be one of"),
        ({"loss_name": "mse"}, "loss_name must be one of"),
        ({"layer_decay": 1.5}, "layer_decay must be above 0 and at most 1 or None"),
        ({"ema_decay": 1.0}, "ema_decay must be at least 0 and below 1 or None"),
        ({"momentum": True}, "momentum must be at least 0 and below 1"),
        ({"final_learning_rate": 1.0}, "at most learning_rate"),
        ({"accumulation_steps": 3}, "multiple of accumulation_steps"),
        ({"cooldown_epochs": 99}, "must fit into epochs"),
        ({"patch_dropout_rate": 1.0}, "patch_dropout_rate must be at least 0"),
        ({"train_only": "norms"}, "train_only must be one of"),
        ({"train_only": "head", "freeze_until": "block_0"}, "Use one"),
        ({"distillation": "warm"}, "distillation must be one of"),
        ({"image_sizes": ((3, 32),)}, "growing from epoch 0"),
        ({"image_sizes": (32, 48)}, "growing from epoch 0"),
        ({"image_sizes": ((0, 0),)}, "growing from epoch 0"),
        ({"image_sizes": ((0, 32), (100, 48))}, "before the last epoch"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augmentation": "deit"}, "must be a keras_vit.Augmentation, received"),
        ({"mixing": True}, "must be a keras_vit.Mixing or None, received mixing=True"),
        ({"epoch": 3}, "epoch"),
    ],
)
def test_settings_of_another_type_are_refused(options, message):
    with pytest.raises(TypeError, match=message):
        Recipe(**options)


def test_one_name_of_lora_layers_is_one():
    assert Recipe(lora_layers="attention/qkv").lora_layers == ("attention/qkv",)


def test_augmentation_may_be_a_dictionary():
    assert Recipe(augmentation={"zoom": 0.5}).augmentation == Augmentation(zoom=0.5)


def test_a_recipe_gives_optimizer_loss_and_rates():
    model = keras_vit.ViT.from_variant("test", num_classes=3)
    recipe = Recipe(
        optimizer_name="sgd",
        momentum=0.8,
        layer_decay=0.5,
        ema_decay=0.9,
        gradient_clip_norm=None,
        loss_name="binary_cross_entropy",
        stochastic_depth_rate=0.2,
        freeze_until="patch_encoder",
        dtype="mixed_bfloat16",
    )
    given, model = model, recipe.prepared(model)
    recipe.compile(model, steps_per_epoch=3)
    assert given.trainable and not given.compiled
    assert given.config.stochastic_depth_rate == 0
    optimizer = model.optimizer
    assert (optimizer.momentum, optimizer.layer_decay) == (0.8, 0.5)
    assert (optimizer.use_ema, optimizer.ema_momentum) == (True, 0.9)
    assert optimizer.global_clipnorm is None
    assert type(model.loss).__name__ == "BinaryCrossEntropy"
    assert model.config.stochastic_depth_rate == 0.2
    assert not model.get_layer("patch_encoder").trainable
    assert model.get_layer("block_0").compute_dtype == "bfloat16"


def test_accumulation_needs_the_training_model():
    model = keras_vit.ViT.from_variant("test", num_classes=3)
    recipe = Recipe(accumulation_steps=4)
    with pytest.raises(ValueError, match="Use recipe.training_copy"):
        recipe.compile(model, steps_per_epoch=3)
    trainer = recipe.training_copy(model)
    recipe.compile(trainer, steps_per_epoch=3)
    assert trainer.accumulation_steps == 4


@pytest.mark.parametrize(
    "options",
    [
        {"dropout_rate": 0.1},
        {"stochastic_depth_curve": "constant"},
        {"dtype": "mixed_bfloat16"},
        {"freeze_until": "block_0"},
        {"train_only": "head"},
        {"train_only": "lora"},
    ],
)
def test_a_model_that_is_not_as_the_recipe_trains_it_is_refused(options):
    model = keras_vit.ViT.from_variant("test", num_classes=3)
    recipe = Recipe(**options)
    message = f"received 'vit' without its .*{next(iter(options))}.*training_copy"
    with pytest.raises(ValueError, match=message):
        recipe.compile(model, steps_per_epoch=3)
    for prepared in (recipe.prepared(model), recipe.training_copy(model)):
        recipe.compile(prepared, steps_per_epoch=3)


def test_image_sizes_need_a_model_for_any_size():
    fixed = keras_vit.ViT.from_variant("test", num_classes=3)
    recipe = Recipe(image_sizes=((0, 16), (50, 32)))
    assert recipe.prepared(fixed).input_shape == (None, None, None, 3)
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match=r"Build it for \(None, None, channels\)"):
        recipe.prepared(model)
    model = keras_vit.ViT.from_variant("test", image_size=None)
    with pytest.raises(ValueError, match="must hold a patch"):
        Recipe(image_sizes=((0, 32), (50, 7))).training_copy(model)


@pytest.mark.parametrize(
    ("activation", "loss_name"),
    [
        ("softmax", "binary_cross_entropy"),
        ("softmax", "sigmoid_cross_entropy"),
        ("sigmoid", "cross_entropy"),
    ],
)
def test_a_head_of_another_loss_is_refused(activation, loss_name):
    model = keras_vit.ViT.from_variant(
        "test", num_classes=3, classifier_activation=activation
    )
    with pytest.raises(ValueError, match=f"that ends with {activation}"):
        Recipe(loss_name=loss_name).compile(model, steps_per_epoch=1)
