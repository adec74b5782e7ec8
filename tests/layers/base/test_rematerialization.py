from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from keras_vit import ViT
from keras_vit.layers import SelfAttention
from keras_vit.layers.positions.rotation import rotation_table
from tests.contract import example, set_random_weights, to_numpy
from tests.layers.blocks import make_block

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


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Functions of ours that were rematerialized."""
    functions: list[Any] = []
    remat = keras.remat

    def count(function: Any) -> Any:
        if "keras_vit" in (function.__module__ or ""):
            functions.append(function)
        return remat(function)

    monkeypatch.setattr(keras, "remat", count)
    return functions


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
def test_the_outermost_selected_layers_are_rematerialized(mode, expected, calls):
    model = make_model(mode)
    calls.clear()
    model(example((4, 32, 32, 3)), training=True)
    assert len(calls) == expected


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
        block = make_block({"dropout_rate": 0.5}, {"dropout_rate": 0.5})
    tokens = example((2, 5, 8))
    first, second = (to_numpy(block(tokens, training=True)) for _ in range(2))
    assert (first != second).any()


# One model per way in which a block gets its rotation.
ROTARY = {
    "axial": {"rotary": "axial", "num_registers": 1, "mlp": "gated"},
    "mixed": {"rotary": "mixed", "block": "post_norm", "qkv_bias": "qv"},
    "others": {"attention": "differential", "block": "twin", "pooling": "attention"},
    "distilled": {"block": "parallel", "use_distillation_token": True},
}


def gradients(model: ViT, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return the gradient of a sum of squares by the path of its weight."""
    weights = model.trainable_weights
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        def loss(values: list[Any]) -> Any:
            state = [v.value for v in model.non_trainable_variables]
            outputs, _ = model.stateless_call(values, state, images, training=True)
            return (outputs**2).sum()

        found = jax.jit(jax.grad(loss))([w.value for w in weights])
    elif backend == "tensorflow":
        import tensorflow as tf

        @tf.function
        def gradient() -> Any:
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(model(images, training=True) ** 2)
            return tape.gradient(loss, [w.value for w in weights])

        found = gradient()
    else:
        model.zero_grad()
        (model(images, training=True) ** 2).sum().backward()
        found = [w.value.grad for w in weights]
    assert all(gradient is not None for gradient in found)
    return {
        weight.path: to_numpy(gradient)
        for weight, gradient in zip(weights, found, strict=True)
    }


def rotary_model(mode: dict[str, Any] | None, options: dict[str, Any]) -> ViT:
    keras.utils.set_random_seed(1)
    rates = dict.fromkeys(("dropout_rate", "stochastic_depth_rate"), 0.1)
    with keras.RematScope(**(mode or {"mode": None})):
        model = ViT.from_variant("test", num_classes=10, **rates, **options)
    set_random_weights(model)
    return model


@pytest.mark.parametrize("case", ROTARY)
def test_gradients_are_the_same_with_later_families(case):
    images, options, mode = example((4, 32, 32, 3)), ROTARY[case], {"mode": "full"}
    if case == "axial":  # A mode that selects a layer within a block, too.
        mode = {"mode": "list_of_layers", "layer_names": ["block_1", "attention"]}
    expected = gradients(rotary_model(None, options), images)
    found = gradients(rotary_model(mode, options), images)
    assert found.keys() == expected.keys()
    for path, gradient in expected.items():
        atol = 1e-4 * max(1.0, abs(gradient).max())
        np.testing.assert_allclose(found[path], gradient, atol=atol, err_msg=path)
    learned = [g for path, g in expected.items() if path.endswith("/frequencies")]
    assert len(learned) == (2 if case == "mixed" else 0)
    assert all(abs(gradient).max() > 1e-6 for gradient in learned)


# A part follows the mode only if it is named; otherwise what holds it does.
def test_a_rotation_can_be_passed_by_position():
    with keras.RematScope(mode="list_of_layers", layer_names=["attention"]):
        attention = SelfAttention(8, 2, rotary_layout="half", name="attention")
    with keras.RematScope(mode="full"):
        block = make_block({"rotary_layout": "half"})
    rotation = rotation_table(example((5, 1, 2)), "half")
    tokens = example((2, 5, 8))
    for layer in (attention, block):
        np.testing.assert_allclose(
            to_numpy(layer(tokens, rotation)),
            to_numpy(layer(tokens, rotation=rotation)),
            atol=1e-6,
        )


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ({"mode": "full"}, 2),
        ({"mode": "larger_than", "output_size_threshold": 10}, 2),
        ({"mode": "list_of_layers", "layer_names": ["mlp", "attention"]}, 4),
        ({"mode": "activations"}, 0),
    ],
)
def test_blocks_of_a_users_model_are_rematerialized_as_a_whole(mode, expected, calls):
    with keras.RematScope(**mode):
        blocks = [make_block(), make_block()]
    inputs = keras.Input((5, 8))
    model = keras.Model(inputs, blocks[1](blocks[0](inputs)))
    calls.clear()
    model(example((2, 5, 8)), training=True)
    assert len(calls) == expected


def test_attention_scores_come_through_rematerialization():
    with keras.RematScope(mode="full"):
        block = make_block()
    same, tokens = make_block(), example((2, 5, 8))
    for layer in (block, same):
        layer.build(tokens.shape)
        set_random_weights(layer, scale=0.5)
    found = block(tokens, return_attention_scores=True)
    expected = same(tokens, return_attention_scores=True)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(to_numpy(one), to_numpy(other), atol=1e-6)
