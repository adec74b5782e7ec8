"""`torch.compile` computes what the model computes, without a break in the graph."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import keras_vit
from tests.contract import example, set_random_weights, to_numpy
from tests.families import FAMILIES

torch: Any = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.skipif(keras.backend.backend() != "torch", reason="for torch models"),
    # Of torch about Keras's ops in float64 and int8.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(autouse=True)
def _no_graphs_of_other_tests():
    torch.compiler.reset()


def tiny(**options: Any) -> keras_vit.ViT:
    model = keras_vit.ViT.from_variant("test", **{"num_classes": 5, **options})
    set_random_weights(model)
    return model


def compiled(model: Any, fullgraph: bool = True) -> Any:
    """Return a function that follows the graph, without making machine code of it."""
    return torch.compile(model, fullgraph=fullgraph, backend="aot_eager")


def check(model: Any, rtol: float = 1e-4, fullgraph: bool = True) -> None:
    x = torch.as_tensor(example((2, *model.input_shape[1:])))
    expected = to_numpy(model(x))
    found = to_numpy(compiled(model, fullgraph)(x))
    scale = abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=0.1 * rtol * scale)


# One with each kind of block, product, norm and positions.
NAMES = ["axial", "grouped", "post-norm", "parallel", "twin", "differential"]


@pytest.mark.parametrize("name", NAMES)
def test_each_family_gives_the_same(name):
    check(tiny(**FAMILIES[name]))


def test_blocks_that_look_alike_are_not_taken_for_each_other():
    # One has LoRA factors, one another epsilon, one int8 weights, at which torch breaks
    # the graph; the other two are alike, and share what was found for one of them.
    model = tiny(num_layers=5)
    model.get_layer("block_1").mlp.expand.enable_lora(2)
    set_random_weights(model)
    model.get_layer("block_2").mlp_norm.epsilon = 0.5
    model.get_layer("block_4").attention.qkv.quantize("int8")
    check(model, rtol=1e-3, fullgraph=False)


def test_more_kinds_of_blocks_than_torch_expects():
    model = tiny(num_layers=9)
    for i in range(9):
        model.get_layer(f"block_{i}").mlp_norm.epsilon = 0.1 * (i + 1)
    check(model)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16", "float64"])
def test_each_precision_gives_the_same(policy):
    check(tiny(dtype=policy), rtol=1e-6 if policy == "float64" else 5e-2)


def test_one_block_of_another_precision_inside_a_mixed_model():
    # Keras casts weights and inputs of a float32 layer in a bfloat16 model and back.
    model = keras_vit.changed(tiny(), dtype="mixed_bfloat16")
    model.get_layer("block_0").dtype_policy = keras.DTypePolicy("float32")
    check(model, rtol=5e-2)


def test_training_is_training_also_inside_another_layer():
    # The layer around the block is called with training=True, the block without it.
    class Around(keras.Model):
        def __init__(self, block: Any) -> None:
            super().__init__()
            self.block = block

        def call(self, x: Any, training: bool | None = None) -> Any:
            return self.block(x)

    layers = keras_vit.layers
    attention = layers.SelfAttention(hidden_dim=8, num_heads=2)
    mlp = layers.MLP(hidden_dim=8, mlp_dim=16, dropout_rate=0.9)
    model = Around(layers.TransformerBlock(attention, mlp))
    x = torch.as_tensor(example((2, 3, 8)))
    quiet = to_numpy(model(x))
    found = compiled(model)
    np.testing.assert_allclose(to_numpy(found(x)), quiet, rtol=1e-4, atol=1e-5)
    dropped = torch.compile(model, backend="aot_eager")(x, training=True)
    assert abs(to_numpy(dropped) - quiet).max() > 0.01


def test_gradients_are_the_same():
    model = tiny()
    x = torch.as_tensor(example((2, *model.input_shape[1:])))
    kernel = model.get_layer("block_0").attention.qkv.kernel.value

    def gradient(function: Any) -> np.ndarray:
        kernel.grad = None
        function(x).square().sum().backward()
        return to_numpy(kernel.grad)

    expected = gradient(model)
    np.testing.assert_allclose(
        gradient(compiled(model)),
        expected,
        rtol=1e-4,
        atol=1e-5 * abs(expected).max(),
    )


def test_one_graph_for_batches_of_each_size():
    model = tiny()
    found = compiled(model)
    for batch in (2, 3):
        x = torch.as_tensor(example((batch, *model.input_shape[1:])))
        np.testing.assert_allclose(
            to_numpy(found(x)), to_numpy(model(x)), rtol=1e-4, atol=1e-5
        )
