from __future__ import annotations

import inspect
import json
import pydoc
import re
from dataclasses import fields

import numpy as np
import pytest

from keras_vit import Preprocessing, ViT, ViTConfig
from tests.contract import example, sublayers, to_numpy
from tests.tiny_model import IMAGES, call, tiny

# Structure


def test_layers_have_the_names_of_figure_1():
    assert [layer.name for layer in tiny().layers] == [
        "images",
        "patches",
        "patch_encoder",
        "block_0",
        "block_1",
        "norm",
        "pooling",
        "head",
    ]


def test_weights_have_the_same_paths_in_each_model():
    first, second = tiny(), tiny()
    assert [w.path for w in first.weights] == [w.path for w in second.weights]


def test_weight_paths_name_the_layer_and_the_weight():
    paths = [weight.path for weight in tiny(num_layers=1, pooling="mean").weights]
    assert paths == [
        "patch_encoder/projection/kernel",
        "patch_encoder/projection/bias",
        "patch_encoder/position_embedding/table",
        "block_0/attention_norm/gamma",
        "block_0/attention_norm/beta",
        "block_0/attention/qkv/kernel",
        "block_0/attention/qkv/bias",
        "block_0/attention/output_projection/kernel",
        "block_0/attention/output_projection/bias",
        "block_0/mlp_norm/gamma",
        "block_0/mlp_norm/beta",
        "block_0/mlp/expand/kernel",
        "block_0/mlp/expand/bias",
        "block_0/mlp/contract/kernel",
        "block_0/mlp/contract/bias",
        "norm/gamma",
        "norm/beta",
        "head/logits/kernel",
        "head/logits/bias",
    ]


OPTIONS = [
    {},
    {"pooling": "mean"},
    {"pooling": "mean", "use_class_token": True, "representation_size": 16},
    {"pooling": None, "num_classes": None},
    {"pooling": None, "num_classes": None, "use_class_token": True},
    {"num_classes": None},
    {"num_classes": None, "representation_size": 16},
    {"image_size": (40, 29), "patch_size": (8, 4), "channels": 1},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_num_parameters_is_what_is_built(options):
    model = tiny(**options)
    assert model.config.num_parameters == model.count_params()


@pytest.mark.parametrize(
    ("variant", "count"), [("Ti/16", 5_717_416), ("S/32", 22_878_952)]
)
def test_built_variants_have_the_published_number_of_parameters(variant, count):
    assert ViT.from_variant(variant).count_params() == count


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (2, 10)),
        ({"num_classes": None}, (2, 32)),
        ({"num_classes": None, "representation_size": 16}, (2, 16)),
        ({"pooling": "mean"}, (2, 10)),
        ({"pooling": None, "num_classes": None}, (2, 16, 32)),
        ({"pooling": None, "num_classes": None, "use_class_token": True}, (2, 17, 32)),
    ],
)
def test_outputs_have_the_documented_shape(options, shape):
    model = tiny(**options)
    assert (tuple(model(IMAGES).shape), model.output_shape) == (
        shape,
        (None, *shape[1:]),
    )


def test_a_new_model_gives_zero_logits():
    model = ViT.from_variant("test", num_classes=10)
    assert not call(model, IMAGES).any()


def test_a_classifier_activation_acts_on_the_logits():
    model = tiny(classifier_activation="softmax")
    logits = call(tiny(), IMAGES)
    powers = np.exp(logits)
    expected = powers / powers.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(call(model, IMAGES), expected, atol=1e-6)


def test_mean_pooling_does_not_read_the_class_token():
    tokens = tiny(pooling=None, num_classes=None, use_class_token=True)
    pooled = tiny(pooling="mean", num_classes=None, use_class_token=True)
    expected = call(tokens, IMAGES)[:, 1:].mean(axis=1)
    np.testing.assert_allclose(call(pooled, IMAGES), expected, atol=1e-5)


def test_token_pooling_reads_the_class_token():
    tokens = tiny(pooling=None, num_classes=None, use_class_token=True)
    pooled = tiny(num_classes=None)
    expected = call(tokens, IMAGES)[:, 0]
    np.testing.assert_allclose(call(pooled, IMAGES), expected, atol=1e-5)


def test_patches_can_be_permuted_together_with_their_positions(rng):
    model = tiny(pooling="mean")
    order = rng.permutation(16)
    grid = IMAGES.reshape(2, 4, 8, 4, 8, 3).transpose(0, 1, 3, 2, 4, 5)
    shuffled = grid.reshape(2, 16, 8, 8, 3)[:, order].reshape(grid.shape)
    images = shuffled.transpose(0, 1, 3, 2, 4, 5).reshape(IMAGES.shape)
    expected = call(model, IMAGES)
    table = model.get_layer("patch_encoder").position_embedding.table
    table.assign(to_numpy(table)[:, order])
    np.testing.assert_allclose(call(model, images), expected, atol=1e-5)


def test_stochastic_depth_grows_linearly_from_zero():
    model = ViT.from_variant("test", num_layers=4, stochastic_depth_rate=0.3)
    rates = [model.get_layer(f"block_{i}").stochastic_depth_rate for i in range(4)]
    np.testing.assert_allclose(rates, [0, 0.1, 0.2, 0.3])


