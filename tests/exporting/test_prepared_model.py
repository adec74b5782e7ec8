"""What a model becomes before it is converted, and what it is shown."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from keras_vit import LoRA, Preprocessing, changed
from keras_vit.exporting.prepared_model import prepare
from keras_vit.exporting.request import ExportRequest
from keras_vit.exporting.verification_pictures import choose_pictures
from tests.tiny_model import IMAGES, call, tiny

REQUEST = ExportRequest(path=Path("model.tflite"), format="litert")


def test_factors_of_lora_are_in_the_exported_weights(rng):
    model = tiny()
    without = call(model, IMAGES)
    model = changed(model, lora=LoRA(2))
    for weight in model.weights:
        if "lora" in weight.path:
            weight.assign(0.3 * rng.normal(size=weight.shape))
    expected = call(model, IMAGES)
    assert np.abs(expected - without).max() > 1e-3
    exported = prepare(model, REQUEST).model
    assert not any("lora" in weight.path for weight in exported.weights)
    np.testing.assert_allclose(call(exported, IMAGES), expected, atol=1e-5)


def test_a_model_of_the_user_in_mixed_precision_is_exported_in_float32():
    backbone = tiny(num_classes=None, dtype="mixed_bfloat16")
    images = keras.Input((32, 32, 3))
    head = keras.layers.Dense(3, dtype="mixed_bfloat16")
    model = keras.Model(images, head(backbone(images)))
    exported = prepare(model, REQUEST).model
    policies = {layer.dtype_policy.name for layer in exported._flatten_layers()}
    assert policies == {"float32"}
    assert head.dtype_policy.name == "mixed_bfloat16"  # The user's stays as it is.
    np.testing.assert_allclose(call(exported, IMAGES), call(model, IMAGES), atol=0.05)


def test_embedded_digits_have_the_values_that_the_model_takes():
    preprocessing = Preprocessing(
        image_size=32, interpolation="bilinear", value_range=(-1, 3), mean=0, std=1
    )
    model = tiny(preprocessing=preprocessing)
    shown = prepare(model, REQUEST).shown(choose_pictures(model, None, None, None))
    pixels = np.stack(shown.pictures)
    assert pixels.shape == (16, 32, 32, 3)
    assert pixels.min() == 0.0 and 0.9 < pixels.max() <= 1.0
