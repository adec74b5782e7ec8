from __future__ import annotations

import json

import keras
import pytest
from keras.dtype_policies import DTypePolicyMap

from keras_vit.layers import (
    MLP,
    Branch,
    ExtendedSelfAttention,
    GatedMLP,
    SelfAttention,
    TransformerBlock,
)
from keras_vit.layers.templates import copy_layer, serialize
from tests.contract import example, sublayers

PLAIN = keras.DTypePolicy("float32")
MIXED = keras.DTypePolicy("mixed_bfloat16")


def block(**options: object) -> TransformerBlock:
    attention = ExtendedSelfAttention(8, 2, query_key_norm="head")
    return TransformerBlock(
        8, 2, 12, attention=attention, mlp=GatedMLP(8, 12), **options
    )


def policies(layer: keras.layers.Layer) -> dict[str, str]:
    return {path: sub.dtype_policy.name for path, sub in sublayers(layer)}


def test_a_template_is_made_of_json_values():
    template = serialize(GatedMLP(8, 12, dropout_rate=0.1))
    assert json.loads(json.dumps(template)) == template


def test_serializing_a_template_again_changes_nothing():
    template = serialize(MLP(8, 12))
    assert serialize(template) == template
    assert serialize(None) is None


def test_a_copy_has_the_options_of_the_layer_and_a_name_and_policy_of_its_own():
    layer = ExtendedSelfAttention(8, 2, qkv_bias="qv", rotary_layout="half")
    copy = copy_layer(serialize(layer), "attention", MIXED)
    assert type(copy) is ExtendedSelfAttention
    expected = {**layer.get_config(), "name": "attention", "dtype": None}
    assert {**copy.get_config(), "dtype": None} == expected
    assert set(policies(copy).values()) == {"mixed_bfloat16"}


def test_a_copy_of_a_built_layer_is_not_built():
    layer = MLP(8, 12)
    layer.build((None, 5, 8))
    copy = copy_layer(serialize(layer), "mlp", PLAIN)
    assert not copy.built and not copy.weights


def test_a_layer_of_keras_can_be_a_template():
    branch = Branch(keras.layers.Dense(8, use_bias=False))
    assert tuple(branch(example((2, 5, 8))).shape) == (2, 5, 8)
    again = Branch.from_config(branch.get_config())
    assert again.layer.get_config() == branch.layer.get_config()


def test_copies_are_called_what_the_block_calls_them():
    paths = {path for path, _ in sublayers(block())}
    assert {"attention/qkv", "attention/query_norm", "mlp/expand"} <= paths


def test_weights_of_copies_have_the_paths_of_the_block():
    layer = block(name="block")
    layer.build((None, 5, 8))
    default = TransformerBlock(8, 2, 12, name="block")
    default.build((None, 5, 8))
    assert {w.path for w in default.weights} <= {w.path for w in layer.weights}


def test_each_layer_in_a_copy_gets_the_policy_of_its_path():
    below = {"attention/qkv": MIXED, "mlp": MIXED, "mlp/contract": PLAIN}
    layer = block(dtype=DTypePolicyMap(default_policy=PLAIN, policy_map=below))
    found = policies(layer)
    mixed = {path for path, name in found.items() if name == "mixed_bfloat16"}
    assert mixed == {
        *("attention/qkv", "mlp", "mlp/expand", "mlp/expand_dropout"),
        "mlp/contract_dropout",
    }
    assert policies(TransformerBlock.from_config(layer.get_config())) == found


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_quantized_copies_survive_the_config():
    inputs = keras.Input((5, 8))
    model = keras.Model(inputs, block(name="block")(inputs))
    model.quantize("int8")
    layer = model.get_layer("block")
    config = json.loads(json.dumps(layer.get_config()))
    again = TransformerBlock.from_config(config)
    again(example((1, 5, 8)))
    assert again.attention.qkv.quantization_mode == "int8"
    assert again.mlp.expand.quantization_mode == "int8"
    assert policies(again) == policies(layer)


@pytest.mark.parametrize("template", ["mlp", 3, SelfAttention, {"hidden_dim": 8}])
def test_what_is_no_layer_is_rejected(template):
    with pytest.raises(TypeError, match="Pass a layer such as SelfAttention"):
        serialize(template)
