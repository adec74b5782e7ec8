"""Relevance and Grad-CAM of what timm's models have not; targets; outputs."""

from __future__ import annotations

import gc
import weakref

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.explaining import gradient_reading, kept
from keras_vit.explaining.explain import explain
from tests.contract import to_numpy
from tests.explaining.test_explain import vit

PICTURES = np.random.default_rng(3).integers(0, 256, (3, 40, 50, 3), dtype="uint8")
MODELS = {
    "class tokens of two blocks": {"pooling": "token_mean", "num_pooled_blocks": 2},
    "prefix": {"pooling": "prefix", "num_registers": 2, "use_class_token": True},
    "query": {"pooling": "query"},
    "any size": {"image_size": None, "position_grid": (4, 4), "pooling": "attention"},
    "softmax": {"classifier_activation": "softmax"},
}


def logit(model, images, number):
    """The score that maps are for, by the weights alone."""
    plain = keras_vit.changed(model, classifier_activation=None)
    return to_numpy(plain(images))[:, number].astype("float64")


@pytest.mark.parametrize("name", ["query", "softmax"])
def test_the_gradient_is_that_of_the_logit(name):
    # Along a direction, against differences: what is added to the tokens of a block.
    model = vit(**MODELS[name])
    images = np.stack([model.preprocessing(picture) for picture in PICTURES])
    given = gradient_reading.grad_cam_model(model, 0)
    [shape] = given.shapes(model.config.num_prefix_tokens + _patches(images))
    direction = np.random.default_rng(0).normal(size=(len(images), *shape))
    lengths = np.sqrt((direction**2).sum(axis=(1, 2), keepdims=True))
    direction = (direction / lengths).astype("float32")

    def finish(_, gradients):
        along = keras.ops.convert_to_tensor(direction)
        return keras.ops.sum(gradients[0] * along, axis=(1, 2))

    def num_tokens(size):
        return model.config.num_prefix_tokens + _patches(images)

    reader = gradient_reading.GradientReader(
        gradient_reading.GradientModel(
            model=given.model, shapes=given.shapes, finish=finish
        ),
        num_tokens,
        has_no=False,
    )
    outputs, slope = reader(images, 1)
    expected = logit(model, images, 1)
    np.testing.assert_allclose(outputs[:, 1], expected, rtol=1e-4, atol=1e-4)
    step = np.float32(0.02)
    ahead, behind = (
        to_numpy(given.model([images, sign * step * direction])["outputs"])
        for sign in (1, -1)
    )
    expected = (ahead - behind)[:, 1] / (2 * step)
    np.testing.assert_allclose(slope, expected, rtol=0.01, atol=0.003)


def _patches(images):
    return (images.shape[1] // 8) * (images.shape[2] // 8)


@pytest.mark.parametrize(
    "method, name", [*(("relevance", name) for name in MODELS), ("grad_cam", "query")]
)
def test_each_pooling_has_a_map_of_a_class(name, method):
    model = vit(**MODELS[name])
    before = [to_numpy(weight) for weight in model.weights]
    found = explain(model, PICTURES[:2], method=method)
    answers = keras_vit.predict(model, PICTURES[:2])
    for one, answer in zip(found, answers, strict=True):
        assert one.class_name == answer[0].class_name
        assert one.probability == pytest.approx(answer[0].probability, abs=1e-5)
        assert (one.patches >= 0).all() and np.isfinite(one.patches).all()
    other = (found[0].target + 1) % 3
    another, _ = explain(model, PICTURES[:2], method=method, target=other)
    assert another.target == other
    assert np.abs(another.patches - found[0].patches).max() > 1e-4
    for weight, values in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(to_numpy(weight), values)


def test_a_single_logit_speaks_for_yes_and_against_no():
    model = vit(num_classes=1, class_names=("no", "yes"))
    maps = {
        target: explain(model, PICTURES[:1], method="relevance", target=target)[0]
        for target in (None, "no", "yes")
    }
    likely = maps[None].class_name
    np.testing.assert_allclose(maps[None].patches, maps[likely].patches, rtol=1e-5)
    assert np.abs(maps["no"].patches - maps["yes"].patches).max() > 1e-5


def test_calls_hold_no_more_weights_than_they_may(monkeypatch):
    model = vit()
    together = explain(model, PICTURES, method="relevance")
    monkeypatch.setattr(gradient_reading, "_MOST_BYTES", 1)
    alone = explain(model, PICTURES, method="relevance")
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.patches, other.patches, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["rollout", "relevance", "components"])
def test_a_model_is_compiled_once_and_not_held(method):
    model = vit()
    explain(model, PICTURES[:1], method=method)
    made = [*kept._KEPT[model].values()]
    model.get_layer("block_0").set_weights(
        [0.9 * x for x in model.get_layer("block_0").get_weights()]
    )
    [found] = explain(model, PICTURES[:1], method=method)
    assert [*kept._KEPT[model].values()] == made
    [expected] = explain(keras_vit.changed(model), PICTURES[:1], method=method)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-3, atol=1e-5)
    number, alive = len(kept._KEPT), weakref.ref(model)
    del model, made
    gc.collect()
    assert alive() is None and len(kept._KEPT) < number


def test_differential_attention_has_relevance():
    model = vit(attention="differential")
    [one] = explain(model, PICTURES[:1], method="relevance")
    assert np.ptp(one.patches) > 0
