"""Colours, parts and classes of patches."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import keras_vit
from tests.contract import to_numpy
from tests.examples.scripts import run, script
from tests.one_backend import NO_BACKEND

pytestmark = NO_BACKEND

dense = script("dense_features")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of a small model whose patches say what is in them."""
    model = keras_vit.ViT.from_variant(
        "test", num_layers=1, preprocessing=keras_vit.Preprocessing(image_size=32)
    )
    path = tmp_path_factory.mktemp("weights") / "small.keras"
    keras_vit.save(model, path)
    return path


@pytest.fixture
def halves(tmp_path):
    """Two pictures, red on the left and blue on the right, of different sizes."""
    for name, (width, height) in {"wide": (120, 60), "high": (48, 96)}.items():
        pixels = np.zeros((height, width, 3), "uint8")
        pixels[:, : width // 2, 0] = pixels[:, width // 2 :, 2] = 255
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    return [tmp_path / "wide.png", tmp_path / "high.png"]


def grids(weights, pictures, longest=64):
    model = keras_vit.load(weights, image_size=None, num_classes=None)
    images = [dense.resized(picture, model, longest) for picture in pictures]
    return model, images, [dense.patch_features(model, image) for image in images]


def test_pictures_keep_their_proportions_in_whole_patches(weights, halves):
    _, images, found = grids(weights, halves)
    assert [image.shape for image in images] == [(32, 64, 3), (64, 32, 3)]
    assert [grid.shape for grid in found] == [(4, 8, 32), (8, 4, 32)]


def test_the_vectors_are_those_of_the_model_of_that_size(weights, halves):
    _, [image, _], [found, _] = grids(weights, halves)
    fixed = keras_vit.load(weights, image_size=(32, 64), num_classes=None)
    values = fixed.preprocessing.normalize(image)[None]
    expected = to_numpy(keras_vit.features(fixed)(values)["block_0"])[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_two_groups_are_the_two_halves_of_both_pictures(weights, halves):
    _, _, found = grids(weights, halves)
    wide, high = dense.parts(found, 2)
    for classes in (wide, high):
        left, right = np.split(classes, 2, axis=1)
        assert len(np.unique(left)) == len(np.unique(right)) == 1
        assert left[0, 0] == wide[0, 0] != right[0, 0]


def test_a_click_on_each_half_of_one_picture_divides_the_other(weights, halves):
    _, _, found = grids(weights, halves)
    points = [(0, 1, 1, "red"), (0, 2, 6, "blue")]
    (_, high), names = dense.probed(found, points)
    assert names == ["blue", "red"]
    assert (high[:, :2] == 1).all() and (high[:, 2:] == 0).all()


def test_the_example_runs(weights, halves, tmp_path, monkeypatch, capsys):
    output = tmp_path / "drawn"
    options = ("--weights", weights, "--longest", 64, "--output", output)
    click = ("--point", "wide", 20, 30, "red", "--point", "wide", 100, 30, "blue")
    run(monkeypatch, "dense_features", *halves, *options, *click)
    printed = capsys.readouterr().out
    assert "wide: 4 x 8 patches, blue 50%, red 50%" in printed
    assert "high: 8 x 4 patches, blue 50%, red 50%" in printed
    with Image.open(output / "wide.png") as image:
        drawn = np.asarray(image)
    assert drawn.shape == (32, 3 * 64, 3)
    np.testing.assert_array_equal(drawn[:, -1], dense.PALETTE[[0]].repeat(32, axis=0))
    for wrong, said in (
        (["--point", "cow", 1, 1, "red"], "the pictures are wide, high"),
        (["--point", "wide", 120, 1, "red"], "wide has 120 x 60 pixels"),
        (["--point", "wide", 1, 1, "red"], "two classes"),
        ([tmp_path / "other" / "wide.png"], "two pictures have one name"),
    ):
        with pytest.raises(SystemExit):
            run(monkeypatch, "dense_features", *halves, *wrong, *options)
        assert said in capsys.readouterr().err
    run(monkeypatch, "dense_features", *options)  # Two photographs of scikit-learn.
    assert "china: " in capsys.readouterr().out
    with Image.open(output / "flower.png") as other:
        assert other.size[0] == 3 * 64
