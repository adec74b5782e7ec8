from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from keras_vit import ViT
from keras_vit.layers import TransformerBlock
from tests.contract import example, set_random_weights, to_numpy

MODES = [
    {"mode": "full"},
    {"mode": "larger_than", "output_size_threshold": 1000},
    {"mode": "list_of_layers", "layer_names": ["block_1", "mlp"]},
    {"mode": "activations"},
]


def make_model(mode: dict[str, Any] | None, dtype: str = "float32") -> ViT:
    keras.utils.set_random_seed(1)
    with keras.RematScope(**(mode or {"mode": None})):
        model = ViT.from_variant(
            "test",
            num_classes=10,
            dropout_rate=0.1,
            attention_dropout_rate=0.1,
            stochastic_depth_rate=0.1,
            dtype=dtype,
        )
    set_random_weights(model)
    return model


def flat_weights(model: ViT) -> np.ndarray:
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


def trained_weights(mode: dict[str, Any] | None, dtype: str) -> np.ndarray:
    model = make_model(mode, dtype)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)
    images, labels = example((4, 32, 32, 3)), np.arange(4)
    model.fit(images, labels, batch_size=4, epochs=3, shuffle=False, verbose=0)
    return flat_weights(model)


@pytest.fixture(scope="module")
def plain_weights() -> dict[str, np.ndarray]:
    """Weights after training without rematerialization, per dtype, made once."""
    return {}


# Every mode in float32; the mixed policies with the two modes that differ most.
CASES = [("float32", mode) for mode in MODES] + [
    ("mixed_bfloat16", MODES[0]),
    ("mixed_float16", MODES[2]),
]


@pytest.mark.parametrize(
    ("dtype", "mode"), CASES, ids=[f"{dtype}-{mode['mode']}" for dtype, mode in CASES]
)
def test_rematerialization_trains_the_same_weights(dtype, mode, plain_weights):
    # All three kinds of dropout are on: the second forward pass needs the same masks.
    # With others, this ratio is near 1; rounding in half precision makes it 0.01.
    if dtype not in plain_weights:
        plain_weights[dtype] = trained_weights(None, dtype)
    plain = plain_weights[dtype]
    difference = np.linalg.norm(trained_weights(mode, dtype) - plain)
    step = np.linalg.norm(plain - flat_weights(make_model(None)))
    assert difference / step < (1e-4 if dtype == "float32" else 0.05)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ({"mode": None}, 0),
        ({"mode": "full"}, 4),  # patch_encoder, two blocks, head
        ({"mode": "larger_than", "output_size_threshold": 1000}, 3),  # all but head
        ({"mode": "list_of_layers", "layer_names": ["block_1"]}, 1),
        ({"mode": "list_of_layers", "layer_names": ["mlp"]}, 2),
    ],
)
def test_the_outermost_selected_layers_are_rematerialized(mode, expected, monkeypatch):
    model, functions, remat = make_model(mode), [], keras.remat

    def count(function: Any) -> Any:
        functions.append(function)
        return remat(function)

    monkeypatch.setattr(keras, "remat", count)
    model(example((4, 32, 32, 3)), training=True)
    ours = [f for f in functions if "keras_vit" in (f.__module__ or "")]
    assert len(ours) == expected


@pytest.mark.parametrize("mode", MODES, ids=[mode["mode"] for mode in MODES])
def test_rematerialization_leaves_inference_as_it_is(mode):
    images = example((2, 32, 32, 3))
    np.testing.assert_allclose(
        to_numpy(make_model(mode)(images)),
        to_numpy(make_model(None)(images)),
        atol=1e-6,
    )


def test_seeds_move_on_after_a_rematerialized_call():
    with keras.RematScope(mode="full"):
        block = TransformerBlock(8, 2, 12, dropout_rate=0.5)
    tokens = example((2, 5, 8))
    first, second = (to_numpy(block(tokens, training=True)) for _ in range(2))
    assert (first != second).any()
