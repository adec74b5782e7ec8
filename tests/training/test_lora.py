"""Low-rank adaptation."""

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.training import AdamW, CrossEntropy, TrainingModel, add_lora, merge_lora
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
    model = small()
    expected = predict(model)
    add_lora(model, 2)
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
    add_lora(model, 2, alpha=4, layers=["qkv", "mlp/expand"])
    train(model, wrap)
    expected = predict(model)
    model.save(tmp_path / "factors.keras")
    merge_lora(model)
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
    add_lora(model, 3)


def test_factors_are_in_the_variables_that_a_checkpoint_holds():
    model = small()
    add_lora(model, 2)
    paths = {v.path for v in model.variables}
    assert "block_1/attention/output_projection/lora_kernel_b" in paths


def test_wrong_settings_are_refused():
    model = small()
    with pytest.raises(ValueError, match="rank must be a whole number"):
        add_lora(model, 0)
    with pytest.raises(ValueError, match=r"received 'attention/q'. It has \["):
        add_lora(model, 2, layers=["attention/q"])
    with pytest.raises(ValueError, match="has no LoRA factors"):
        merge_lora(model)
    add_lora(model, 2)
    with pytest.raises(ValueError, match="already"):
        add_lora(model, 2)


@pytest.mark.parametrize("format", ["keras", "timm"])
def test_every_format_gets_the_sum(tmp_path, format):
    model = small()
    add_lora(model, 2)
    train(model)  # Compiled, with an optimizer for the factors.
    keras_vit.save(model, tmp_path / "saved", format=format)
    again = keras_vit.load(tmp_path / "saved")
    np.testing.assert_allclose(predict(again), predict(model), rtol=1e-4, atol=1e-5)
    assert any("lora" in weight.path for weight in model.weights)
