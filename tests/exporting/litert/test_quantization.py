"""Precisions of LiteRT files."""

from __future__ import annotations

import numpy as np
import pytest

import keras_vit
from keras_vit import Preprocessing
from keras_vit.exporting.litert.graph import read_ops
from keras_vit.exporting.run_exported import open_file
from keras_vit.metadata import read_metadata
from tests.contract import set_random_weights
from tests.one_backend import ONE_BACKEND
from tests.pictures import digit_pictures, write_folder

pytestmark = ONE_BACKEND

NAMES = ("ant", "bee", "cat")
DIGITS = [np.asarray(picture) for picture, _ in digit_pictures(30)]


def make_model(**options) -> keras_vit.ViT:
    options = {
        "num_classes": 3,
        "class_names": NAMES,
        "preprocessing": Preprocessing(image_size=32),
        **options,
    }
    model = keras_vit.ViT.from_variant("test", **options)
    set_random_weights(model)
    return model


@pytest.fixture(scope="module")
def model() -> keras_vit.ViT:
    return make_model()


def types_of(path, kind: str) -> set[str]:
    """Return the types of what ops of a kind give."""
    from ai_edge_litert.interpreter import Interpreter

    names = {t.name for op in read_ops(path) if op.kind == kind for t in op.outputs}
    details = Interpreter(model_path=str(path)).get_tensor_details()
    return {d["dtype"].__name__ for d in details if d["name"] in names}


@pytest.fixture(scope="module")
def int8_pixels(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "model.tflite"
    return keras_vit.export(
        model,
        path,
        quantization="int8",
        calibration=DIGITS,
        input="pixels",
        images=DIGITS,
        report=False,
    )


def test_an_int8_file_takes_pixels_and_gives_probabilities(model, int8_pixels):
    assert int8_pixels.inputs["dtype"] == "uint8"
    assert int8_pixels.output == "probabilities"
    assert read_metadata(int8_pixels.path)["output"]["activation"] == "softmax"
    expected = keras_vit.predict(model, DIGITS)
    found = keras_vit.predict(int8_pixels.path, DIGITS)
    for one, other in zip(expected, found, strict=True):
        probabilities = [{p.index: p.probability for p in row} for row in (one, other)]
        for index, probability in probabilities[0].items():
            assert probabilities[1][index] == pytest.approx(probability, abs=0.1)


def test_an_int8_file_computes_in_integers_between_pixels_and_probabilities(
    int8_pixels,
):
    kinds = ["FULLY_CONNECTED", "BATCH_MATMUL", "RSQRT", "GELU", "MEAN"]
    found = {kind: types_of(str(int8_pixels.path), kind) for kind in kinds}
    # One product resizes the pixels, in float.
    assert found.pop("BATCH_MATMUL") <= {"int8", "float32"}
    assert set.union(*found.values()) == {"int8"}


def test_a_dynamic_file_is_a_quarter_of_the_size_and_close(tmp_path):
    model = make_model(hidden_dim=128, mlp_dim=512)
    reports = {
        precision: keras_vit.export(
            model,
            tmp_path / f"{precision}.tflite",
            quantization=precision,
            report=False,
        )
        for precision in ("float32", "dynamic_int8")
    }
    exact, small = reports["float32"], reports["dynamic_int8"]
    assert small.num_bytes < 0.35 * exact.num_bytes
    assert small.top1_agreement == 1.0 and small.ops == exact.ops


def test_a_mixed_file_keeps_the_part_that_breaks_in_float(model, tmp_path):
    path = tmp_path / "model.tflite"
    report = keras_vit.export(
        with_outliers(model, "block_1"),
        path,
        quantization="mixed_int8",
        calibration=DIGITS,
        images=DIGITS,
        report=False,
    )
    assert report.float_parts == ("block_1/attention",)
    assert read_metadata(path)["float_parts"] == ["block_1/attention"]
    assert report.top1_agreement >= 0.9


def with_outliers(model: keras_vit.ViT, block: str, factor: float = 3000.0):
    """Return a model that computes the same through values that int8 cannot hold.

    One channel of the attention's values is much larger than the others, and the
    matrix after it takes that back.
    """
    twin = keras_vit.ViT.from_config(model.get_config())
    twin.set_weights(model.get_weights())
    attention = twin.get_layer(block).attention
    values = -1  # The values are the last third of the product.
    for weight in (attention.qkv.kernel, attention.qkv.bias):
        numbers = np.array(weight)
        numbers[..., values] *= factor
        weight.assign(numbers)
    numbers = np.array(attention.output_projection.kernel)
    numbers[values] /= factor
    attention.output_projection.kernel.assign(numbers)
    return twin


def test_an_int8_file_can_take_any_number_of_images(model, tmp_path):
    path = tmp_path / "model.tflite"
    keras_vit.export(
        model,
        path,
        quantization="int8",
        calibration=DIGITS,
        batch=None,
        images=DIGITS,
        report=False,
    )
    prepared = np.stack([model.preprocessing(picture) for picture in DIGITS])
    together = open_file("litert", str(path))(prepared)
    alone = [open_file("litert", str(path))(image[None])[0] for image in prepared[:3]]
    np.testing.assert_allclose(together[:3], alone, atol=1e-5)


def test_calibration_can_be_a_folder(model, tmp_path):
    folder = write_folder(tmp_path / "pictures", count=12)
    path = tmp_path / "model.tflite"
    report = keras_vit.export(
        model,
        path,
        quantization="int16x8",
        calibration=folder,
        images=DIGITS,
        report=False,
    )
    assert report.top1_agreement == 1.0


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (DIGITS[:9], "at least 10 pictures.*received 9"),
        ([*DIGITS[:12], np.zeros((2, 3, 4, 5))], r"calibration\[12\] cannot be used"),
        ([*DIGITS[:12], np.full((8, 8), 7, "uint8")], r"1 of 13 .*: calibration\[12\]"),
        # Normalization makes three values of it.
        ([*DIGITS[:12], np.full((8, 8, 3), (9, 0, 7), "uint8")], r"1 of 13 .*\[12\]"),
        ([DIGITS[0]] * 12, "the same one 12 times"),
    ],
)
def test_calibration_that_says_nothing_is_refused(
    model, tmp_path, calibration, message
):
    path = tmp_path / "model.tflite"
    with pytest.raises(ValueError, match=message):
        keras_vit.export(model, path, quantization="int8", calibration=calibration)
    assert not list(tmp_path.iterdir())


