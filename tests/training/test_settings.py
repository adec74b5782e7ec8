"""Rates, dtype and rematerialization of a built model."""

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.keras_internals import all_layers
from keras_vit.training import (
    SGD,
    CrossEntropy,
    TrainingModel,
    set_dtype,
    set_rates,
    set_rematerialization,
)
from tests.contract import set_random_weights

IMAGES = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")
LABELS = np.arange(4) % 3
FAMILIES = [
    {},
    {"block": "post_norm"},
    {"block": "parallel"},
    {"block": "twin", "mlp": "gated"},
    {"attention": "differential"},
    {"rotary": "axial", "use_mlp_norm": True},
    {"pooling": "attention"},
    {"pooling": "query"},
]


def small(**options) -> keras_vit.ViT:
    sizes = {"num_classes": 3, "hidden_dim": 16, "num_heads": 2, "num_layers": 3}
    return keras_vit.ViT(32, 16, **sizes, mlp_dim=16, **options)


def rates_of(model: keras.Model) -> list[tuple[str, float]]:
    return [
        (layer.name, layer.rate)
        for layer in all_layers(model)
        if isinstance(layer, keras.layers.Dropout)
    ]


@pytest.mark.parametrize("curve", ["linear", "constant"])
@pytest.mark.parametrize("options", FAMILIES)
def test_the_rates_are_those_of_a_model_built_with_them(options, curve):
    rates = {
        "stochastic_depth_rate": 0.4,
        "dropout_rate": 0.1,
        "attention_dropout_rate": 0.2,
        "stochastic_depth_curve": curve,
    }
    model = small(**options)
    keras.utils.clear_session(free_memory=False)  # Templates count their names.
    expected = small(**options, **rates)
    set_rates(model, **rates)
    assert rates_of(model) == rates_of(expected)
    assert model.config == expected.config
    for ours, theirs in zip(model.layers, expected.layers, strict=True):
        assert ours.get_config() == theirs.get_config()


def losses(model: keras.Model, count: int = 3) -> set[float]:
    return {float(model.train_on_batch(IMAGES, LABELS)) for _ in range(count)}


@pytest.mark.parametrize("wrap", [False, True])
def test_new_rates_work_in_a_compiled_model(wrap):
    inside = small()
    set_random_weights(inside)
    model = TrainingModel(inside) if wrap else inside
    model.compile(SGD(1e-30), CrossEntropy())
    assert len(losses(model)) == 1
    set_rates(model, dropout_rate=0.5)
    assert len(losses(model)) == 3
    set_rates(model, dropout_rate=0.0, stochastic_depth_rate=0.9)
    model.fit(IMAGES, LABELS, verbose=0)
    set_rates(model, stochastic_depth_rate=0.0)
    assert len(losses(model)) == 1


def test_patch_dropout_changes_where_it_was_built():
    model = small(patch_dropout_rate=0.5)
    set_rates(model, patch_dropout_rate=0.25)
    assert model.get_layer("patch_dropout").rate == 0.25
    assert model.config.patch_dropout_rate == 0.25
    with pytest.raises(ValueError, match="Build or load it with"):
        set_rates(small(), patch_dropout_rate=0.5)


@pytest.mark.parametrize("options", FAMILIES[:2])
def test_a_dtype_set_afterwards_computes_as_one_set_before(options):
    model, expected = small(**options), small(**options, dtype="mixed_bfloat16")
    set_random_weights(model)
    expected.set_weights(model.get_weights())
    plain = keras.ops.convert_to_numpy(model(IMAGES))
    set_dtype(model, "mixed_bfloat16")
    ours, theirs = (
        keras.ops.convert_to_numpy(keras.ops.cast(m(IMAGES), "float32"))
        for m in (model, expected)
    )
    np.testing.assert_array_equal(ours, theirs)
    assert model.dtype_policy.name == "mixed_bfloat16"
    assert model.get_config()["dtype"] == expected.get_config()["dtype"]
    model.compile(SGD(0.1), CrossEntropy())
    assert np.isfinite(model.train_on_batch(IMAGES, LABELS))
    set_dtype(model, "float32")
    assert {w.dtype for w in model.weights} == {"float32"}
    assert not np.array_equal(plain, ours)


def test_a_dtype_that_needs_other_weights_is_refused():
    with pytest.raises(ValueError, match="Build or load the model with dtype="):
        set_dtype(small(), "float64")
    with pytest.raises(TypeError, match=r"changes a keras_vit\.ViT"):
        set_rates(keras.Sequential([keras.layers.Dense(2)]), dropout_rate=0.1)


@pytest.mark.parametrize("mode", ["full", "activations"])
def test_rematerialization_changes_no_gradient(mode):
    results = []
    for each in (None, mode):
        keras.utils.set_random_seed(1)
        model = small(dropout_rate=0.2)
        set_random_weights(model)
        set_rematerialization(model, each)
        model.compile(SGD(0.1), CrossEntropy())
        model.train_on_batch(IMAGES, LABELS)
        results.append(model.get_weights())
    for plain, again in zip(*results, strict=True):
        np.testing.assert_allclose(plain, again, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="Build the model inside keras.RematScope"):
        set_rematerialization(small(), "larger_than")
