"""Dtype policies of the model."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras.dtype_policies import DTypePolicyMap

from tests.contract import example, sublayers
from tests.tiny_model import IMAGES, call, tiny

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
