from __future__ import annotations

import keras
import pytest
from keras.dtype_policies import DTypePolicyMap

from keras_vit.layers import MLP, TransformerBlock
from keras_vit.layers.policies import policy_below, serialize_policy
from tests.contract import example, sublayers

MIXED = keras.DTypePolicy("mixed_bfloat16")
PLAIN = keras.DTypePolicy("float32")


def policies(**below: keras.DTypePolicy) -> DTypePolicyMap:
    paths = {path.replace("__", "/"): policy for path, policy in below.items()}
    return DTypePolicyMap(default_policy=PLAIN, policy_map=paths)


def test_a_plain_policy_holds_below_too():
    assert policy_below(MIXED, "mlp") == MIXED


def test_a_map_says_what_holds_for_one_sublayer():
    assert policy_below(policies(mlp=MIXED), "mlp") == MIXED


def test_a_map_gives_its_default_to_all_others():
    assert policy_below(policies(mlp=MIXED), "attention") == PLAIN


def test_a_map_with_deeper_paths_becomes_the_map_of_the_sublayer():
    below = policy_below(policies(mlp__expand=MIXED), "mlp")
    assert (below["expand"], below.default_policy) == (MIXED, PLAIN)


def test_a_path_is_not_matched_by_a_name_that_begins_alike():
    assert policy_below(policies(mlp_norm__x=MIXED), "mlp") == PLAIN


def test_each_layer_in_a_block_gets_the_policy_of_its_path():
    block = TransformerBlock(
        8, 2, 12, dtype=policies(attention__qkv=MIXED, mlp_norm=MIXED)
    )
    mixed = {path for path, sub in sublayers(block) if sub.dtype_policy == MIXED}
    assert mixed == {"attention/qkv", "mlp_norm"}


def test_a_layer_keeps_the_default_of_a_map_for_itself():
    assert MLP(8, 12, dtype=policies(expand=MIXED)).dtype_policy == PLAIN


def test_a_layer_with_one_policy_serializes_it_plainly():
    layer = MLP(8, 12, dtype="mixed_bfloat16")
    assert serialize_policy(layer) == keras.dtype_policies.serialize(MIXED)


def test_policies_of_sublayers_survive_the_config():
    block = TransformerBlock(8, 2, 12, dtype=policies(attention__qkv=MIXED))
    again = TransformerBlock.from_config(block.get_config())
    assert {path: sub.dtype_policy.name for path, sub in sublayers(again)} == {
        path: sub.dtype_policy.name for path, sub in sublayers(block)
    }


def test_the_policy_of_a_container_survives_the_config():
    block = TransformerBlock(8, 2, 12, dtype=policies(mlp=MIXED, mlp__expand=PLAIN))
    again = TransformerBlock.from_config(block.get_config())
    found = (again.mlp, again.mlp.expand, again.mlp.contract)
    assert [layer.dtype_policy for layer in found] == [MIXED, PLAIN, MIXED]


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_quantized_sublayers_survive_the_config():
    inputs = keras.Input((5, 8))
    model = keras.Model(inputs, MLP(8, 12, name="mlp")(inputs))
    model.quantize("int8")
    layer = model.get_layer("mlp")
    again = MLP.from_config(layer.get_config())
    again(example((1, 5, 8)))
    assert again.expand.quantization_mode == "int8"
