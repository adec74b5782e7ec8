"""Writing models for other libraries."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_vit
from tests.contract import set_random_weights, to_numpy


@pytest.fixture
def model():
    model = keras_vit.ViT.from_variant(
        "test",
        num_classes=3,
        class_names=["a", "b", "c"],
        preprocessing=keras_vit.Preprocessing(image_size=32),
    )
    set_random_weights(model)
    return model


def images(model: keras.Model) -> np.ndarray:
    shape = (2, *model.input_shape[1:])
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("format", ["keras", "timm"])
def test_a_saved_model_loads_again(model, format, tmp_path):
    folder = keras_vit.save(model, tmp_path / "saved", format=format)
    again = keras_vit.load(folder)
    x = images(model)
    np.testing.assert_allclose(to_numpy(again(x)), to_numpy(model(x)), atol=1e-6)
    assert again.preprocessing == model.preprocessing
    assert again.class_names == model.class_names


def test_our_own_files_load_with_changes(model, tmp_path):
    folder = keras_vit.save(model, tmp_path / "saved")
    again = keras_vit.load(folder, num_classes=None, image_size=(40, 24))
    assert again.output_shape == (None, 32) and again.preprocessing.image_size == (
        40,
        24,
    )
    first, second = (m.get_layer("block_1").get_weights() for m in (model, again))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_existing_folder_is_kept(model, tmp_path):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        keras_vit.save(model, tmp_path / "saved")
    assert (tmp_path / "saved" / "mine.txt").exists()
    with pytest.raises(FileExistsError, match="also holds mine.txt"):
        keras_vit.save(model, tmp_path / "saved", overwrite=True)
    assert (tmp_path / "saved" / "mine.txt").exists()


def test_unknown_formats_and_foreign_models_are_refused(model, tmp_path):
    with pytest.raises(ValueError, match="format must be one of"):
        keras_vit.save(model, tmp_path / "saved", format="onnx")
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(TypeError, match="Only a keras_vit.ViT"):
        keras_vit.save(plain, tmp_path / "saved")
    plain.save(tmp_path / "plain.keras")
    with pytest.raises(ValueError, match="not a keras_vit.ViT"):
        keras_vit.load(tmp_path / "plain.keras")


def test_a_keras_file_takes_any_model_without_its_optimizer(tmp_path):
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    plain.compile("adam", "mse")
    plain.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    path = keras_vit.save(plain, tmp_path / "plain.keras")
    again = keras.models.load_model(path)
    assert not again.compiled
    for one, other in zip(again.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        keras_vit.save(plain, path)
    assert keras_vit.save(plain, path, overwrite=True) == path
    with pytest.raises(ValueError, match="Pass a folder"):
        keras_vit.save(plain, tmp_path / "other.keras", format="timm")


def test_a_push_without_network_says_what_to_do(model, monkeypatch):
    import huggingface_hub

    class Api:
        def __init__(self, token: str | None = None) -> None: ...

        def create_repo(self, repo_id: str, **options) -> None:
            raise RuntimeError("name not known")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    with pytest.raises(OSError, match="pushed to 'me/vit'.*name not known"):
        keras_vit.push_to_hub(model, "me/vit")


def test_push_writes_what_save_writes_and_uploads_it(model, monkeypatch):
    import huggingface_hub

    uploaded = {}

    class Api:
        def __init__(self, token: str | None = None) -> None: ...

        def create_repo(self, repo_id: str, **options) -> None:
            uploaded["repo"] = (repo_id, options)

        def upload_folder(self, repo_id: str, folder_path, **options):
            uploaded["files"] = sorted(path.name for path in folder_path.iterdir())
            return type("Commit", (), {"commit_url": f"https://hub/{repo_id}"})()

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert keras_vit.push_to_hub(model, "me/vit") == "https://hub/me/vit"
    assert uploaded["files"] == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("format", ["keras", "timm", "huggingface"])
def test_only_a_former_model_is_replaced(format, tmp_path):
    model = keras_vit.ViT.from_variant("test", num_classes=3)
    path = tmp_path / "model"
    keras_vit.save(model, path, format)
    keras_vit.save(model, path, "timm", overwrite=True)
    keras_vit.save(model, path, format, overwrite=True)
    notes = path / "notes.txt"
    notes.write_text("of the user")
    with pytest.raises(FileExistsError, match=r"also holds notes.txt.*Move that away"):
        keras_vit.save(model, path, format, overwrite=True)
    assert notes.read_text() == "of the user"


def test_a_folder_is_no_file_to_replace(tmp_path):
    (tmp_path / "model.keras").mkdir()
    (tmp_path / "model.keras" / "photo.jpg").write_text("")
    model = keras_vit.ViT.from_variant("test", num_classes=3)
    with pytest.raises(FileExistsError, match="also holds photo.jpg"):
        keras_vit.save(model, tmp_path / "model.keras", overwrite=True)
