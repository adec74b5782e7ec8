"""ONNX, OpenVINO, `.pt2` and StableHLO files, read back by their own runtimes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import keras_vit
from keras_vit.exporting import formats
from keras_vit.metadata import read_metadata
from tests.exporting.test_export import NAMES, PHOTOS, make_model
from tests.families import FAMILIES
from tests.one_backend import ONE_BACKEND

# How a user of each runtime calls a file: from `path` and `images` to `found`, a
# dictionary, and what the file says about itself, `text`.
READERS = {
    "onnx": """
import onnxruntime
session = onnxruntime.InferenceSession(path)
assert [i.name for i in session.get_inputs()] == ["images"]
names = [o.name for o in session.get_outputs()]
found = dict(zip(names, session.run(names, {"images": images})))
text = session.get_modelmeta().custom_metadata_map["labels.txt"]
""",
    "openvino": """
sys.modules["openvino_telemetry"] = None
import openvino
model = openvino.Core().read_model(path + "/openvino_model.xml")
assert [i.any_name for i in model.inputs] == ["images"]
text = model.get_rt_info(["keras_vit", "labels.txt"]).astype(str)
options = {"INFERENCE_PRECISION_HINT": "f32"}
outputs = openvino.compile_model(model, "CPU", options)({"images": images})
found = {key.any_name: value for key, value in outputs.items()}
""",
    "torch": """
import torch
files = {"labels.txt": ""}
program = torch.export.load(path, extra_files=files)
text = files["labels.txt"]
outputs = program.module()(torch.tensor(images))
found = {name: value.detach().numpy() for name, value in outputs.items()}
""",
    "stablehlo": """
import zipfile
import jax.export
with open(path, "rb") as file:
    exported = jax.export.deserialize(bytearray(file.read()))
assert set(exported.platforms) == {"cpu", "cuda", "rocm", "tpu"}
found = {name: np.asarray(value) for name, value in exported.call(images).items()}
text = zipfile.ZipFile(path).read("labels.txt")
""",
}
PATHS = {
    "onnx": "model.onnx",
    "openvino": "model_openvino",
    "torch": "model.pt2",
    "stablehlo": "model.stablehlo",
}
FRAME = """
import sys
import numpy as np
path, images = sys.argv[1], np.load(sys.argv[2])
READER
assert not {name.split(".")[0] for name in sys.modules} & {"keras", "keras_vit"}
text = text if isinstance(text, str) else text.decode()
assert text.split() == ["ant", "bee", "cat"], text
np.savez(sys.argv[3], **found)
"""


def read_back(format: str, path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return the outputs of a file, as a process without Keras computes them."""
    given, written = (path.parent / name for name in ("images.npy", "outputs.npz"))
    np.save(given, images)
    code = FRAME.replace("READER", READERS[format])
    arguments = [sys.executable, "-P", "-c", code, *map(str, (path, given, written))]
    child = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    with np.load(written) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def model() -> keras_vit.ViT:
    return make_model()


@pytest.mark.parametrize("format", PATHS)
def test_other_runtimes_compute_the_same_for_any_batch(model, tmp_path, rng, format):
    path = tmp_path / PATHS[format]
    report = keras_vit.export(
        model, path, format=format, batch=None, images=PHOTOS, report=False
    )
    assert report.max_difference < 1e-4 and report.inputs["shape"][0] is None
    images = rng.normal(size=(5, 32, 32, 3)).astype("float32")
    found = read_back(format, path, images)
    assert [*found] == ["logits"]
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(found["logits"], expected, atol=1e-4)
    assert read_metadata(path)["class_names"] == NAMES
    ours, its = (keras_vit.predict(form, PHOTOS, top=1) for form in (model, path))
    assert [p[0].class_name for p in its] == [p[0].class_name for p in ours]
    assert its[0][0].probability == pytest.approx(ours[0][0].probability, abs=1e-4)


@ONE_BACKEND
@pytest.mark.parametrize("format", PATHS)
def test_other_formats_take_pixels_and_show_attention(model, tmp_path, format):
    path = tmp_path / PATHS[format]
    keras_vit.export(
        model,
        path,
        format=format,
        input="pixels",
        attention=True,
        images=PHOTOS,
        report=False,
    )
    pixels = np.stack([model.preprocessing.to_pixels(p, (32, 32)) for p in PHOTOS])
    found = read_back(format, path, pixels[:1])
    assert found["attention"].shape == (1, 4, 4)
    assert 0 < found["attention"].sum() < 1
    ((expected, *_),) = keras_vit.predict(model, pixels[:1])
    assert found["probabilities"].max() == pytest.approx(expected.probability, abs=0.02)
    # The last batch of a file with a fixed batch is filled up.
    assert len(keras_vit.predict(path, list(pixels))) == 2


@ONE_BACKEND
@pytest.mark.parametrize("name", ["axial from the left", "rms", "registers", "grouped"])
def test_later_families_become_onnx(tmp_path, name):
    model = make_model(**{"preprocessing": None, **FAMILIES[name]})
    path = tmp_path / "model.onnx"
    report = keras_vit.export(model, path, format="onnx", batch=None, report=False)
    assert report.max_difference < 1e-4


