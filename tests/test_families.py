"""The options of later families in a whole model."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_vit
import keras_vit.families
import keras_vit.model
from keras_vit import ViT
from keras_vit.layers import AttentionProduct
from tests.contract import example, set_random_weights, sublayers, to_numpy
from tests.families import FAMILIES
from tests.one_backend import ONE_BACKEND

BACKENDS = ["jax", "tensorflow", "torch"]
NO_QUANTIZE = "ignore:Layer .* does not have a `quantize` method:UserWarning"


def make(name: str, **options: Any) -> ViT:
    model = ViT.from_variant("test", **{"num_classes": 10, **FAMILIES[name], **options})
    set_random_weights(model)
    return model


@functools.cache
def made(name: str) -> ViT:
    """Return the same model each time; not to be changed."""
    return make(name)


def images_for(model: keras.Model, count: int = 2) -> np.ndarray:
    return example((count, *model.input_shape[1:]))


def call(model: keras.Model, **options: Any) -> np.ndarray:
    return to_numpy(model(images_for(model), **options))


# Counting


@pytest.mark.parametrize("name", FAMILIES)
def test_num_parameters_is_what_is_built(name):
    trained = sum(int(np.prod(w.shape)) for w in made(name).trainable_weights)
    assert made(name).config.num_parameters == trained


def counting(function: Callable[..., Any], count: Callable[..., int]) -> Any:
    """Return `function` with a `total` of what `count` makes of its arguments."""

    @functools.wraps(function)
    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        counted.total += count(self, *args)
        return function(self, *args, **kwargs)

    counted.total = 0
    return counted


def dense_macs(layer: keras.layers.Dense, x: Any) -> int:
    return int(np.prod(x.shape)) * layer.units


def attention_macs(layer: AttentionProduct, query: Any, key: Any, value: Any) -> int:
    batch, length, num_heads, width = query.shape
    pairs = batch * num_heads * length * key.shape[1]
    return pairs * (width + value.shape[-1])


@pytest.mark.parametrize("name", FAMILIES)
def test_macs_are_those_of_the_matrix_products(name, monkeypatch):
    dense = counting(keras.layers.Dense.call, dense_macs)
    attention = counting(AttentionProduct.call, attention_macs)
    monkeypatch.setattr(keras.layers.Dense, "call", dense)
    monkeypatch.setattr(AttentionProduct, "call", attention)
    model = made(name)
    model(images_for(model, count=1))
    # Each is a part; what calls it once per image is what the config counts.
    config = model.config
    known = config.num_known_classes or 0
    distances = (config.rejection_dim or 0) * (config.num_features + known)
    assert dense.total + attention.total + distances == config.macs


# Parts


def test_the_rotation_is_computed_once_unless_it_is_learned_per_block():
    def names(name: str) -> list[str]:
        found = (layer.name for layer in made(name).layers)
        return [name for name in found if "rotary" in name]

    assert names("axial") == names("centred") == ["rotary_positions"]
    assert names("mixed") == ["rotary_positions_0", "rotary_positions_1"]


def test_the_paper_has_no_layer_of_a_later_family():
    paper = ViT.from_variant("test", num_classes=10)
    kinds = {type(layer).__name__ for _, layer in sublayers(paper)}
    assert kinds == {
        *("InputLayer", "Patches", "PatchEncoder", "ClassToken", "PositionEmbedding"),
        *("TransformerBlock", "LayerNormalization", "SelfAttention", "MLP", "Dense"),
        *("AttentionProduct", "Dropout", "ClassTokenPooling", "MLPHead"),
    }


# Of the paper only: what `figure_1` builds.
PAPERS = {
    "defaults": {},
    "rates": {
        "dropout_rate": 0.1,
        "attention_dropout_rate": 0.2,
        "stochastic_depth_rate": 0.3,
    },
    "mean": {"pooling": "mean", "representation_size": 16},
    "mean and token": {"pooling": "mean", "use_class_token": True, "epsilon": 0.01},
    "representation": {"representation_size": 16, "activation": "quick_gelu"},
    "probabilities": {"classifier_activation": "softmax", "num_layers": 3},
    "patches that are not square": {
        "image_size": (40, 29),
        "patch_size": (8, 4),
        "channels": 1,
    },
}


@pytest.mark.parametrize("case", PAPERS)
def test_compose_builds_the_papers_model_too(case, monkeypatch):
    options = {"num_classes": 10, **PAPERS[case]}
    called = []
    papers = functools.partial(_recorded, called, keras_vit.model.figure_1)
    monkeypatch.setattr("keras_vit.model.figure_1", papers)
    model = ViT.from_variant("test", **options)
    monkeypatch.setattr("keras_vit.model.figure_1", keras_vit.families.compose)
    other = ViT.from_variant("test", **options)
    assert len(called) == 1
    assert [w.path for w in other.weights] == [w.path for w in model.weights]
    set_random_weights(model)
    other.set_weights(model.get_weights())
    np.testing.assert_array_equal(call(other), call(model))
    assert _described(other) == _described(model)


def _recorded(calls: list[Any], function: Callable[..., Any], *args: Any) -> Any:
    calls.append(args)
    return function(*args)


def _described(model: ViT) -> dict[str, dict[str, Any]]:
    """Return the config of each layer, so that its rates are seen, too."""
    layers = (layer for layer in model.layers if layer.name != "images")
    return {layer.name: layer.get_config() for layer in layers}


def test_a_distilled_model_averages_two_heads():
    model, tokens = (
        made("distilled"),
        make("distilled", num_classes=None, pooling=None, use_class_token=True),
    )
    tokens.set_weights(model.get_weights()[:-4])
    outputs = call(tokens)
    expected = to_numpy(model.get_layer("head")(outputs))
    np.testing.assert_allclose(call(model), expected, atol=1e-5)


def test_a_distilled_backbone_averages_both_tokens():
    model = made("distilled backbone")
    tokens = make("distilled backbone", pooling=None, use_class_token=True)
    tokens.set_weights(model.get_weights())
    np.testing.assert_allclose(call(model), call(tokens)[:, :2].mean(axis=1), atol=1e-5)


@pytest.mark.parametrize("name", ["centred", "mixed"])
def test_rotary_models_see_where_a_patch_is(name):
    model = made(name)
    images = images_for(model)
    same = to_numpy(model(images))
    shifted = to_numpy(model(np.roll(images, 8, axis=1)))
    assert abs(same - shifted).max() > 1e-3


def test_registers_without_position_and_output_are_still_read():
    model = make("registers")
    before = call(model)
    tokens = model.get_layer("patch_encoder").registers.tokens
    tokens.assign(-10 * to_numpy(tokens))
    assert abs(call(model) - before).max() > 1e-3


def test_the_final_norm_can_come_after_pooling():
    model = made("axial")
    names = [layer.name for layer in model.layers]
    assert names.index("norm") == names.index("pooling") + 1


def test_a_layer_scale_of_zero_leaves_what_the_patch_encoder_gives():
    options = {"num_classes": None, "pooling": None, "final_norm": None}
    model = ViT.from_variant(
        "test", **{**FAMILIES["centred"], **options, "layer_scale": 0.0}
    )
    encoder = keras.Model(model.input, model.get_layer("patch_encoder").output)
    np.testing.assert_array_equal(call(model), call(encoder))


# Saving


@pytest.mark.parametrize("name", ["axial", "mixed"])
def test_rotary_positions_do_not_name_the_model(name):
    assert made(name).name == "vit"


@pytest.mark.parametrize("name", FAMILIES)
def test_config_survives_json_and_rebuilds_the_model(name):
    model = made(name)
    again = ViT.from_config(json.loads(json.dumps(model.get_config())))
    assert again.config == model.config
    assert [w.path for w in again.weights] == [w.path for w in model.weights]


RELOADED = [
    *("registers", "distilled", "rms", "axial", "axial from the left", "centred"),
    *("mixed", "grouped", "post-norm", "parallel, joint", "twin", "differential"),
    *(
        "token and mean",
        "prefix",
        "query with bias",
        "class rotation",
        "sincos",
        "parallel",
        "positions of patches",
    ),
    *("surgery", "int8", "int8 again", "mixed_bfloat16"),
]

LOAD = """
import sys
import keras, keras_vit
import numpy as np
folder, backend, *kinds = sys.argv[1:]
outputs = {}
with np.load(folder + "/images.npz") as images:
    for kind in kinds:
        model = keras.saving.load_model(f"{folder}/{kind}.keras")
        tensor = keras.ops.cast(model(images[kind]), "float32")
        outputs[kind] = keras.ops.convert_to_numpy(tensor)
