"""What is saved with a model, and what comes back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_vit import Preprocessing, ViT
from tests.contract import set_random_weights
from tests.tiny_model import IMAGES, call, tiny

BACKENDS = ["jax", "tensorflow", "torch"]
NO_QUANTIZE = "ignore:Layer .* does not have a `quantize` method:UserWarning"


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
    rates = {"dropout_rate": 0.1, "attention_dropout_rate": 0.1}
    model = tiny(**rates, stochastic_depth_rate=0.1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is ViT
    np.testing.assert_array_equal(call(loaded, IMAGES), call(model, IMAGES))


@pytest.mark.parametrize("ending", [".h5", ".hdf5"])
@pytest.mark.parametrize("kind", ["plain", "registers", "mixed_bfloat16", "around"])
def test_the_old_format_of_keras_loads(kind, ending, tmp_path):
    options: dict[str, dict[str, Any]] = {
        "registers": {"num_registers": 2, "layer_scale": 0.1},
        "mixed_bfloat16": {"dtype": "mixed_bfloat16"},
    }
    preprocessing = Preprocessing(image_size=32)
    model = tiny(preprocessing=preprocessing, **options.get(kind, {}))
    set_random_weights(model)
    saved = model
    if kind == "around":
        saved = keras.Sequential([model, keras.layers.Dense(2)])
    saved.save(tmp_path / f"model{ending}")
    loaded: Any = keras.models.load_model(tmp_path / f"model{ending}")
    np.testing.assert_allclose(
        call(loaded, IMAGES), call(saved, IMAGES), rtol=1e-5, atol=1e-6
    )
    if kind != "around":
        assert type(loaded) is ViT and loaded.preprocessing == preprocessing


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
