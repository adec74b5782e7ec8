from __future__ import annotations

from functools import partial

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.layers import PatchDropout
from keras_vit.training import CrossEntropy
from tests.contract import check_layer, example, to_numpy


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_patch_dropout_keeps_the_layer_contract(rate):
    check_layer(partial(PatchDropout, rate), (2, 5, 8), (2, 5, 8))


@pytest.mark.parametrize(("rate", "kept"), [(0.25, 12), (0.5, 8), (0.99, 1)])
def test_a_share_of_the_patches_stays_and_the_prefix_first(rate, kept):
    # Token t of image b is b * 100 + t.
    tokens = np.arange(18)[None, :, None] + 100 * np.arange(6)[:, None, None]
    tokens = np.repeat(tokens, 3, axis=2).astype("float32")
    outputs = to_numpy(PatchDropout(rate, 2)(tokens, training=True))
    assert outputs.shape == (6, 2 + kept, 3)
    np.testing.assert_array_equal(outputs[:, :2], tokens[:, :2])
    for image, out in enumerate(outputs[..., 0]):
        chosen = out[2:] - 100 * image
        assert len(set(chosen)) == kept
        assert set(chosen) <= set(range(2, 18))


def test_each_image_and_each_step_has_its_own_choice_and_all_patches_are_equal():
    layer = PatchDropout(0.5, 0, seed=1)
    tokens = np.tile(np.arange(8, dtype="float32")[None, :, None], (2000, 1, 1))
    first, second = (to_numpy(layer(tokens, training=True))[..., 0] for _ in range(2))
    assert len({tuple(sorted(row)) for row in first}) > 50
    assert not np.array_equal(first, second)
    shares = [(first == patch).any(axis=1).mean() for patch in range(8)]
    np.testing.assert_allclose(shares, 0.5, atol=0.05)
    again = to_numpy(PatchDropout(0.5, 0, seed=1)(tokens, training=True))[..., 0]
    np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize(("rate", "training"), [(0.9, False), (0.0, True)])
def test_patch_dropout_does_nothing_at_inference_or_at_rate_0(rate, training):
    tokens = example((4, 5, 8))
    outputs = to_numpy(PatchDropout(rate)(tokens, training=training))
    np.testing.assert_array_equal(outputs, tokens)


@pytest.mark.parametrize("image_size", [32, None])
def test_a_model_trains_with_fewer_patches_and_predicts_with_all(image_size):
    grid = {} if image_size else {"position_grid": (4, 4)}
    sizes = {"num_classes": 3, "image_size": image_size} | grid
    plain = keras_vit.ViT.from_variant("test", **sizes)
    model = keras_vit.ViT.from_variant("test", patch_dropout_rate=0.5, **sizes)
    assert "patch_dropout" not in [layer.name for layer in plain.layers]
    assert [w.path for w in model.weights] == [w.path for w in plain.weights]
    assert model.config.num_parameters == plain.config.num_parameters
    model.set_weights(plain.get_weights())
    images = example((4, 32, 32, 3))
    np.testing.assert_array_equal(to_numpy(model(images)), to_numpy(plain(images)))
    model.compile("sgd", CrossEntropy())
    assert np.isfinite(model.train_on_batch(images, np.arange(4) % 3))


def test_a_model_with_patch_dropout_survives_a_file(tmp_path):
    model = keras_vit.ViT.from_variant("test", num_classes=3, patch_dropout_rate=0.5)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.config == model.config


def test_rotary_positions_and_wrong_rates_are_refused():
    with pytest.raises(ValueError, match="rotary positions count on"):
        keras_vit.ViTConfig(patch_dropout_rate=0.5, rotary="axial")
    with pytest.raises(ValueError, match="patch_dropout_rate must be at least 0"):
        keras_vit.ViTConfig(patch_dropout_rate=1.0)
    with pytest.raises(ValueError, match="rate must be at least 0"):
        PatchDropout(1.0)