def test_a_calibration_picture_that_cannot_be_read_is_named(model, tmp_path):
    folder = write_folder(tmp_path / "pictures", count=12)
    (folder / "bad.png").write_bytes(b"no picture")
    with pytest.raises(OSError, match="bad.png"):
        keras_vit.export(
            model, tmp_path / "m.tflite", quantization="int8", calibration=folder
        )
    assert not (tmp_path / "m.tflite").exists()


def test_a_precision_that_needs_calibration_asks_for_it(model, tmp_path):
    with pytest.raises(ValueError, match="--calibration"):
        keras_vit.export(model, tmp_path / "m.tflite", quantization="mixed_int8")
    with pytest.raises(ValueError, match="Leave it out"):
        keras_vit.export(
            model, tmp_path / "m.tflite", quantization="int4", calibration=DIGITS
        )


def test_an_unknown_precision_lists_the_valid_ones(model, tmp_path):
    with pytest.raises(ValueError, match="'dynamic_int8'.*quantization='int9'"):
        keras_vit.export(model, tmp_path / "m.tflite", quantization="int9")


def test_sensitivity_names_the_part_that_breaks(model):
    found = keras_vit.sensitivity(with_outliers(model, "block_1"), DIGITS)
    parts = {row.name: row.error for row in found.rows if row.kind == "part"}
    assert [*parts] == [
        "patch_encoder",
        *("block_0/attention", "block_0/mlp", "block_1/attention", "block_1/mlp"),
        "head",
    ]
    broken = parts.pop("block_1/attention")
    assert broken > 0.05 and broken > 3 * max(parts.values())
    assert {"ADD", "SOFTMAX", "RSQRT"} < {r.name for r in found.rows if r.kind == "op"}
    assert found.num_images == len(DIGITS)
    assert found.table().splitlines()[2].startswith("| block_1/attention | ")
