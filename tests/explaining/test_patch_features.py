"""Norms, components and similarities of patches, against NumPy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA

import keras_vit
from keras_vit import Preprocessing
from keras_vit.cli.command_line import main
from keras_vit.explaining.explain import explain
from keras_vit.explaining.patch_features import components, similarities
from keras_vit.explaining.seen_part import patch_at
from tests.contract import to_numpy
from tests.explaining.test_explain import vit
from tests.one_backend import NO_BACKEND

PICTURE = np.random.default_rng(3).integers(0, 256, (40, 40, 3), dtype="uint8")


def patches_of(model, picture, block=-1, use_norm=True):
    maps = keras_vit.features(model, block, use_norm=use_norm)
    [values] = [
        to_numpy(x)[0]
        for name, x in maps(model.preprocessing(picture)[None]).items()
        if "prefix" not in name
    ]
    return values


def test_maps_of_patches_are_those_of_a_block():
    model = vit(num_registers=2, pooling="mean")
    [norms] = explain(model, [PICTURE], method="token_norms", block=0)
    raw = patches_of(model, PICTURE, 0, use_norm=False)
    np.testing.assert_allclose(norms.patches, np.linalg.norm(raw, axis=-1), rtol=1e-4)
    [alike] = explain(model, [PICTURE], method="similarity", point=(3, 35))
    normed = patches_of(model, PICTURE)
    unit = normed / np.linalg.norm(normed, axis=-1, keepdims=True)
    np.testing.assert_allclose(alike.patches, unit @ unit[3, 0], rtol=1e-3, atol=1e-5)
    assert alike.patches[3, 0] == pytest.approx(1, abs=1e-5)
    assert "to the point (3, 35)" in alike.alt_text


def test_similarity_to_a_point_of_another_picture():
    model = vit()
    other = np.rot90(PICTURE).copy()
    [found] = explain(model, [PICTURE], method="similarity", point=(1, 1), of=other)
    a, b = patches_of(model, PICTURE), patches_of(model, other)
    np.testing.assert_allclose(found.patches, similarities(a, b[0, 0]), atol=1e-5)
    # Both pictures, side by side, and the legend below one of them.
    assert found.image().size[0] > 2 * 240 and found.of.shape == (40, 40, 3)


def test_components_are_those_of_scikit_learn():
    model = vit()
    pictures = [PICTURE, PICTURE[::-1].copy()]
    found = explain(model, pictures, method="components", joint=True)
    rows = np.concatenate([patches_of(model, x).reshape(-1, 32) for x in pictures])
    expected = PCA(3).fit_transform(rows.astype("float64"))
    shares = np.concatenate([one.patches.reshape(-1, 3) for one in found])
    assert shares.min() == 0 and shares.max() == 1
    inside = (shares > 0).all(axis=1) & (shares < 1).all(axis=1)
    for i in range(3):  # One percent at each side is cut, the sign is free.
        correlation = np.corrcoef(shares[inside, i], expected[inside, i])[0, 1]
        assert abs(correlation) > 0.99999
    [colours] = explain(model, [PICTURE], method="components")
    assert colours.values.shape == (40, 40, 3) and colours.image().size == (240, 240)
    assert "principal components" in colours.alt_text


@NO_BACKEND
def test_the_ground_has_no_colour(rng):
    # A square of one kind on ground of another, each with its own variation.
    picture = rng.normal(size=(12, 12, 8)) * 0.2
    picture[4:9, 3:8, 0] += 5
    [found] = components([picture], foreground=True)
    is_object = ~np.isnan(found[..., 0])
    expected = np.zeros((12, 12), bool)
    expected[4:9, 3:8] = True
    np.testing.assert_array_equal(is_object, expected)
    [mirrored] = components([-picture], foreground=True)
    np.testing.assert_array_equal(~np.isnan(mirrored[..., 0]), expected)


@NO_BACKEND
def test_pictures_have_components_of_their_own_or_the_same(rng):
    first = rng.normal(size=(5, 6, 8))
    second = 3 * rng.normal(size=(4, 4, 8)) + 1
    apart = components([first, second])
    np.testing.assert_array_equal(apart[0], components([first])[0])
    joint = components([first, second], joint=True)
    assert joint[1].shape == (4, 4, 3) and not np.allclose(joint[0], apart[0])


@NO_BACKEND
def test_a_point_lies_in_the_patch_that_sees_it():
    crop = Preprocessing(image_size=32)
    assert patch_at((0, 63), (64, 64), crop, (8, 8), (4, 4)) == (3, 0)
    assert patch_at((32, 31), (64, 64), crop, (8, 8), (4, 4)) == (1, 2)
    # Of 32 times 64 pixels the middle is seen.
    assert patch_at((16, 0), (32, 64), crop, (8, 8), (4, 4)) == (0, 0)
    with pytest.raises(ValueError, match=r"point=\(15, 0\) was cut off"):
        patch_at((15, 0), (32, 64), crop, (8, 8), (4, 4))
    with pytest.raises(ValueError, match=r"below \(64, 32\), received point=\(3, 32\)"):
        patch_at((3, 32), (32, 64), crop, (8, 8), (4, 4))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"method": "similarity"}, "point=None"),
        ({"method": "similarity", "point": (1, 2, 3)}, r"point=\(1, 2, 3\)"),
        ({"method": "similarity", "point": (1, float("nan"))}, "in pixels"),
        ({"point": (1, 1)}, r"option of the methods \['similarity'\]"),
        ({"method": "components", "head": 0}, r"methods \['attention'\]"),
        ({"block": 0}, "received block=0 with method='relevance'"),
        ({"method": "token_norms", "block": 5}, "block must be from -2 to 1"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        explain(vit(), [PICTURE], **options)


@NO_BACKEND
def test_the_command_takes_a_point_of_another_picture(tmp_path):
    keras_vit.save(vit(), tmp_path / "model.keras")
    for name in ("a", "b"):
        Image.fromarray(PICTURE).save(tmp_path / f"{name}.png")
    command = ["explain", str(tmp_path / "model.keras"), str(tmp_path / "a.png")]
    command += ["--output", str(tmp_path / "maps")]
    similarity = ["--method", "similarity", "--point", "3", "4"]
    assert main([*command, *similarity, "--of", str(tmp_path / "b.png")]) == 0
    with Image.open(tmp_path / "maps" / "a.similarity.png") as drawn:
        assert drawn.width > 2 * 240
    colours = ["--method", "components", "--joint", "--foreground", "--overwrite"]
    assert main([*command[:-1], str(tmp_path / "colours"), *colours]) == 0


@pytest.mark.parametrize("method", ["token_norms", "components"])
def test_a_model_that_gives_tokens_has_maps_of_its_patches(method):
    model = vit(num_classes=None)
    tokens = keras_vit.changed(model, pooling=None)
    expected, found = (
        keras_vit.explain(one, [PICTURE], method=method)[0].patches
        for one in (model, tokens)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
