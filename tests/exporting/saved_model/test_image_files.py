"""A SavedModel that takes image files, as TensorFlow Serving hands them in."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit import Preprocessing
from keras_vit.metadata import read_metadata
from tests.exporting.test_export import PHOTOS, make_model
from tests.one_backend import ONE_BACKEND

pytestmark = ONE_BACKEND

PHOTO = Image.fromarray(PHOTOS[0])
ORIENTATION = 0x112

# What TensorFlow Serving does with a request, without its server: the rows of
# "instances" become one tensor, {"b64": ...} are bytes.
SERVER = """
import base64, json, sys
import tensorflow as tf
request = json.load(open(sys.argv[2]))
signature = tf.saved_model.load(sys.argv[1]).signatures[request["signature_name"]]
(name,) = signature.structured_input_signature[1]
rows = [base64.b64decode(row["b64"]) for row in request["instances"]]
outputs = signature(**{name: tf.constant(rows)})
answer = {
    name: [v.decode() if isinstance(v, bytes) else v for v in value.numpy().tolist()]
    for name, value in outputs.items()
}
assert "keras_vit" not in sys.modules
json.dump(answer, open(sys.argv[3], "w"))
"""


def serve(path: Path, files: list[bytes]) -> dict[str, list]:
    """Return the answer of a server to image files."""
    rows = [{"b64": base64.b64encode(file).decode()} for file in files]
    request = {"signature_name": "serving_bytes", "instances": rows}
    places = [path.parent / name for name in ("request.json", "answer.json")]
    places[0].write_text(json.dumps(request))
    arguments = [sys.executable, "-P", "-c", SERVER, *map(str, (path, *places))]
    child = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    return json.loads(places[1].read_text())


def encoded(picture: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def turned(orientation: int, order: str = "<", format: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif.endian = order
    exif[ORIENTATION] = orientation
    return encoded(PHOTO, format, exif=exif)


def with_alpha() -> Image.Image:
    picture = PHOTO.convert("RGBA")
    alpha = np.arange(256, dtype="uint8").repeat(2)
    ramp = np.resize(alpha, (picture.height, picture.width))
    picture.putalpha(Image.fromarray(ramp))
    return picture


FILES: dict[str, bytes] = {
    "RGB PNG": encoded(PHOTO),
    "JPEG": encoded(PHOTO.crop((0, 0, 301, 200)), "JPEG", quality=90),
    "progressive JPEG": encoded(PHOTO, "JPEG", progressive=True, quality=80),
    "grey JPEG": encoded(PHOTO.convert("L"), "JPEG"),
    "grey PNG": encoded(PHOTO.convert("L")),
    "grey with alpha": encoded(with_alpha().convert("LA")),
    "alpha": encoded(with_alpha()),
    "palette": encoded(PHOTO.quantize(64)),
    "CMYK": encoded(PHOTO.convert("CMYK"), "JPEG"),
    "16 bits": encoded(
        Image.fromarray(np.asarray(PHOTO.convert("L")).astype("uint16") * 257)
    ),
    **{f"orientation {n}": turned(n, "<>"[n % 2]) for n in range(1, 9)},
    "orientation in PNG": turned(6, format="PNG"),
}


def assert_served_as_predicted(model, path: Path) -> None:
    answer = serve(path, [*FILES.values()])
    pictures = [Image.open(io.BytesIO(file)) for file in FILES.values()]
    names = model.class_names
    rows = zip(FILES, keras_vit.predict(model, pictures, top=3), strict=True)
    for number, (kind, predictions) in enumerate(rows):
        expected = {p.class_name: p.probability for p in predictions}
        found = dict(zip(names, answer["probabilities"][number], strict=True))
        assert found == pytest.approx(expected, abs=2e-3), kind
        assert answer["class_name"][number] == predictions[0].class_name, kind


def test_image_files_are_served_as_they_are_predicted(tmp_path):
    model = make_model()
    path = tmp_path / "model"
    report = keras_vit.export(
        model, path, format="saved_model", images=PHOTOS, report=False
    )
    assert not report.warnings
    assert read_metadata(path)["bytes_signature"] == "serving_bytes"
    assert_served_as_predicted(model, path)


def test_a_model_of_pixels_on_white_serves_image_files_too(tmp_path):
    preprocessing = Preprocessing(
        image_size=32,
        resize="squash",
        interpolation="bilinear",
        transparency="white",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    model = make_model(seed=1, preprocessing=preprocessing)
    path = tmp_path / "model"
    options = {"input": "pixels", "input_size": (90, 120), "images": PHOTOS}
    keras_vit.export(model, path, format="saved_model", **options, report=False)
    assert_served_as_predicted(model, path)


def test_a_grey_model_serves_the_grey_of_colours(tmp_path):
    preprocessing = Preprocessing(image_size=32, channels=1)
    model = make_model(channels=1, preprocessing=preprocessing)
    path = tmp_path / "model"
    keras_vit.export(model, path, format="saved_model", images=PHOTOS, report=False)
    assert_served_as_predicted(model, path)


@pytest.mark.parametrize(
    ("preprocessing", "reason"),
    [
        (None, "no preprocessing"),
        (Preprocessing(image_size=32, interpolation="box"), "interpolation='box'"),
        (Preprocessing(image_size=32, value_range=(0, 1)), "value_range"),
    ],
)
def test_a_saved_model_says_why_it_takes_no_image_files(preprocessing, reason):
    from keras_vit.exporting.saved_model.bytes_signature import bytes_warnings

    (warning,) = bytes_warnings(preprocessing, "float32")
    assert reason in warning
