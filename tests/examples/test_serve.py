"""The server answers what `predict` says, and says what is wrong with a request."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import keras_vit
from tests.contract import set_random_weights
from tests.examples.scripts import script
from tests.one_backend import ONE_BACKEND

pytestmark = ONE_BACKEND

serve = script("serve")
NAMES = ("ant", "bee\nor wasp", "<cat>, ü")
ADDRESS = "/v1/models/photos:predict"


def exported(folder, facts=None, thresholds=None, **options):
    facts = {"num_classes": 3, "class_names": NAMES, **(facts or {})}
    model = keras_vit.ViT.from_variant(
        "test",
        num_layers=1,
        preprocessing=keras_vit.Preprocessing(image_size=32, transparency="white"),
        **facts,
    )
    set_random_weights(model)
    model.thresholds = thresholds
    path = folder / "photos.onnx"
    keras_vit.export(model, path, format="onnx", batch=None, report=False, **options)
    return model, path


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    model, path = exported(folder, input="pixels", input_size="any")
    with TestClient(serve.make_app(serve.Classifier(path), "photos")) as client:
        yield model, client


def picture(mode="RGB", size=(50, 40), format="PNG", **options):
    rng = np.random.default_rng(0)
    channels = len(mode) if mode != "L" else 1
    pixels = rng.integers(0, 256, (size[1], size[0], channels), dtype="uint8")
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(), mode).save(file, format, **options)
    return file.getvalue()


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6  # On its side.
    return picture(format="JPEG", exif=exif)


def sixteen_bits():
    file = io.BytesIO()
    steps = np.add.outer(np.arange(40), np.arange(50)) * 700
    Image.fromarray(steps.astype("uint16")).save(file, "PNG")
    return file.getvalue()


def animated():
    file = io.BytesIO()
    first = Image.open(io.BytesIO(picture())).convert("P")
    first.save(file, "GIF", save_all=True, append_images=[first.rotate(90)])
    return file.getvalue()


PICTURES = {
    "png": picture(),
    "jpeg": picture(format="JPEG"),
    "turned": turned(),
    "alpha": picture("RGBA"),
    "grey": picture("L"),
    "webp": picture(format="WEBP"),
    "cmyk": picture("CMYK", format="JPEG"),
    "16 bits": sixteen_bits(),
    "animated": animated(),
}


def check(answers, model, pictures):
    expected = keras_vit.predict(model, [Image.open(io.BytesIO(p)) for p in pictures])
    assert len(answers) == len(expected)
    for answer, found in zip(answers, expected, strict=True):
        assert answer["class_name"] == found[0].class_name
        for one in found:
            probability = answer["probabilities"][one.index]
            assert probability == pytest.approx(one.probability, abs=2e-3)


@pytest.mark.parametrize("name", PICTURES)
def test_an_upload_gets_the_numbers_of_predict(served, name):
    model, client = served
    files = [("files", (f"{name}.img", PICTURES[name]))]
    answer = client.post("/predict", files=files)
    assert answer.status_code == 200
    check(answer.json()["predictions"], model, [PICTURES[name]])


def test_several_uploads_keep_their_order(served):
    model, client = served
    pictures = [PICTURES["png"], PICTURES["grey"], PICTURES["turned"]]
    answer = client.post("/predict", files=[("files", ("x", p)) for p in pictures])
    check(answer.json()["predictions"], model, pictures)


@pytest.mark.parametrize("content_type", ["application/json", "x-www-form-urlencoded"])
def test_the_request_of_tensorflow_serving(served, content_type):
    model, client = served
    data = PICTURES["jpeg"]
    text = {"b64": base64.b64encode(data).decode()}
    pixels = np.asarray(Image.open(io.BytesIO(data))).tolist()
    request = {
        "signature_name": "serving_bytes",
        "instances": [text, {"image_bytes": text}, pixels],
    }
    headers = {"Content-Type": content_type}
    answer = client.post(ADDRESS, content=json.dumps(request), headers=headers)
    assert answer.status_code == 200
    check(answer.json()["predictions"], model, [data] * 3)


def test_the_status_is_that_of_tensorflow_serving(served):
    _, client = served
    [version] = client.get("/v1/models/photos").json()["model_version_status"]
    assert version["state"] == "AVAILABLE" and version["version"] == "1"
    assert version["status"] == {"error_code": "OK", "error_message": ""}


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        ("no json", 400, "a request is JSON"),
        ("[1]", 400, "a request is JSON"),
        ("{}", 400, "instances"),
        ('{"instances": "abc"}', 400, "instances is a list"),
        ('{"instances": []}', 400, "1 to 64 pictures, received 0"),
        ('{"instances": [{"b64": "?"}]}', 400, "no base64"),
        ('{"instances": [{"b64": "YWJj"}]}', 400, "no picture that can be read"),
        ('{"instances": [{"c": 1}]}', 400, "a picture file in base64, or pixels"),
        ('{"instances": [[[[1, 2]]]]}', 400, "(height, width, 3)"),
        ('{"instances": [[[[1, 2, 256]]]]}', 400, "pixels from 0 to 255"),
        ('{"instances": [[[[1, 2, NaN]]]]}', 400, "pixels from 0 to 255"),
        ('{"instances": [[[[1], [1, 2]]]]}', 400, "pixels from 0 to 255"),
        (json.dumps({"instances": [0] * 65}), 400, "received 65"),
        ("[" * 200_000, 400, "a request is JSON"),
        (
            '{"instances": [[[[1, 2, 1' + "0" * 400 + "]]]]}",
            400,
            "pixels from 0 to 255",
        ),
        ('{"instances": [{"b64": "é"}]}', 400, "no base64"),
    ],
)
def test_a_bad_request_hears_what_is_wrong(served, content, status, said):
    _, client = served
    answer = client.post(ADDRESS, content=content)
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_bad_uploads_and_addresses_hear_what_is_wrong(served):
    _, client = served
    damaged = PICTURES["jpeg"][:600]
    answer = client.post("/predict", files=[("files", ("cat.jpg", damaged))])
    assert (answer.status_code, "error" in answer.json()) == (400, True)
    answer = client.post("/predict", files=[("other", ("cat.jpg", damaged))])
    assert answer.status_code == 400
    said = "send pictures as `files`: Field required"  # And no path of the server.
    assert answer.json() == {"error": said}
    answer = client.post("/predict", files=[("files", ("x", b"no picture"))])
    assert answer.json()["error"].endswith("cannot identify image file")
    answer = client.post(ADDRESS, content="{}", headers={"Content-Length": "abc"})
    assert (answer.status_code, "number" in answer.json()["error"]) == (400, True)
    for answer in (
        client.get("/v1/models/cats"),
        client.post("/v1/models/cats:predict", content="{}"),
    ):
        assert answer.status_code == 404
        assert answer.json() == {"error": "no model 'cats' here, but 'photos'"}


def test_what_is_too_large_is_refused_unread(served, monkeypatch):
    _, client = served
    monkeypatch.setattr(serve, "LARGEST_REQUEST", 1000)
    answer = client.post(ADDRESS, content="x" * 1001)
    assert (answer.status_code, "1001" in answer.json()["error"]) == (413, True)
    answer = client.post(ADDRESS, content=iter([b"{}"]))  # In chunks, of any length.
    assert answer.status_code == 411
    monkeypatch.setattr(serve, "LARGEST_REQUEST", 10**6)
    monkeypatch.setattr(serve, "LARGEST_PICTURE", 1999)  # 50 x 40 is one more.
    answer = client.post("/predict", files=[("files", ("x", PICTURES["png"]))])
    assert (answer.status_code, "50 x 40" in answer.json()["error"]) == (413, True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 900)  # Pillow refuses twice as many.
    answer = client.post("/predict", files=[("files", ("x", PICTURES["png"]))])
    assert (answer.status_code, "too large" in answer.json()["error"]) == (413, True)


KINDS = {
    "several": {"classifier_activation": "sigmoid"},
    "own thresholds": {"thresholds": (0.0, 1.0, 0.3)},
    "no or yes": {"num_classes": 1, "class_names": NAMES[:2]},
    "yes": {"num_classes": 1, "class_names": NAMES[:1]},
    "no names": {"class_names": None},
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_model_names_what_predict_names(kind, tmp_path):
    facts = dict(KINDS[kind])
    thresholds = facts.pop("thresholds", None)
    inputs = {"input": "pixels", "input_size": "any"}
    model, path = exported(tmp_path, facts, thresholds, **inputs)
    served = serve.Classifier(path)
    for picture in PICTURES.values():
        answer = served(served.read(picture))
        [found] = keras_vit.predict(model, [Image.open(io.BytesIO(picture))])
        if kind == "yes":  # The only one that `predict` names, likely or not.
            found = [one for one in found if one.probability >= 0.5]
        names = [one.class_name for one in found]
        if kind == "no names":
            assert set(answer) == {"probabilities"}
        elif kind in ("several", "own thresholds", "yes"):
            assert sorted(answer["class_names"]) == sorted(names)
        else:
            assert answer["class_name"] == names[0]


def test_a_file_with_another_input_is_refused(tmp_path):
    _, path = exported(tmp_path)
    with pytest.raises(ValueError, match='input="pixels" and input_size="any"'):
        serve.Classifier(path)


def test_a_file_without_classes_is_refused(tmp_path):
    facts = {"num_classes": None, "class_names": None}
    _, path = exported(tmp_path, facts, input="pixels", input_size="any")
    with pytest.raises(ValueError, match="received one that gives features"):
        serve.Classifier(path)
