from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.dtype_policies import DTypePolicyMap

from keras_vit import Preprocessing, ViT, ViTConfig
from tests import peers
from tests.contract import example, set_random_weights, sublayers, to_numpy

BACKENDS = ["jax", "tensorflow", "torch"]
NO_QUANTIZE = "ignore:Layer .* does not have a `quantize` method:UserWarning"


def tiny(**options: Any) -> ViT:
    model = ViT.from_variant("test", **{"num_classes": 10, **options})
    set_random_weights(model)
    return model


def call(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return to_numpy(model(images))


IMAGES = example((2, 32, 32, 3))


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


# Parity with timm

# Options of timm, and those of keras_vit that make the same model.
PARITY = {
    "Ti/16": ({}, {}),
    "image that is not square": ({"img_size": (96, 64)}, {"image_size": (96, 64)}),
    "dropped border": ({"img_size": (75, 57)}, {"image_size": (75, 57)}),
    "class token but mean": (
        {"img_size": 64, "global_pool": "avg", "fc_norm": False},
        {"image_size": 64, "pooling": "mean", "use_class_token": True},
    ),
    "mean": (
        {"img_size": 64, "global_pool": "avg", "fc_norm": False, "class_token": False},
        {"image_size": 64, "pooling": "mean"},
    ),
    "no head": (
        {"img_size": 64, "num_classes": 0},
        {"image_size": 64, "num_classes": None},
    ),
    "all tokens": (
        {"img_size": 64, "num_classes": 0, "global_pool": ""},
        {
            "image_size": 64,
            "num_classes": None,
            "pooling": None,
            "use_class_token": True,
        },
    ),
    "grey": ({"img_size": 64, "in_chans": 1}, {"image_size": 64, "channels": 1}),
    "patches that are not square": (
        {"img_size": 64, "patch_size": (8, 16)},
        {"image_size": 64, "patch_size": (8, 16)},
    ),
    "tanh GELU": (
        {"img_size": 64, "act_layer": "gelu_tanh"},
        {"image_size": 64, "activation": "gelu_tanh"},
    ),
    "quick GELU": (
        {"img_size": 64, "act_layer": "quick_gelu"},
        {"image_size": 64, "activation": "quick_gelu"},
    ),
}


# timm and torch.jit warn of their own deprecations at import.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("case", PARITY)
def test_outputs_equal_those_of_timm(case):
    theirs, ours = PARITY[case]
    if case != "Ti/16":  # Two blocks show the same in less time.
        theirs, ours = {"depth": 2, **theirs}, {"num_layers": 2, **ours}
    reference = peers.timm_model(**{"num_classes": 10, **theirs})
    model = ViT.from_variant("Ti/16", **{"num_classes": 10, **ours})
    peers.set_weights(model, peers.timm_weights(reference))
    images = example((2, *model.input_shape[1:]))
    expected = peers.timm_call(reference, images)
    np.testing.assert_allclose(call(model, images), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_representation_is_a_tanh_layer_on_what_timm_pools():
    reference = peers.timm_model(num_classes=0, img_size=64, depth=2)
    model = ViT.from_variant(
        "Ti/16", image_size=64, num_layers=2, num_classes=10, representation_size=16
    )
    kernel, bias = example((192, 16)) / 10, example((16,), seed=2)
    head, head_bias = example((16, 10), seed=3), example((10,), seed=4)
    layers = {
        "head/representation/kernel": kernel,
        "head/representation/bias": bias,
        "head/logits/kernel": head,
        "head/logits/bias": head_bias,
    }
    peers.set_weights(model, {**peers.timm_weights(reference), **layers})
    images = example((2, 64, 64, 3))
    pooled = peers.timm_call(reference, images)
    expected = np.tanh(pooled @ kernel + bias) @ head + head_bias
    np.testing.assert_allclose(call(model, images), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_stochastic_depth_rates_equal_those_of_timm():
    reference = peers.timm_model(drop_path_rate=0.2, img_size=64, depth=4)
    model = ViT.from_variant("test", num_layers=4, stochastic_depth_rate=0.2)
    theirs = [getattr(block.drop_path1, "drop_prob", 0) for block in reference.blocks]
    ours = [model.get_layer(f"block_{i}").stochastic_depth_rate for i in range(4)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


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
    import inspect

    fields = ViTConfig.__dataclass_fields__
    parameters = inspect.signature(ViT.__init__).parameters
    defaults = {n: p.default for n, p in parameters.items() if n in fields}
    assert len(defaults) == 17  # the paper's; the others come as **options
    assert ViTConfig(**defaults) == ViTConfig()


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


# What travels with the weights


def test_preprocessing_must_make_the_size_that_the_model_takes():
    with pytest.raises(ValueError, match=r"\(32, 32, 3\).*Use dataclasses.replace"):
        tiny(preprocessing=Preprocessing(image_size=(32, 40)))


def test_preprocessing_must_make_the_channels_that_the_model_takes():
    with pytest.raises(ValueError, match=r"received one that makes \(32, 32, 1\)"):
        tiny(preprocessing=Preprocessing(image_size=32, channels=1))


def test_preprocessing_is_checked_when_it_is_set_later():
    model = tiny()
    with pytest.raises(ValueError, match="Use dataclasses.replace"):
        model.preprocessing = Preprocessing(image_size=224)


def test_class_names_must_be_one_per_class():
    with pytest.raises(ValueError, match="received 2 names for num_classes=10"):
        tiny(class_names=["cat", "dog"])


def test_class_names_need_classes():
    with pytest.raises(ValueError, match="num_classes=None"):
        tiny(num_classes=None, class_names=["cat", "dog"])


def test_preprocessing_and_class_names_are_saved(tmp_path):
    preprocessing = Preprocessing(image_size=32, crop_ratio=0.9, mean=(0.4, 0.5, 0.6))
    model = tiny(num_classes=2, preprocessing=preprocessing)
    model.class_names = ["cat", "dog"]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert (loaded.preprocessing, loaded.class_names) == (preprocessing, ("cat", "dog"))


# Saving


def test_a_saved_model_gives_the_same_logits(tmp_path):
    model = tiny(**dict.fromkeys(RATES, 0.1))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is ViT
    np.testing.assert_array_equal(call(loaded, IMAGES), call(model, IMAGES))


def test_saved_weights_load_into_a_new_model(tmp_path):
    model, other = tiny(), ViT.from_variant("test", num_classes=10)
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(call(other, IMAGES), call(model, IMAGES))


def test_a_frozen_model_stays_frozen(tmp_path):
    tiny(trainable=False).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.trainable_weights == []


SAVED = ["float32", "mean", "surgery", "int8", "int8 again", "mixed_bfloat16"]


@pytest.fixture(scope="module")
def reloaded(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    """Save models here, load them in a fresh process on each backend.

    Return the logits under (backend, kind), this process's under ("here", kind).
    """
    folder = tmp_path_factory.mktemp("saved")
    np.save(folder / "images.npy", IMAGES)
    results = {("here", kind): array for kind, array in save_models(folder).items()}
    children = {}
    for backend in BACKENDS:
        environment = {**os.environ, "KERAS_BACKEND": backend}
        children[backend] = subprocess.Popen(
            [sys.executable, "-c", LOAD, folder, backend, *SAVED],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
    for backend, child in children.items():
        _, errors = child.communicate(timeout=300)
        assert child.returncode == 0, errors
        with np.load(folder / f"{backend}.npz") as arrays:
            results.update({(backend, kind): arrays[kind] for kind in SAVED})
    return results


LOAD = """
import sys
import keras, keras_vit
import numpy as np
folder, backend, *kinds = sys.argv[1:]
images = np.load(folder + "/images.npy")
outputs = {}
for kind in kinds:
    model = keras.saving.load_model(f"{folder}/{kind}.keras")
    tensor = keras.ops.cast(model(images), "float32")
    outputs[kind] = keras.ops.convert_to_numpy(tensor)
np.savez(f"{folder}/{backend}.npz", **outputs)
"""


def save_models(folder: Path) -> dict[str, np.ndarray]:
    model = tiny()
    models = {
        "float32": model,
        "mean": tiny(pooling="mean", representation_size=16, activation="quick_gelu"),
        "surgery": keras.Model(model.input, model.get_layer("block_0").output),
        "mixed_bfloat16": tiny(dtype="mixed_bfloat16"),
        "int8": tiny(),
    }
    models["int8"].quantize("int8")
    for kind, saved in models.items():
        saved.save(folder / f"{kind}.keras")
    models["int8 again"] = keras.saving.load_model(folder / "int8.keras")
    models["int8 again"].save(folder / "int8 again.keras")
    return {kind: call(saved, IMAGES) for kind, saved in models.items()}


@pytest.mark.filterwarnings(NO_QUANTIZE)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", SAVED)
def test_a_fresh_process_loads_the_model_on_each_backend(kind, backend, reloaded):
    # bfloat16 has 8 bits; backends round in another order.
    atol = 0.02 if kind == "mixed_bfloat16" else 1e-5
    np.testing.assert_allclose(
        reloaded[backend, kind], reloaded["here", kind], atol=atol
    )


@pytest.mark.filterwarnings(NO_QUANTIZE)
def test_quantized_logits_stay_close(reloaded):
    exact, quantized = reloaded["here", "float32"], reloaded["here", "int8"]
    assert 0 < abs(exact - quantized).max() < 0.1 * abs(exact).max()


@pytest.mark.filterwarnings(NO_QUANTIZE)
def test_quantize_reaches_each_matrix():
    model = tiny(representation_size=16)
    model.quantize("int8")
    kernels = [w for w in model.weights if w.path.endswith("/kernel")]
    assert {str(kernel.dtype) for kernel in kernels} == {"int8"}


def test_clone_model_copies_the_architecture():
    model = tiny(dropout_rate=0.1)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(call(clone, IMAGES), call(model, IMAGES))


# Precision


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_each_layer_has_the_policy_of_the_model(dtype):
    model = tiny(dtype=dtype)
    found = {layer.dtype_policy.name for layer in model.layers[1:]}
    assert found == {dtype}


def test_a_model_with_one_policy_serializes_it_plainly():
    config = tiny(dtype="mixed_bfloat16").get_config()
    policy = keras.DTypePolicy("mixed_bfloat16")
    assert config["dtype"] == keras.dtype_policies.serialize(policy)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_fit_lowers_the_loss_under_mixed_precision(dtype):
    model = tiny(dtype=dtype)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    images, labels = example((8, 32, 32, 3)), np.arange(8)
    history = model.fit(images, labels, epochs=10, batch_size=8, verbose=0)
    assert history.history["loss"][-1] < 0.7 * history.history["loss"][0]


@pytest.mark.parametrize(
    ("dtype", "atol"), [("mixed_bfloat16", 0.1), ("mixed_float16", 0.02)]
)
def test_mixed_precision_gives_nearly_the_same_logits(dtype, atol):
    np.testing.assert_allclose(
        call(tiny(dtype=dtype), IMAGES), call(tiny(), IMAGES), atol=atol
    )


def policy_map() -> DTypePolicyMap:
    mixed = keras.DTypePolicy("mixed_bfloat16")
    return DTypePolicyMap(
        default_policy=keras.DTypePolicy("float32"),
        policy_map={"block_1": mixed, "block_0/mlp/expand": mixed},
    )


def policies_of(model: keras.Model) -> dict[str, str]:
    return {path: layer.dtype_policy.name for path, layer in sublayers(model)}


def test_a_policy_map_gives_each_layer_its_own_policy():
    policies = policies_of(tiny(dtype=policy_map()))
    mixed = {path for path, name in policies.items() if name == "mixed_bfloat16"}
    inside = {path for path in policies if path.split("/")[0] == "block_1"}
    assert mixed == inside | {"block_0/mlp/expand"}


def test_a_policy_map_is_saved(tmp_path):
    model = tiny(dtype=policy_map())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert policies_of(loaded) == policies_of(model)


def test_a_model_with_a_policy_map_gives_the_same_logits_after_loading(tmp_path):
    model = tiny(dtype=policy_map())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(call(loaded, IMAGES), call(model, IMAGES))