np.savez(f"{folder}/{backend}.npz", **outputs)
"""


def save_models(folder: Path) -> dict[str, keras.Model]:
    mixed = made("mixed")
    special = {
        "surgery": keras.Model(mixed.input, mixed.get_layer("block_1").output),
        "int8": make("axial"),
        "mixed_bfloat16": make("mixed", dtype="mixed_bfloat16"),
    }
    special["int8"].quantize("int8")
    models = {
        kind: special.get(kind) or made(kind)
        for kind in RELOADED
        if kind != "int8 again"
    }
    for kind, model in models.items():
        model.save(folder / f"{kind}.keras")
    models["int8 again"] = keras.saving.load_model(folder / "int8.keras")
    models["int8 again"].save(folder / "int8 again.keras")
    return models


@pytest.fixture(scope="module")
def reloaded(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    """Save models here, load them in a fresh process on each backend.

    Return the outputs under (backend, kind), this process's under ("here", kind).
    """
    folder = tmp_path_factory.mktemp("saved")
    models = save_models(folder)
    images = {kind: images_for(model) for kind, model in models.items()}
    np.savez(folder / "images.npz", **images)
    results = {("here", kind): call(model) for kind, model in models.items()}
    children = {
        backend: subprocess.Popen(
            [sys.executable, "-c", LOAD, folder, backend, *RELOADED],
            env={**os.environ, "KERAS_BACKEND": backend},
            stderr=subprocess.PIPE,
            text=True,
        )
        for backend in BACKENDS
    }
    for backend, child in children.items():
        _, errors = child.communicate(timeout=600)
        assert child.returncode == 0, errors
        with np.load(folder / f"{backend}.npz") as arrays:
            results.update({(backend, kind): arrays[kind] for kind in RELOADED})
    return results


# From each backend to each other one: tests/test_model_saving.py.
@ONE_BACKEND
@pytest.mark.filterwarnings(NO_QUANTIZE)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", RELOADED)
def test_a_fresh_process_loads_the_model_on_each_backend(kind, backend, reloaded):
    # bfloat16 has 8 bits; backends round in another order.
    atol = 0.03 if kind == "mixed_bfloat16" else 2e-5
    np.testing.assert_allclose(
        reloaded[backend, kind], reloaded["here", kind], atol=atol
    )


@pytest.mark.filterwarnings(NO_QUANTIZE)
def test_quantized_logits_stay_close(reloaded):
    exact, quantized = reloaded["here", "axial"], reloaded["here", "int8"]
    assert 0 < abs(exact - quantized).max() < 0.1 * abs(exact).max()


# Precision


@pytest.mark.filterwarnings(NO_QUANTIZE)
def test_quantize_reaches_each_matrix_and_its_policies_survive_the_config():
    model = make("axial from the left", mlp="gated")
    model.quantize("int8")
    kernels = [w for w in model.weights if w.path.endswith("/kernel")]
    assert {str(kernel.dtype) for kernel in kernels} == {"int8"}
    again = ViT.from_config(json.loads(json.dumps(model.get_config())))
    policies = [
        {path: layer.dtype_policy.name for path, layer in sublayers(m)}
        for m in (model, again)
    ]
    assert policies[0] == policies[1]
    assert "int8" in policies[1]["block_0/attention/qkv"]


# One per kind of attention, MLP and pooling.
PRECISE = ["axial", "mixed", "grouped", "parallel, joint", "attention pooling"]


@pytest.mark.parametrize("name", PRECISE)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("mixed_bfloat16", 0.06), ("mixed_float16", 0.01)]
)
def test_mixed_precision_gives_nearly_the_same_logits(name, dtype, tolerance):
    model, exact = make(name, dtype=dtype), call(made(name))
    assert {
        layer.dtype_policy.name
        for path, layer in sublayers(model)
        if not isinstance(layer, keras.layers.InputLayer)
    } == {dtype}
    difference = abs(call(model) - exact).max()
    assert difference < tolerance * max(1, abs(exact).max())


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_fit_lowers_the_loss_of_learned_rotations_under_mixed_precision(dtype):
    model = make("mixed", dtype=dtype, num_registers=1, mlp="gated", layer_scale=0.5)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    before = to_numpy(model.get_layer("rotary_positions_0").frequencies).copy()
    history = model.fit(
        images_for(model, 8), np.arange(8), epochs=10, batch_size=8, verbose=0
    )
    assert history.history["loss"][-1] < 0.7 * history.history["loss"][0]
    after = to_numpy(model.get_layer("rotary_positions_0").frequencies)
    assert (before != after).any()


# Export

EXPORTED = {
    "axial from the left": {"num_registers": 2, "mlp": "gated", "layer_scale": 0.5},
    "mixed": {"num_registers": 2, "qkv_bias": "qv"},
    "grouped": {},
}


@ONE_BACKEND
@pytest.mark.parametrize("name", EXPORTED)
def test_a_litert_file_is_one_xnnpack_partition_of_built_in_ops(name, tmp_path):
    # `export` runs the file and compares its outputs with those of the model.
    from ai_edge_litert.interpreter import Interpreter

    path = tmp_path / "model.tflite"
    model = make(name, **EXPORTED[name])
    arrays = list(example((2, *model.input_shape[1:])))
    report = keras_vit.export(model, path, format="litert", images=arrays, report=False)
    assert not [op for op in report.ops if op.startswith("CUSTOM")]
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    names = [op["op_name"] for op in interpreter._get_ops_details()]
    assert names.count("DELEGATE") == 1
