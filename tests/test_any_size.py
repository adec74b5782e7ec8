"""One model for images of any size."""

from __future__ import annotations

from dataclasses import asdict

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import Preprocessing, ViTConfig
from keras_vit.features import features, pre_logits
from keras_vit.inference.embed import embed
from keras_vit.surgery import replace_head, resize
from tests.any_size import FEW, KINDS, SIZES, close, tiny
from tests.contract import example, to_numpy
from tests.peers import timm_call, timm_model, write_timm

# Compared with models of one size


@pytest.mark.parametrize("kind", KINDS)
def test_each_size_gives_what_a_model_of_that_size_gives(kind):
    model = tiny(**KINDS[kind])
    free = resize(model, image_size=None)
    assert free.input_shape == (None, None, None, 3)
    for size in SIZES if kind in FEW else SIZES[1:]:
        images = example((2, *size, 3))
        fixed = resize(model, image_size=size)
        outputs, expected = (m.predict(images, verbose=0) for m in (free, fixed))
        np.testing.assert_allclose(outputs, expected, atol=2e-5 * abs(expected).max())


@pytest.mark.parametrize("kind", FEW)
def test_features_of_each_size(kind):
    model = tiny(**KINDS[kind])
    maps = features(resize(model, image_size=None), layers=[0, 1])
    for size in SIZES:
        images = example((2, *size, 3))
        expected = features(resize(model, image_size=size), layers=[0, 1])(images)
        outputs = maps(images)
        assert outputs["block_1"].shape[1:3] == (size[0] // 8, size[1] // 8)
        for name, value in expected.items():
            close(outputs[name], to_numpy(value))


@pytest.mark.parametrize(
    "name",
    ["vit_base_patch16_224", "vit_base_patch14_reg4_dinov2", "deit3_base_patch16_224"],
)
def test_each_size_gives_what_timm_gives(name, tmp_path):
    patch = 14 if "patch14" in name else 16
    theirs = timm_model(
        name,
        **{"embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 5},
        **{"img_size": (4 * patch, 3 * patch), "dynamic_img_size": True},
    )
    write_timm(theirs, tmp_path)
    model = resize(keras_vit.load(tmp_path), image_size=None)
    for grid in [(4, 3), (3, 4), (7, 1)]:
        images = example((2, grid[0] * patch, grid[1] * patch, 3))
        expected = timm_call(theirs, images)
        np.testing.assert_allclose(
            to_numpy(model(images)), expected, atol=1e-5 * max(1, abs(expected).max())
        )


def test_models_are_loaded_for_any_size(tmp_path):
    theirs = timm_model(
        "vit_base_patch16_224",
        **{"embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 5},
        img_size=(64, 48),
    )
    write_timm(theirs, tmp_path)
    free = keras_vit.load(tmp_path, image_size=None)
    expected = resize(keras_vit.load(tmp_path), image_size=None)
    assert free.get_config() == expected.get_config()
    images = example((2, 32, 48, 3))
    close(free(images), to_numpy(expected(images)))


def test_own_models_of_any_size_are_loaded_for_one(tmp_path):
    free = tiny(image_size=None)
    free.save(tmp_path / "model.keras")
    images = example((2, 24, 48, 3))
    fixed = keras_vit.load(tmp_path / "model.keras", image_size=(24, 48))
    close(fixed(images), to_numpy(free(images)))


# In use


def test_positions_train_at_each_size():
    free = resize(tiny(), image_size=None)
    free.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    [table] = [w for w in free.weights if w.path.endswith("table")]
    for size in SIZES:
        before = keras.ops.convert_to_numpy(keras.ops.copy(table.value))
        free.fit(example((4, *size, 3)), np.array([0, 1, 2, 0]), verbose=0)
        assert abs(keras.ops.convert_to_numpy(table.value) - before).max() > 0


def test_rematerialization_changes_nothing():
    free = resize(tiny(), image_size=None)
    with keras.RematScope(mode="full"):
        same = resize(free)
    images, labels = example((4, 40, 24, 3)), np.array([0, 1, 2, 0])
    for model in (free, same):
        model.compile(
            keras.optimizers.SGD(0.1),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        model.fit(images, labels, verbose=0)
    close(same(images), to_numpy(free(images)))


@pytest.mark.parametrize("kind", FEW)
def test_a_saved_model_gives_the_same(kind, tmp_path):
    free = resize(tiny(**KINDS[kind]), image_size=None)
    free.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.config == free.config
    images = example((2, 48, 24, 3))
    np.testing.assert_array_equal(to_numpy(again(images)), to_numpy(free(images)))


@pytest.mark.parametrize("size", [(7, 16), (16, 4)])
def test_images_smaller_than_a_patch_are_refused(size):
    with pytest.raises(ValueError, match="at least one patch large.*Use larger images"):
        tiny(image_size=None)(example((1, *size, 3)))


def test_mixed_precision_takes_each_size():
    free = tiny(image_size=None, dtype="mixed_bfloat16")
    for size in SIZES:
        outputs = free(example((2, *size, 3)))
        assert np.isfinite(to_numpy(outputs)).all()


def test_preprocessing_keeps_its_size():
    model = tiny(preprocessing=Preprocessing(image_size=32), class_names=list("abcde"))
    free = resize(model, image_size=None)
    assert free.preprocessing == model.preprocessing
    assert free.class_names == model.class_names
    picture = np.full((50, 70, 3), 100, "uint8")
    np.testing.assert_allclose(embed(free, picture), embed(model, picture), atol=1e-5)
    other = Preprocessing(image_size=(48, 24))
    assert embed(free, picture, preprocessing=other).shape == (1, 32)


def test_preprocessing_of_any_size_fits_but_not_of_other_channels():
    free = tiny(image_size=None)
    free.preprocessing = Preprocessing(image_size=(40, 16))
    with pytest.raises(ValueError, match="size that the model takes"):
        free.preprocessing = Preprocessing(image_size=32, channels=1)


# Surgery


def test_the_table_stays_that_of_the_grid_it_was_learned_for():
    model = tiny(image_size=(24, 40))
    free = resize(model, image_size=None)
    assert free.config.position_grid == (3, 5)
    assert free.config.num_parameters == free.count_params() == model.count_params()
    again = resize(free, image_size=(24, 40))
    assert again.config == model.config
    for old, new in zip(model.weights, again.weights, strict=True):
        assert old.path == new.path
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(old.value), keras.ops.convert_to_numpy(new.value)
        )


def test_other_patches_keep_the_table():
    free = resize(tiny(), image_size=None, patch_size=16)
    assert free.config.position_grid == (4, 4)
    again = resize(free, patch_size=8)
    assert again.config.position_grid == (4, 4)
    assert again(example((1, 24, 16, 3))).shape == (1, 5)


def test_heads_are_replaced():
    free = replace_head(resize(tiny(), image_size=None), 3)
    assert free.input_shape == (None, None, None, 3)
    assert free(example((1, 24, 16, 3))).shape == (1, 3)
    assert pre_logits(free)(example((1, 24, 16, 3))).shape == (1, 32)


# Configuration


def test_a_variant_keeps_its_grid():
    config = ViTConfig.from_variant("B/16", image_size=None)
    assert config.image_size is None
    assert config.position_grid == (14, 14)
    assert config.num_parameters == ViTConfig.from_variant("B/16").num_parameters


@pytest.mark.parametrize("positions", ["sincos", "sincos_open", None])
def test_a_grid_is_needed_for_learned_positions_only(positions):
    assert ViTConfig(image_size=None, positions=positions).position_grid is None


@pytest.mark.parametrize(
    "options",
    [
        {"image_size": None},
        {"position_grid": (14, 14)},
        {"image_size": None, "positions": None, "position_grid": (14, 14)},
    ],
)
def test_a_grid_and_any_size_go_together(options):
    with pytest.raises(ValueError, match="position_grid"):
        ViTConfig(**options)


@pytest.mark.parametrize("grid", [7, [7, 7], (7, 7)])
def test_the_grid_becomes_a_pair(grid):
    config = ViTConfig(image_size=None, position_grid=grid)
    assert config.position_grid == (7, 7)
    assert ViTConfig(**asdict(config)) == config


@pytest.mark.parametrize("name", ["macs", "num_patches", "num_tokens", "grid_size"])
def test_numbers_that_depend_on_the_size_need_one(name):
    config = ViTConfig(image_size=None, position_grid=14)
    with pytest.raises(ValueError, match="needs an image_size"):
        getattr(config, name)
    assert getattr(config.changed(image_size=224), name) == getattr(ViTConfig(), name)


def test_the_number_of_parameters_is_that_of_the_model():
    for kind in FEW:
        model = keras_vit.ViT.from_variant(
            "test", **{"num_classes": 5, **KINDS[kind]}, image_size=None
        )
        assert model.config.num_parameters == model.count_params()
