"""Low-rank adaptation."""

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import LoRA, changed
from keras_vit.training import AdamW, CrossEntropy, TrainingModel
from tests.contract import set_random_weights

IMAGES = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")
LABELS = np.arange(4) % 3


def small(**options) -> keras_vit.ViT:
    model = keras_vit.ViT.from_variant("test", num_classes=3, **options)
    set_random_weights(model)
    return model


def predict(model: keras.Model) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(IMAGES))


def values(model: keras.Model) -> dict[str, np.ndarray]:
    return {w.path: keras.ops.convert_to_numpy(w) for w in model.weights}


def train(model: keras.Model, wrap: bool = False) -> None:
    trainer = TrainingModel(model, accumulation_steps=2) if wrap else model
    trainer.compile(AdamW(0.01), CrossEntropy())
    trainer.fit(IMAGES, LABELS, epochs=3, verbose=0)


def test_the_factors_start_without_effect_and_only_they_and_the_head_train():
    given = small()
    expected, paths = predict(given), list(values(given))
    model = changed(given, lora=LoRA(2))
    assert list(values(given)) == paths
    assert len(given.trainable_weights) == len(paths)
    np.testing.assert_array_equal(predict(model), expected)
    before = values(model)
    trainable = {w.path for w in model.trainable_weights}
    train(model)
    moved = {p for p, v in values(model).items() if not np.array_equal(v, before[p])}
    assert moved == trainable
    ends = ("lora_kernel_a", "lora_kernel_b")
    assert all(p.startswith("head/") or p.endswith(ends) for p in moved)
    sizes = {p: before[p].shape for p in moved if "block_0/attention/qkv" in p}
    assert sorted(sizes.values()) == [(2, 96), (32, 2)]


@pytest.mark.parametrize("wrap", [False, True])
def test_a_merged_model_computes_the_same_and_is_a_plain_one(tmp_path, wrap):
    model = small()
    names = [w.path for w in model.weights]
    model = changed(model, lora=LoRA(2, alpha=4, layers=["qkv", "mlp/expand"]))
    train(model, wrap)
    expected = predict(model)
    model.save(tmp_path / "factors.keras")
    model = changed(model, lora=None)
    np.testing.assert_allclose(predict(model), expected, rtol=1e-4, atol=1e-5)
    assert [w.path for w in model.weights] == names
    assert len(model.trainable_weights) == len(names)
    model.save(tmp_path / "merged.keras")
    for file in ("merged.keras", "factors.keras"):
        again = keras.models.load_model(tmp_path / file, compile=False)
        np.testing.assert_allclose(predict(again), expected, rtol=1e-4, atol=1e-5)
        assert [w.path for w in again.weights] == names
    train(model)
    resized = keras_vit.resize(model, image_size=48)
    assert resized.input_shape == (None, 48, 48, 3)
    assert changed(resized, lora=LoRA(3)).count_params() > model.count_params()


def test_factors_are_in_the_variables_that_a_checkpoint_holds():
    model = changed(small(), lora=LoRA(2))
    paths = {v.path for v in model.variables}
    assert "block_1/attention/output_projection/lora_kernel_b" in paths


def test_wrong_settings_are_refused():
    model = small()
    with pytest.raises(ValueError, match="rank must be a whole number"):
        LoRA(0)
    with pytest.raises(ValueError, match=r"received 'attention/q'. It has \["):
        changed(model, lora=LoRA(2, layers=["attention/q"]))


def adapted() -> keras_vit.ViT:
    """Return a model with factors that do something."""
    model = changed(small(), lora=LoRA(2))
    set_random_weights(model)
    return model


def test_a_copy_keeps_the_factors_and_what_trains():
    model = adapted()
    for copy in (changed(model, dropout_rate=0.1), keras_vit.resize(model)):
        found = values(copy)
        assert list(found) == list(values(model))
        for path, value in values(model).items():
            np.testing.assert_array_equal(found[path], value)
        trainable = [w.path for w in copy.trainable_weights]
        assert trainable == [w.path for w in model.trainable_weights]


def test_other_factors_take_the_place_of_the_former_ones():
    model = adapted()
    copy = changed(model, lora=LoRA(3, layers="mlp/expand"))
    np.testing.assert_allclose(predict(copy), predict(model), rtol=1e-4, atol=1e-5)
    factors = [p for p in values(copy) if "lora" in p]
    assert factors and all("mlp/expand" in path for path in factors)


def test_factors_of_another_size_are_refused():
    layers = "patch_encoder/projection"
    model = changed(small(), lora=LoRA(2, layers=layers))
    with pytest.raises(ValueError, match="Merge them first"):
        keras_vit.resize(model, patch_size=4)
    merged = changed(model, lora=None, patch_size=4)
    assert merged.config.patch_size == (4, 4)


def test_the_head_may_stay_frozen():
    model = changed(small(), lora=LoRA(2, train_head=False))
    assert all("lora_kernel" in w.path for w in model.trainable_weights)


def test_dense_layers_of_any_functional_model_get_factors():
    inner = small()
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Dense(4, name="out")(inner(inputs))
    model = keras.Model(inputs, outputs)
    copy = changed(model, lora=LoRA(2, layers=["attention/qkv", "out"]))
    assert not any("lora" in w.path for w in model.weights)
    set_random_weights(copy)
    trainable = [w.path for w in copy.trainable_weights]
    assert len(trainable) == 2 * inner.config.num_layers + 2
    np.testing.assert_array_equal(predict(changed(copy)), predict(copy))
    merged = changed(copy, lora=None)
    np.testing.assert_allclose(predict(merged), predict(copy), rtol=1e-4, atol=1e-5)
    assert [w.shape for w in merged.weights] == [w.shape for w in model.weights]


@pytest.mark.parametrize("format", ["keras", "timm"])
def test_every_format_gets_the_sum(tmp_path, format):
    model = changed(small(), lora=LoRA(2))
    train(model)  # Compiled, with an optimizer for the factors.
    keras_vit.save(model, tmp_path / "saved", format=format)
    again = keras_vit.load(tmp_path / "saved")
    np.testing.assert_allclose(predict(again), predict(model), rtol=1e-4, atol=1e-5)
    assert any("lora" in weight.path for weight in model.weights)