@ONE_BACKEND
def test_a_onnx_file_names_its_unknown_sizes(model, tmp_path):
    path = tmp_path / "model.onnx"
    options = {"input": "pixels", "input_size": "any", "batch": None}
    keras_vit.export(model, path, format="onnx", images=PHOTOS, **options, report=False)
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    assert session.get_inputs()[0].shape == ["batch", "height", "width", 3]
    assert session.get_outputs()[0].shape == ["batch", 3]
    pictures = [PHOTOS[0][:99, :200], PHOTOS[1][:150]]
    for one, other in zip(
        keras_vit.predict(model, pictures),
        keras_vit.predict(path, pictures),
        strict=True,
    ):
        assert [p.class_name for p in one] == [p.class_name for p in other]


@ONE_BACKEND
def test_openvino_stores_float16(model, tmp_path):
    options = {"format": "openvino", "images": PHOTOS}
    whole = keras_vit.export(model, tmp_path / "whole", **options, report=False)
    half = keras_vit.export(
        model, tmp_path / "half", quantization="float16", **options, report=False
    )
    weights = [
        (report.path / "openvino_model.bin").stat().st_size for report in (half, whole)
    ]
    assert weights[0] < 0.55 * weights[1]
    assert 0 < half.max_difference < 0.01 and half.top1_agreement == 1.0


@ONE_BACKEND
def test_onnx_stores_float16_and_int8(model, tmp_path):
    reports = {
        precision: keras_vit.export(
            model,
            tmp_path / f"{precision}.onnx",
            format="onnx",
            quantization=precision,
            images=PHOTOS,
            report=False,
        )
        for precision in ("float32", "float16", "dynamic_int8")
    }
    whole, half, bytes_ = reports.values()
    assert 0 < half.max_difference < 0.01 and bytes_.max_difference < 0.2
    # The scales of so small a model weigh as much as it saves.
    assert max(bytes_.num_bytes, half.num_bytes) < 0.8 * whole.num_bytes
    import onnx

    def types(report) -> set[int]:
        return {t.data_type for t in onnx.load(report.path).graph.initializer}

    assert onnx.TensorProto.FLOAT16 in types(half)
    assert onnx.TensorProto.INT8 in types(bytes_)


@ONE_BACKEND
def test_a_damaged_onnx_file_is_named(tmp_path):
    for content in (b"", b"no model at all", bytes(range(256)) * 9):
        (tmp_path / "bad.onnx").write_bytes(content)
        with pytest.raises(ValueError, match="carries no keras_vit metadata"):
            keras_vit.predict(tmp_path / "bad.onnx", PHOTOS)


@ONE_BACKEND
@pytest.mark.parametrize(
    ("format", "module", "message"),
    [
        ("onnx", "tf2onnx", r"under tensorflow.*keras3-vit\[onnx\]"),
        ("openvino", "openvino", r"under tensorflow.*keras3-vit\[openvino\]"),
        ("torch", "torch", r"under torch.*keras3-vit\[torch\]"),
        ("stablehlo", "jax", r"under jax.*keras3-vit\[stablehlo\]"),
    ],
)
def test_missing_packages_are_named(
    model, tmp_path, monkeypatch, format, module, message
):
    find = formats.find_spec
    monkeypatch.setattr(
        formats, "find_spec", lambda name: None if name == module else find(name)
    )
    with pytest.raises(ImportError, match=f"needs {module}, .*{message}"):
        keras_vit.export(model, tmp_path / PATHS[format], format=format)
    assert not list(tmp_path.iterdir())


@ONE_BACKEND
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "torch", "path": "model.onnx"}, "must end in .pt2"),
        ({"format": "openvino", "path": "model.pt2"}, "must be the name of a folder"),
        ({"quantization": "int8"}, r"must be one of \['float32'"),
        (
            {
                "format": "torch",
                "path": "model.pt2",
                "input": "pixels",
                "input_size": "any",
            },
            "A torch file needs a fixed input_size",
        ),
    ],
)
def test_what_a_format_cannot_carry_is_said(model, tmp_path, options, message):
    options = {"format": "onnx", "path": "model.onnx", **options}
    path = tmp_path / options.pop("path")
    with pytest.raises(ValueError, match=message):
        keras_vit.export(model, path, **options)
    assert not list(tmp_path.iterdir())


@ONE_BACKEND
def test_models_too_large_for_a_file_are_refused(model, tmp_path, monkeypatch):
    monkeypatch.setattr(type(model), "count_params", lambda self: 2**29)
    with pytest.raises(ValueError, match=r"'litert', 'saved_model', 'torch'"):
        keras_vit.export(model, tmp_path / "model.onnx", format="onnx")


@ONE_BACKEND
@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_ops_outside_a_format_leave_nothing(model, tmp_path, monkeypatch, format):
    from keras_vit.exporting import child_process

    monkeypatch.setattr(child_process.sys, "executable", shutil.which("false"))
    with pytest.raises(RuntimeError, match="failed and nothing was written"):
        keras_vit.export(model, tmp_path / PATHS[format], format=format)
    assert not list(tmp_path.iterdir())


@ONE_BACKEND
def test_a_former_file_is_kept_without_force(model, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"former")
    with pytest.raises(FileExistsError, match="--overwrite"):
        keras_vit.export(model, tmp_path / "model.onnx", format="onnx")
    assert (tmp_path / "model.onnx").read_bytes() == b"former"
