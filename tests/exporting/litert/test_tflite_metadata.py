"""What a LiteRT file says about itself, read by MediaPipe."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

import keras_vit
from keras_vit import Preprocessing
from keras_vit.exporting.litert.tflite_metadata import (
    MODEL,
    PROCESS_UNIT,
    SUBGRAPH,
    TENSOR,
    describe_model,
)
from keras_vit.metadata import read_metadata
from tests.one_backend import ONE_BACKEND

pytestmark = ONE_BACKEND

NAMES = ["ant", "bee", "cat", "dog"]
PHOTOS = [Image.fromarray(photo) for photo in load_sample_images().images]
# Parts of photographs, as large as the model's pictures: nothing is left to resize.
PICTURES = [
    np.asarray(photo.crop((x, 0, x + 320, 320)).resize((32, 32)))
    for photo in PHOTOS
    for x in (0, 160, 320)
]
ABOUT = {
    "author": "Ada",
    "license": "Apache-2.0",
    "description": "Tells animals apart.",
    "version": "1.2",
}


@pytest.fixture(scope="module")
def model() -> keras_vit.ViT:
    model = keras_vit.ViT.from_variant(
        "test",
        num_classes=4,
        class_names=NAMES,
        preprocessing=Preprocessing(image_size=32, mean=0.4, std=0.2),
    )
    rng = np.random.default_rng(2)
    for weight in model.weights:
        # What is the same for each picture is small, so that the picture decides.
        scale = 0.02 if weight.path.endswith(("token", "table")) else 0.4
        weight.assign(scale * rng.normal(size=weight.shape))
    return model


@pytest.fixture(scope="module")
def described(model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("described") / "model.tflite"
    keras_vit.export(
        model, path, probabilities=True, images=PICTURES, **ABOUT, report=False
    )
    return path


def classify(path: Path, pictures: list[np.ndarray]) -> list[dict[str, float]]:
    """Return the probability of each class, by name, as MediaPipe sees it."""
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.ImageClassifierOptions(
        base_options=BaseOptions(model_asset_path=str(path))
    )
    with vision.ImageClassifier.create_from_options(options) as classifier:
        found = []
        for picture in pictures:
            image = mediapipe.Image(
                image_format=mediapipe.ImageFormat.SRGB,
                data=np.ascontiguousarray(picture),
            )
            (head,) = classifier.classify(image).classifications
            found.append({c.category_name: c.score for c in head.categories})
    return found


def predictions(model: keras_vit.ViT) -> list[dict[str, float]]:
    found = keras_vit.predict(model, PICTURES, top=4)
    return [{str(p.class_name): p.probability for p in one} for one in found]


def assert_same(found, expected, tolerance: float) -> None:
    assert len({max(one, key=one.__getitem__) for one in expected}) > 1
    for one, other in zip(found, expected, strict=True):
        assert next(iter(one)) == next(iter(other))  # the most probable comes first
        assert one == pytest.approx(other, abs=tolerance)


def test_mediapipe_gives_names_and_probabilities_of_keras(model, described):
    assert_same(classify(described, PICTURES), predictions(model), 1e-3)


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"input": "pixels"}, 1e-3),
        ({"input": "pixels", "quantization": "float16"}, 0.01),
        ({"probabilities": True, "quantization": "float16"}, 0.01),
        ({"probabilities": True, "quantization": "dynamic_int8"}, 0.05),
    ],
)
def test_mediapipe_runs_each_input_and_precision(model, tmp_path, options, tolerance):
    path = tmp_path / "model.tflite"
    keras_vit.export(model, path, images=PICTURES, **options, report=False)
    assert_same(classify(path, PICTURES), predictions(model), tolerance)


def test_mediapipe_resizes_larger_pictures(model, described):
    large = [np.asarray(Image.fromarray(p).resize((96, 96))) for p in PICTURES]
    for one, other in zip(classify(described, large), predictions(model), strict=True):
        assert one == pytest.approx(other, abs=0.1)


def standard_metadata(path: Path):
    """Return the parsed TFLITE_METADATA of a file."""
    from ai_edge_litert import schema_py_generated as schema
    from mediapipe.tasks.metadata import metadata_schema_py_generated as standard

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    (entry,) = [m for m in model.metadata if m.name == b"TFLITE_METADATA"]
    content = model.buffers[entry.buffer].data.tobytes()
    assert standard.ModelMetadata.ModelMetadataBufferHasIdentifier(content, 0)
    return standard.ModelMetadataT.InitFromPackedBuf(content, 0)


def test_the_standard_metadata_say_who_made_what(described):
    found = standard_metadata(described)
    assert (found.author, found.license, found.version) == (
        b"Ada",
        b"Apache-2.0",
        b"1.2",
    )
    assert found.description.startswith(
        f"Tells animals apart. Made by keras3-vit {keras_vit.__version__}".encode()
    )
    assert found.minParserVersion == b"1.0.0"
    (graph,) = found.subgraphMetadata
    (feed,), (output,) = graph.inputTensorMetadata, graph.outputTensorMetadata
    assert (feed.name, output.name) == (b"images", b"probabilities")
    assert output.associatedFiles[0].name == b"labels.txt"


def test_normalization_is_in_units_of_pixels(described):
    (feed,) = standard_metadata(described).subgraphMetadata[0].inputTensorMetadata
    options = feed.processUnits[0].options
    np.testing.assert_allclose(options.mean, [102.0])
    np.testing.assert_allclose(options.std, [51.0])


def test_normalization_is_of_bytes_whatever_arrays_hold():
    preprocessing = Preprocessing(value_range=(0, 1), mean=0.4, std=0.2)
    feed = {"name": "images", "shape": (1, 8, 8, 3), "values": "preprocessed"}
    described = describe_model(
        {
            "input": feed,
            "output": {"name": "logits"},
            "preprocessing": asdict(preprocessing),
            "class_names": [],
        },
        ["logits"],
    )
    (graph,) = described[MODEL.index("subgraphs")]
    (feed,) = graph[SUBGRAPH.index("inputs")]
    (unit,) = feed[TENSOR.index("process_units")]
    mean, std = unit[PROCESS_UNIT.index("options")].values()
    np.testing.assert_allclose((mean, std), ([102.0], [51.0]))


def test_weights_stay_aligned(described):
    from ai_edge_litert import schema_py_generated as schema

    content = described.read_bytes()
    model = schema.Model.GetRootAs(content, 0)
    whole = np.frombuffer(content, "uint8")
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    data = [b.DataAsNumpy() for b in buffers if b.DataLength()]
    starts = [d.__array_interface__["data"][0] for d in data]
    first = whole.__array_interface__["data"][0]
    assert len(starts) > 20 and {(start - first) % 16 for start in starts} == {0}


def test_our_own_metadata_say_the_same(described):
    about = read_metadata(described)["about"]
    assert about.items() >= ABOUT.items()
    assert about["provenance"]["keras3-vit"] == keras_vit.__version__


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"author": ""}, "author must be a text, received author=''"),
        ({"license": 2}, "license must be a text, received license=2"),
    ],
)
def test_empty_texts_are_refused(model, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        keras_vit.export(model, tmp_path / "model.tflite", **options)


def test_a_headless_model_has_no_probabilities(tmp_path):
    model = keras_vit.ViT.from_variant("test", num_classes=None)
    with pytest.raises(ValueError, match="is for classifiers"):
        keras_vit.export(model, tmp_path / "model.tflite", probabilities=True)
