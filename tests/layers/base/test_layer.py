from __future__ import annotations

import json
from typing import Any

import keras
import pytest
from keras.dtype_policies import DTypePolicyMap

from keras_vit import ViT
from keras_vit.layers import (
    MLP,
    Branch,
    GatedMLP,
    LayerNormalization,
    RMSNormalization,
    SelfAttention,
    TransformerBlock,
    TwinBlock,
)
from keras_vit.layers.base.layer import (
    CompositeLayer,
    build_each,
    check_count,
    check_heads,
    check_layer,
    check_prefix,
    check_rank,
    check_rate,
    check_width,
    copy_norm,
    policy_below,
    serialize_policy,
)
from tests.contract import example, sublayers
from tests.layers.blocks import make_block

MIXED = keras.DTypePolicy("mixed_bfloat16")
PLAIN = keras.DTypePolicy("float32")
NO_QUANTIZE = "ignore:Layer .* does not have a `quantize` method"

# Layers with sub-layers


class Pair(CompositeLayer):
    handed = ("inner",)

    def __init__(
        self, width: int, inner: Any = None, norm: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.width = width
        with self.sublayers() as named:
            self.first = keras.layers.Dense(width, **named("first"))
            self.inner = inner
            self.norm = copy_norm(norm, **named("norm"))


def test_the_config_is_what_the_constructor_takes():
    inner = keras.layers.Dense(3)
    pair = Pair(3, inner, LayerNormalization(0.1), name="pair")
    config = pair.get_config()
    own = {"width", "inner", "norm"}
    assert set(config) == {"name", "trainable", "dtype"} | own
    assert config["inner"]["config"] == inner.get_config()
    assert json.loads(json.dumps(config)) == config
    again = Pair.from_config(config)
    assert again.get_config() == config
    assert (type(again.inner), again.norm.epsilon) == (keras.layers.Dense, 0.1)


def test_the_config_of_a_built_layer_makes_one_that_is_not_built():
    pair = Pair(3, keras.layers.Dense(3))
    pair.inner.build((None, 4))
    again = Pair.from_config(pair.get_config())
    assert not again.inner.built and not again.inner.weights


def test_an_argument_that_was_not_kept_is_an_error():
    class Forgetful(CompositeLayer):
        def __init__(self, width: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)

    with pytest.raises(AttributeError, match="width"):
        Forgetful(3).get_config()


def test_sublayers_have_names_and_the_policy_of_the_layer_around():
    pair = Pair(3, None, LayerNormalization(name="other"), dtype="mixed_bfloat16")
    assert [layer.name for layer in (pair.first, pair.norm)] == ["first", "norm"]
    for layer in (pair.first, pair.norm):
        assert layer.dtype_policy.name == "mixed_bfloat16"


def test_a_layer_that_is_handed_over_is_used_as_it_is():
    inner = keras.layers.Dense(3, dtype="mixed_bfloat16", name="mine")
    assert Pair(3, inner).inner is inner
    assert (inner.name, inner.dtype_policy) == ("mine", MIXED)


def test_the_output_has_the_shape_of_the_input():
    assert Pair(3, keras.layers.Dense(3)).compute_output_shape((None, 3)) == (None, 3)


def test_layers_are_built_one_by_one_and_none_is_left_out():
    layers = [keras.layers.Dense(4), keras.layers.Dense(5)]
    build_each((None, 3), layers[0], None, layers[1])
    assert [tuple(layer.kernel.shape) for layer in layers] == [(3, 4), (3, 5)]


def test_a_layer_of_keras_can_be_handed_over():
    branch = Branch(keras.layers.Dense(8, use_bias=False))
    assert tuple(branch(example((2, 5, 8))).shape) == (2, 5, 8)
    again = Branch.from_config(branch.get_config())
    assert again.layer.get_config() == branch.layer.get_config()


def test_weights_are_called_after_the_layers_that_are_handed_over():
    block = make_block(name="block")
    block.build((None, 5, 8))
    paths = [w.path.removeprefix("block/") for w in block.weights]
    assert paths == [
        *("attention_norm/gamma", "attention_norm/beta"),
        *("attention/qkv/kernel", "attention/qkv/bias"),
        *("attention/output_projection/kernel", "attention/output_projection/bias"),
        *("mlp_norm/gamma", "mlp_norm/beta", "mlp/expand/kernel", "mlp/expand/bias"),
        *("mlp/contract/kernel", "mlp/contract/bias"),
    ]


# Copies of normalizations


@pytest.mark.parametrize(
    "norm",
    [
        LayerNormalization(0.1, use_float16_squares=True),
        RMSNormalization(0.2, dtype="float64"),
        keras.layers.LayerNormalization(epsilon=0.3, center=False),
    ],
)
def test_a_copy_has_the_options_of_the_norm_and_a_name_and_policy_of_its_own(norm):
    copy = copy_norm(norm, "mlp_norm", MIXED)
    assert type(copy) is type(norm) and copy is not norm
    assert (copy.name, copy.dtype_policy) == ("mlp_norm", MIXED)
    own = {"name": None, "dtype": None}
    assert {**copy.get_config(), **own} == {**norm.get_config(), **own}


def test_a_copy_of_a_built_norm_is_not_built():
    norm = LayerNormalization()
    norm.build((None, 8))
    copy = copy_norm(norm, "norm", PLAIN)
    assert not copy.built and not copy.weights


def test_nothing_is_copied_from_nothing():
    assert copy_norm(None, "norm", PLAIN) is None


# Checks


def test_check_rank_names_the_layer_and_the_legend():
    with pytest.raises(ValueError, match=r"Layer takes inputs of shape \(B, T, D\)"):
        check_rank(keras.layers.Layer(), (None, 8), "(B, T, D)")


def test_check_rank_accepts_unknown_sizes():
    assert check_rank(keras.layers.Layer(), (None, None, 8), "(B, T, D)") is None


def test_check_width_says_which_hidden_dim_to_use():
    with pytest.raises(ValueError, match="hidden_dim=8.*Make it with hidden_dim=9"):
        check_width(keras.layers.Layer(), (None, 5, 9), 8)


def test_check_prefix_asks_for_a_token_after_the_prefix():
    layer = keras.layers.Layer()
    check_prefix(layer, (None, 5, 8), 4)
    check_prefix(layer, (None, None, 8), 9)
    with pytest.raises(ValueError, match="Layer needs a token after num_prefix_tokens"):
        check_prefix(layer, (None, 5, 8), 5)
    with pytest.raises(ValueError, match="Reshape the inputs to rank 3"):
        check_prefix(layer, (None, 8), 0)


def test_check_count_says_the_least_number():
    check_count("num_tokens", 1, 1)
    with pytest.raises(ValueError, match="num_tokens must be at least 1, received num"):
        check_count("num_tokens", 0, 1)


@pytest.mark.parametrize("heads", [(3, None), (0, None), (4, 3), (4, 0), (4, 8)])
def test_check_heads_asks_for_numbers_that_divide(heads):
    check_heads(16, 4, 2)
    with pytest.raises(ValueError, match="Choose a num_heads that divides hidden_dim"):
        check_heads(16, *heads)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_check_rate_names_the_argument(rate):
    check_rate("rate", 0.0)
    with pytest.raises(ValueError, match=f"received my_rate={rate}. It is the share"):
        check_rate("my_rate", rate)


# Layers that are handed over


@pytest.mark.parametrize("value", ["mlp", 3, None, SelfAttention, {"hidden_dim": 8}])
def test_what_is_no_layer_is_rejected(value):
    with pytest.raises(TypeError, match="Pass a layer such as SelfAttention"):
        check_layer("attention", value)


def test_a_layer_that_has_weights_is_rejected():
    layer = MLP(8, 12, name="mine")
    check_layer("mlp", layer)
    layer.build((None, 5, 8))
    with pytest.raises(ValueError, match="'mine', which has weights.*Make one for ea"):
        check_layer("mlp", layer)


# A layer is in use as soon as the first block is built, as in a functional model.
@pytest.mark.parametrize("second", ["attention", "mlp"])
def test_one_layer_cannot_be_handed_to_two_blocks(second):
    first = make_block()
    first.build((None, 5, 8))
    layers = {"attention": SelfAttention(8, 2), "mlp": MLP(8, 12)}
    layers[second] = getattr(first, second)
    with pytest.raises(ValueError, match=f"{second} must be new.*Make one for"):
        TransformerBlock(**layers)


def test_one_layer_cannot_be_in_two_blocks_that_are_built_later():
    attention = SelfAttention(8, 2, name="mine")
    first, second = (TransformerBlock(attention, MLP(8, 12)) for _ in range(2))
    first.build((None, 5, 8))
    with pytest.raises(ValueError, match="'mine', which has weights.*Make one for ea"):
        second.build((None, 5, 8))


def test_one_branch_cannot_be_handed_over_twice():
    branch = Branch(SelfAttention(8, 2))
    branch(example((2, 5, 8)))
    others = [Branch(MLP(8, 12)) for _ in range(3)]
    with pytest.raises(ValueError, match="attention_0 must be new.*Make one"):
        TwinBlock(branch, *others)
    with pytest.raises(ValueError, match="layer must be new.*Make one for"):
        Branch(branch.layer)


# Dtype policies


def policies(**below: keras.DTypePolicy) -> DTypePolicyMap:
    paths = {path.replace("__", "/"): policy for path, policy in below.items()}
    return DTypePolicyMap(default_policy=PLAIN, policy_map=paths)


def policies_of(layer: keras.layers.Layer) -> dict[str, str]:
    return {path: sub.dtype_policy.name for path, sub in sublayers(layer)}


def mixed_in(layer: keras.layers.Layer) -> set[str]:
    return {path for path, sub in sublayers(layer) if sub.dtype_policy == MIXED}


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


def test_each_layer_in_a_model_gets_the_policy_of_its_path():
    below = {"block_1/attention/qkv": MIXED, "block_0/mlp": MIXED, "norm": MIXED}
    below |= {"block_0/mlp/contract": PLAIN, "block_1/mlp_norm": MIXED}
    map_of_model = DTypePolicyMap(default_policy=PLAIN, policy_map=below)
    model = ViT.from_variant("test", dtype=map_of_model)
    assert mixed_in(model) == {
        *("block_0/mlp", "block_0/mlp/expand", "block_0/mlp/expand_dropout"),
        *("block_0/mlp/contract_dropout", "block_1/attention/qkv"),
        *("block_1/mlp_norm", "norm"),
    }
    config = json.loads(json.dumps(model.get_config()))
    assert policies_of(ViT.from_config(config)) == policies_of(model)


def test_each_layer_in_a_block_gets_the_policy_of_its_path():
    block = make_block(
        attention={"dtype": policies(qkv=MIXED)}, dtype=policies(mlp_norm=MIXED)
    )
    assert mixed_in(block) == {"attention/qkv", "mlp_norm"}


def test_a_layer_keeps_the_default_of_a_map_for_itself():
    assert MLP(8, 12, dtype=policies(expand=MIXED)).dtype_policy == PLAIN


def test_a_layer_with_one_policy_serializes_it_plainly():
    layer = MLP(8, 12, dtype="mixed_bfloat16")
    assert serialize_policy(layer) == keras.dtype_policies.serialize(MIXED)


def test_a_layer_serializes_the_policies_of_all_that_is_in_it():
    mlp = {"dtype": policies(expand=MIXED)}
    block = make_block(mlp=mlp, attention={"dtype": MIXED, "name": "mine"})
    found = keras.dtype_policies.deserialize(serialize_policy(block))
    assert {path: found[path] for path in found} == {
        "attention": MIXED,
        "mlp/expand": MIXED,
    }


def test_policies_of_sublayers_survive_the_config():
    block = make_block(
        attention={"dtype": policies(qkv=MIXED)}, dtype=policies(mlp_norm=MIXED)
    )
    again = TransformerBlock.from_config(block.get_config())
    assert policies_of(again) == policies_of(block)


def test_the_policy_of_a_container_survives_the_config():
    dtype = DTypePolicyMap(default_policy=MIXED, policy_map={"expand": PLAIN})
    block = make_block(mlp={"dtype": dtype})
    again = TransformerBlock.from_config(block.get_config())
    found = (again.mlp, again.mlp.expand, again.mlp.contract)
    assert [layer.dtype_policy for layer in found] == [MIXED, PLAIN, MIXED]


@pytest.mark.filterwarnings(NO_QUANTIZE)
def test_quantized_sublayers_survive_the_config():
    inputs = keras.Input((5, 8))
    model = keras.Model(inputs, MLP(8, 12, name="mlp")(inputs))
    model.quantize("int8")
    layer = model.get_layer("mlp")
    again = MLP.from_config(layer.get_config())
    again(example((1, 5, 8)))
    assert again.expand.quantization_mode == "int8"


@pytest.mark.filterwarnings(NO_QUANTIZE)
@pytest.mark.parametrize("names", [("attention", "mlp"), ("my_attention", "my_mlp")])
def test_quantized_layers_in_a_block_of_a_users_model_survive_the_config(names):
    attention = SelfAttention(8, 2, query_key_norm=LayerNormalization(), name=names[0])
    block = TransformerBlock(attention, GatedMLP(8, 12, name=names[1]), name="block")
    inputs = keras.Input((5, 8))
    model = keras.Model(inputs, block(inputs))
    model.quantize("int8")
    config = json.loads(json.dumps(model.get_layer("block").get_config()))
    again = TransformerBlock.from_config(config)
    again(example((1, 5, 8)))
    assert again.attention.qkv.quantization_mode == "int8"
    assert again.mlp.expand.quantization_mode == "int8"
    assert policies_of(again) == policies_of(block)


@pytest.mark.filterwarnings(NO_QUANTIZE)
def test_a_quantized_users_model_can_be_saved_again_and_again(tmp_path):
    inputs = keras.Input((5, 8))
    model = keras.Model(inputs, make_block()(make_block()(inputs)))
    model.quantize("int8")
    tokens = example((2, 5, 8))
    expected = keras.ops.convert_to_numpy(model(tokens))
    for i in range(2):
        model.save(tmp_path / f"{i}.keras")
        model = keras.saving.load_model(tmp_path / f"{i}.keras")
        assert (keras.ops.convert_to_numpy(model(tokens)) == expected).all()