def test_stochastic_depth_may_be_the_same_in_each_block():
    rates = {"stochastic_depth_rate": 0.3, "stochastic_depth_curve": "constant"}
    for num_layers in (1, 4):
        model = ViT.from_variant("test", num_layers=num_layers, **rates)
        blocks = [model.get_layer(f"block_{i}") for i in range(num_layers)]
        assert [block.stochastic_depth_rate for block in blocks] == [0.3] * num_layers


def test_a_single_block_has_no_stochastic_depth():
    model = ViT.from_variant("test", num_layers=1, stochastic_depth_rate=0.3)
    assert model.get_layer("block_0").stochastic_depth_rate == 0


RATES = ["dropout_rate", "attention_dropout_rate", "stochastic_depth_rate"]


@pytest.mark.parametrize("rate", RATES)
def test_rates_change_training(rate):
    model = tiny(**{rate: 0.5})
    images = example((16, 32, 32, 3))
    difference = to_numpy(model(images, training=True)) - call(model, images)
    assert abs(difference).max() > 1e-3


def test_rates_do_not_change_inference():
    model = tiny(**dict.fromkeys(RATES, 0.5))
    expected = call(tiny(), IMAGES)
    np.testing.assert_allclose(
        to_numpy(model(IMAGES, training=False)), expected, atol=1e-6
    )


def test_epsilon_reaches_each_normalization():
    model = tiny(epsilon=0.25)
    found = [layer.epsilon for path, layer in sublayers(model) if path.endswith("norm")]
    assert found == [0.25] * 5


def test_activation_reaches_each_block():
    model = tiny(activation="quick_gelu")
    found = [model.get_layer(f"block_{i}").mlp.activation for i in range(2)]
    assert found == ["quick_gelu"] * 2


# Config


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_config_survives_json_and_rebuilds_the_model(options):
    model = tiny(**options)
    config = json.loads(json.dumps(model.get_config()))
    assert ViT.from_config(config).config == model.config


def test_from_config_gives_back_the_whole_config():
    model = tiny(
        preprocessing=Preprocessing(image_size=32),
        class_names=list("abcdefghij"),
        dtype="mixed_bfloat16",
        name="mine",
        trainable=False,
        dropout_rate=0.1,
    )
    assert ViT.from_config(model.get_config()).get_config() == model.get_config()


def test_the_config_of_a_model_is_that_of_its_arguments():
    config = ViTConfig.from_variant("test", num_classes=10, dropout_rate=0.1)
    assert ViT.from_variant("test", num_classes=10, dropout_rate=0.1).config == config


def test_the_default_model_is_b16():
    parameters = inspect.signature(ViT.__init__).parameters
    options = [field.name for field in fields(ViTConfig)]
    defaults = {name: parameters[name].default for name in options}
    assert ViTConfig(**defaults) == ViTConfig()
    papers = [one for one in fields(ViTConfig) if "is_later" not in one.metadata]
    assert len(papers) == 17


def test_the_signature_has_each_option_and_the_arguments_of_a_model():
    own = ["preprocessing", "class_names", "dtype", "name", "trainable"]
    options = [field.name for field in fields(ViTConfig)]
    assert list(inspect.signature(ViT).parameters) == [*options, *own]


@pytest.mark.parametrize("option", fields(ViTConfig), ids=lambda field: field.name)
def test_help_names_each_option_with_its_default(option):
    text = pydoc.render_doc(ViT, renderer=pydoc.plaintext).replace("\n |", "\n")
    signature, _, described = " ".join(text.split()).partition(" Args: ")
    default = re.escape(repr(option.default))
    assert re.search(rf"[( ]{option.name}: [^=]* = {default}[,)]", signature)
    default = default.replace("'", '"')
    line = rf"(?:^| ){option.name}: (?:(?!Default ).)*Default {default}\. "
    assert re.search(line, described)


def test_an_unknown_option_is_rejected_with_a_list():
    with pytest.raises(TypeError, match=r"\['depth'\].*'num_layers'.*Check the spell"):
        ViT.from_variant("test", depth=3)


def test_an_unknown_variant_is_rejected_with_a_list():
    with pytest.raises(ValueError, match=r"'Ti/16'.*'test'"):
        ViT.from_variant("tiny")


def test_an_unknown_activation_is_rejected_with_a_list():
    with pytest.raises(ValueError, match="'gelu', 'gelu_tanh', 'quick_gelu'"):
        tiny(activation="gulu")


def test_contradicting_options_are_rejected():
    with pytest.raises(ValueError, match="Choose a num_heads that divides hidden_dim"):
        tiny(num_heads=3)


@pytest.mark.parametrize("size", [(40, 32), (16, 64), (33, 33)])
def test_images_of_another_size_are_rejected(size):
    # Also where the number of patches is that of the model.
    with pytest.raises(ValueError, match=r"expected shape=\(None, 32, 32, 3\)"):
        tiny()(example((2, *size, 3)))


def test_images_with_another_number_of_channels_are_rejected():
    with pytest.raises(ValueError, match=r"expected shape=\(None, 32, 32, 3\)"):
        tiny()(example((2, 32, 32, 4)))
