"""Shards of WebDataset."""

from __future__ import annotations

import json

import numpy as np
import pytest

import keras_vit
from tests.data.sources.test_archive import write_archive
from tests.one_backend import ONE_BACKEND
from tests.pictures import write_folder

pytestmark = ONE_BACKEND


@pytest.fixture
def samples(tmp_path):
    """From a key to the bytes of a picture and its label."""
    files = sorted(write_folder(tmp_path / "photos").rglob("*.png"))
    return {
        f"{number:04d}": (path.read_bytes(), path.parent.name)
        for number, path in enumerate(files)
    }


def write_shard(path, samples, kind):
    files = {}
    for key, (picture, label) in samples.items():
        files[f"{key}.png"] = picture
        if kind == "cls":
            files[f"{key}.cls"] = label[-1].encode()
        else:
            files[f"{key}.json"] = json.dumps({"label": label, "group": key}).encode()
    return write_archive(path, files)


def found(data):
    names = [data.class_names[label] for label in data.train.labels]
    pictures = [path.read_bytes() for path in data.train.pictures()]
    return sorted(zip(pictures, names, strict=True))


@pytest.mark.parametrize("kind", ["cls", "json"])
@pytest.mark.parametrize("name", ["a.tar", "a-{000..001}.tar", "a-*.tar"])
def test_samples_are_pictures_with_labels(kind, name, samples, tmp_path):
    if name == "a.tar":
        write_shard(tmp_path / name, samples, kind)
    else:
        for shard in (0, 1):
            some = {k: v for k, v in samples.items() if int(k) % 2 == shard}
            write_shard(tmp_path / f"a-{shard:03d}.tar", some, kind)
    data = keras_vit.load_data(tmp_path / name, validation_fraction=0)
    words = slice(-1, None) if kind == "cls" else slice(None)
    assert found(data) == sorted((p, label[words]) for p, label in samples.values())
    assert (data.train.groups is None) == (kind == "cls")
    np.testing.assert_array_equal(np.bincount(data.train.labels), [10] * 4)


def test_samples_without_a_label_are_refused(samples, tmp_path):
    path = write_shard(tmp_path / "a.tar", samples, "cls")
    write_archive(path, {"0.png": b"1", "0.cls": b"1", "1.png": b"1"})
    with pytest.raises(ValueError, match="needs one picture and a label"):
        keras_vit.load_data(path)
    write_archive(path, {"0.png": b"1", "0.json": b"{"})
    with pytest.raises(ValueError, match="must be a JSON object"):
        keras_vit.load_data(path)
    with pytest.raises(FileNotFoundError, match="No archive"):
        keras_vit.load_data(tmp_path / "b-*.tar")
