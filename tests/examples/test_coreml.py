"""A `.pt2` file becomes a Core ML model; runs where coremltools is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_vit

ct = pytest.importorskip("coremltools")
pytestmark = [
    pytest.mark.skipif(
        keras.backend.backend() != "torch", reason="the file is the same for each"
    ),
    # coremltools 9 with a newer torch than it was tested with.
    pytest.mark.filterwarnings("ignore"),
]
SCRIPT = Path(__file__).parents[2] / "examples" / "ios" / "coreml.py"


def test_labels_preprocessing_and_numbers_come_along(tmp_path):
    import torch

    spec = importlib.util.spec_from_file_location("coreml", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    model = keras_vit.ViT.from_variant(
        "test",
        num_classes=3,
        class_names=("cat", "dog", "bird"),
        preprocessing=keras_vit.Preprocessing(
            image_size=32, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)
        ),
    )
    rng = np.random.default_rng(0)
    kernel = model.get_layer("head").logits.kernel
    kernel.assign(rng.normal(size=kernel.shape))
    file = tmp_path / "model.pt2"
    keras_vit.export(model, file, format="torch", report=False)
    program, facts = script.read(file)
    pixels = rng.integers(0, 256, (32, 32, 3), dtype="uint8")
    expected = keras_vit.predict(model, [pixels])[0]
    given = pixels.transpose(2, 0, 1)[None].astype("float32")
    by_torch = program.module()(torch.from_numpy(given.copy())).detach().numpy()[0]
    same = script.convert(
        program,
        facts,
        convert_to="milinternal",
        compute_precision=ct.precision.FLOAT32,
    )
    found = script.compute(same, given)[0]
    np.testing.assert_allclose(found, by_torch, atol=1e-6)
    for prediction in expected:
        assert found[prediction.index] == pytest.approx(
            prediction.probability, abs=1e-5
        )
        assert facts["class_names"][prediction.index] == prediction.class_name
    described = script.convert(program, facts).get_spec().description
    image = described.input[0].type.imageType
    assert (image.width, image.height) == (32, 32)
    assert described.predictedFeatureName == "classLabel"
