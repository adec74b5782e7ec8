"""What `write_demo` and `keras-vit demo` write, and what they refuse."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit.cli import main
from keras_vit.exporting.attention_map import check_attention, with_attention_map
from keras_vit.metadata import append_litert_metadata, read_metadata
from keras_vit.web import demo, runtime
from tests.one_backend import ONE_BACKEND
from tests.web.conftest import with_random_weights

pytestmark = ONE_BACKEND


@pytest.fixture
def without_npm(monkeypatch):
    """Nothing is fetched: a folder takes the place of the runtime."""

    def write(folder: Path) -> None:
        folder.mkdir()
        (folder / "LICENSE").write_text("licence")

    monkeypatch.setattr(demo, "write_runtime", write)


def change_metadata(path: Path, target: Path, **changes: object) -> Path:
    """Copy a `.tflite` file and let it say something else about itself."""
    metadata = {**read_metadata(path), **changes}
    content = path.read_bytes()
    # The archive begins with the name of its first file.
    target.write_bytes(content[: content.index(b"PK\x03\x04")])
    append_litert_metadata(target, metadata)
    return target


def test_the_page_comes_with_everything_it_needs(photo_site):
    names = {str(p.relative_to(photo_site)) for p in photo_site.rglob("*")}
    assert {"index.html", "app.js", "style.css", "model.tflite", "model.json"} <= names
    assert {"litert/core/index.js", "litert/wasm/litert_wasm_internal.wasm"} <= names
    assert "Apache License" in (photo_site / "litert" / "LICENSE").read_text()
    package = json.loads((photo_site / "litert" / "core" / "package.json").read_text())
    assert (package["version"], package["license"]) == ("2.5.3", "Apache-2.0")


def test_the_page_knows_classes_and_preprocessing(photo_site, photo_model):
    settings = json.loads((photo_site / "model.json").read_text())
    assert settings["class_names"] == list(photo_model.class_names)
    assert settings["input"]["shape"] == [1, 40, 32, 3]
    assert settings["preprocessing"]["resized_size"] == [44, 35]
    expected = {"name": "attention", "method": "rollout", "grid": [5, 4]}
    assert settings["attention"] == expected


def test_the_command_writes_a_page(digits_file, tmp_path, without_npm, capsys):
    folder = tmp_path / "site"
    arguments = ["demo", str(digits_file), "--output", str(folder)]
    assert main([*arguments, "--title", "Handwriting"]) == 0
    assert f"http.server -d {folder}" in capsys.readouterr().out
    assert json.loads((folder / "model.json").read_text())["title"] == "Handwriting"
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["path"] == str(folder)
    assert report["bytes"] > digits_file.stat().st_size
    assert json.loads((folder / "model.json").read_text())["title"] == "Digits"


def test_examples_are_small_nameless_and_gone_when_no_longer_given(
    digits_file, tmp_path, without_npm
):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 17, (16, 16, 1)).astype("float32")  # As the model's.
    secret = tmp_path / "patient 7.jpg"
    noise = rng.integers(0, 256, (900, 1200, 3), dtype="uint8")
    Image.fromarray(noise).save(secret, comment=b"secret")
    site = keras_vit.write_demo(
        digits_file, tmp_path / "site", examples=[values, secret]
    )
    names = json.loads((site / "model.json").read_text())["examples"]
    assert names == ["examples/1.png", "examples/2.jpg"]
    with Image.open(site / names[0]) as first, Image.open(site / names[1]) as second:
        np.testing.assert_array_equal(
            np.asarray(first), np.rint(values[..., 0] * 255 / 16).astype("uint8")
        )
        assert second.size == (512, 384)
    assert b"secret" not in (site / names[1]).read_bytes()
    keras_vit.write_demo(digits_file, site, overwrite=True)
    assert not (site / "examples").exists()
    assert json.loads((site / "model.json").read_text())["examples"] == []


def test_too_many_examples_are_refused(digits_file, tmp_path, without_npm):
    with pytest.raises(ValueError, match="up to 6 example pictures, received 7"):
        keras_vit.write_demo(
            digits_file, tmp_path / "site", examples=[np.zeros((9, 9, 1))] * 7
        )
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_page_is_never_replaced(digits_file, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="never replaced"):
        keras_vit.write_demo(digits_file, tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_models_beside_other_files_are_no_page(digits_file, tmp_path, without_npm):
    for name in ("model.json", "model.tflite", "thesis.txt"):
        (tmp_path / name).write_text("years of work")
    with pytest.raises(FileExistsError, match="never replaced"):
        keras_vit.write_demo(digits_file, tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_new_page_keeps_what_a_web_host_put_there(digits_file, tmp_path, without_npm):
    site = keras_vit.write_demo(digits_file, tmp_path / "site")
    (site / "CNAME").write_text("example.com")
    (site / ".git").mkdir()
    (site / ".git" / "HEAD").write_text("ref: refs/heads/main")
    (site / "index.html").write_text("of a former version")
    keras_vit.write_demo(digits_file, site, overwrite=True)
    assert (site / "CNAME").read_text() == "example.com"
    assert (site / ".git" / "HEAD").read_text() == "ref: refs/heads/main"
    assert "<!doctype html>" in (site / "index.html").read_text()


@pytest.mark.parametrize("output", [".", ".."])
def test_a_folder_without_a_name_is_refused(digits_file, tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="a folder with a name"):
        keras_vit.write_demo(digits_file, output)


def test_without_npm_it_is_named_and_nothing_is_left(
    digits_file, tmp_path, monkeypatch
):
    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"npm is needed.*Install Node.js"):
        keras_vit.write_demo(digits_file, tmp_path / "site")
    assert not list(tmp_path.iterdir())


def test_npm_is_asked_before_a_long_export(photo_model, tmp_path, monkeypatch):
    exports = []
    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    monkeypatch.setattr(demo, "export", lambda *a, **options: exports.append(a))
    with pytest.raises(FileNotFoundError, match="npm is needed"):
        keras_vit.write_demo(photo_model, tmp_path / "site")
    assert not exports and not list(tmp_path.iterdir())


def test_what_npm_says_is_passed_on_and_nothing_is_left(
    digits_file, tmp_path, monkeypatch
):
    def fail(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "npm error network down")

    monkeypatch.setattr(runtime.shutil, "which", lambda name: "/usr/bin/npm")
    monkeypatch.setattr(runtime.subprocess, "run", fail)
    with pytest.raises(RuntimeError, match="network down"):
        keras_vit.write_demo(digits_file, tmp_path / "site")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": [None, 16, 16, 1]}, "one picture at a time"),
        ({"shape": [1, None, None, 1]}, "a fixed size"),
        ({"shape": [1, 16, 16, 5]}, "channels"),
        ({"dtype": "int8"}, "received dtype='int8'"),
    ],
)
def test_files_that_the_page_cannot_run_are_refused(
    digits_file, tmp_path, without_npm, changes, message
):
    given = {**read_metadata(digits_file)["input"], **changes}
    path = change_metadata(digits_file, tmp_path / "model.tflite", input=given)
    with pytest.raises(ValueError, match=message):
        keras_vit.write_demo(path, tmp_path / "site")
    assert [p.name for p in tmp_path.iterdir()] == ["model.tflite"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": None}, "a classifier"),
        ({"preprocessing": None}, "preprocessing inside"),
        ({"channels": 5}, "channels"),
        ({"image_size": None, "position_grid": (2, 2)}, "a fixed size"),
    ],
)
def test_models_that_no_page_can_run_are_refused_before_any_work(
    options, message, tmp_path, monkeypatch
):
    monkeypatch.setattr(demo, "write_runtime", None)
    monkeypatch.setattr(demo, "export", None)
    preprocessing = keras_vit.Preprocessing(
        image_size=32, channels=options.get("channels", 3)
    )
    options = {"num_classes": 3, "preprocessing": preprocessing, **options}
    model = keras_vit.ViT.from_variant("test", **options)
    with pytest.raises(ValueError, match=f"The page needs a model with .*{message}"):
        keras_vit.write_demo(model, tmp_path / "site")
    assert not list(tmp_path.iterdir())


def test_a_headless_file_is_refused(digits_file, tmp_path, without_npm):
    output = {"name": "features", "activation": None}
    path = change_metadata(digits_file, tmp_path / "model.tflite", output=output)
    with pytest.raises(ValueError, match="a classifier, received output='features'"):
        keras_vit.write_demo(path, tmp_path / "site")


def test_a_damaged_file_is_named_as_the_user_named_it(digits_file, tmp_path):
    path = tmp_path / "damaged.tflite"
    path.write_bytes(digits_file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=rf"^'{re.escape(str(path))}' carries no"):
        keras_vit.write_demo(path, tmp_path / "site")


def test_options_of_an_export_are_not_for_a_finished_file(digits_file, tmp_path):
    with pytest.raises(ValueError, match=r"\['attention'\] are for a Keras model"):
        keras_vit.write_demo(digits_file, tmp_path / "site", attention=True)
    assert not list(tmp_path.iterdir())


def test_a_saved_model_is_refused(tmp_path):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ValueError, match=r"runs a \.keras or \.tflite file"):
        keras_vit.write_demo(tmp_path / "saved", tmp_path / "site")


@pytest.mark.parametrize(
    "options",
    [
        {"pooling": "mean"},
        {"pooling": "mean", "use_class_token": True, "num_registers": 2},
        {"pooling": "mean", "use_class_token": True, "pool_prefix": True},
        {"pooling": "attention"},
        {"pooling": "query"},
        {"pooling": "token_mean", "num_registers": 3},
        {"use_distillation_token": True},
        {"block": "parallel"},
        {"block": "twin"},
        {"image_size": None},
    ],
)
def test_an_attention_map_is_a_share_for_each_patch(options, rng):
    model = with_random_weights(
        keras_vit.ViT.from_variant("test", num_classes=3, **options)
    )
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    outputs = with_attention_map(model)(images)
    found = outputs["attention"]
    assert tuple(found.shape) == (2, 4, 4)
    total = keras.ops.convert_to_numpy(found).sum(axis=(1, 2))
    for share in total:
        assert 0 < float(share) <= 1 + 1e-5


def test_differential_attention_has_what_the_last_block_reads(rng):
    options = {"attention": "differential", "num_classes": 3}
    model = with_random_weights(keras_vit.ViT.from_variant("test", **options))
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    found = with_attention_map(model)(images)["attention"]
    scores = keras_vit.attention_scores(model)(images)["block_1"]
    expected = keras.ops.convert_to_numpy(scores)[:, :, 0, 1:].mean(axis=1)
    found = keras.ops.convert_to_numpy(found).reshape(2, -1)
    assert abs(found - expected).max() < 1e-5


def test_the_map_changes_no_output(rng):
    model = with_random_weights(keras_vit.ViT.from_variant("test", num_classes=3))
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    expected = model.predict(images, verbose=0)
    found = with_attention_map(model)(images)["outputs"]
    assert abs(expected - keras.ops.convert_to_numpy(found)).max() < 1e-5


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"pooling": None, "num_classes": None}, "pooling=None"),
    ],
)
def test_models_without_an_attention_map_are_named(options, reason):
    config = keras_vit.ViTConfig.from_variant("test", **options)
    with pytest.raises(ValueError, match=f"received {reason}"):
        check_attention(config)
    with pytest.raises(ValueError, match="a model without its config"):
        check_attention(None)
