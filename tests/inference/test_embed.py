"""Vectors of pictures of any kind and size."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit import Preprocessing
from keras_vit.inference.embed import embed
from keras_vit.surgery import replace_head
from tests.contract import set_random_weights, to_numpy
from tests.one_backend import ONE_BACKEND
from tests.peers import timm_call, timm_model, write_timm


@pytest.fixture
def model() -> keras_vit.ViT:
    model = keras_vit.ViT.from_variant(
        "test", num_classes=3, preprocessing=Preprocessing(image_size=32)
    )
    set_random_weights(model)
    return model


@pytest.fixture
def pictures(rng) -> list[np.ndarray]:
    sizes = [(50, 70), (32, 32), (20, 90), (40, 33), (61, 35)]
    return [rng.integers(0, 256, (*size, 3), dtype="uint8") for size in sizes]


def test_vectors_are_what_the_classifier_sees(model, pictures):
    vectors = embed(model, pictures, batch_size=2)
    assert vectors.shape == (5, 32)
    assert vectors.dtype == np.float32
    images = np.stack([model.preprocessing(picture) for picture in pictures])
    logits = to_numpy(model.get_layer("head")(vectors))
    np.testing.assert_allclose(logits, to_numpy(model(images)), atol=1e-5)


def test_vectors_are_those_of_timm(tmp_path, pictures):
    theirs = timm_model(
        "vit_base_patch16_siglip_224",
        **{"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 32},
        num_classes=5,
    )
    write_timm(theirs, tmp_path)
    ours = keras_vit.load(tmp_path)
    images = np.stack([ours.preprocessing(picture) for picture in pictures])

    def head(x):
        return theirs.forward_head(theirs.forward_features(x), pre_logits=True)

    expected = timm_call(head, images)
    np.testing.assert_allclose(
        embed(ours, pictures), expected, atol=1e-5 * abs(expected).max()
    )


def test_a_backbone_gives_the_same_vectors(model, pictures):
    backbone = replace_head(model, None)
    np.testing.assert_allclose(
        embed(backbone, pictures), embed(model, pictures), atol=1e-6
    )


def test_paths_images_and_arrays_give_the_same(model, pictures, tmp_path):
    Image.fromarray(pictures[0]).save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    vectors = embed(model, [pictures[0], path, str(path), Image.open(path)])
    np.testing.assert_allclose(vectors, vectors[:1].repeat(4, axis=0), atol=1e-6)


def test_a_file_of_the_model_gives_the_same_vectors(model, pictures, tmp_path):
    path = keras_vit.save(model, tmp_path / "model.keras")
    expected = embed(model, pictures)
    for form in (path, str(path), tmp_path):
        np.testing.assert_allclose(embed(form, pictures), expected, atol=1e-6)


@ONE_BACKEND
def test_the_export_of_a_model_without_a_head_gives_the_same_vectors(
    model, pictures, tmp_path
):
    options = {"format": "litert", "images": pictures, "report": False}
    path = tmp_path / "backbone.tflite"
    keras_vit.export(replace_head(model, None), path, **options)
    vectors, expected = embed(path, pictures), embed(model, pictures)
    np.testing.assert_allclose(vectors, expected, atol=1e-4)
    keras_vit.export(model, tmp_path / "classifier.tflite", **options)
    with pytest.raises(ValueError, match="the file of a classifier"):
        embed(tmp_path / "classifier.tflite", pictures)


def test_one_picture_needs_no_list(model, pictures, tmp_path):
    Image.fromarray(pictures[0]).save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    for picture in (pictures[0], path, str(path), Image.open(path)):
        assert embed(model, picture).shape == (1, 32)
    assert embed(model, np.stack([pictures[1]] * 3)).shape == (3, 32)


def test_no_pictures_give_no_vectors(model):
    assert embed(model, []).shape == (0, 32)


def test_other_preprocessing_takes_the_place_of_the_own(model, pictures):
    other = Preprocessing(image_size=32, mean=0.2, std=0.3)
    vectors = embed(model, pictures, preprocessing=other)
    assert abs(vectors - embed(model, pictures)).max() > 1e-3


def test_preprocessing_must_be_known(model, pictures):
    model.preprocessing = None
    with pytest.raises(ValueError, match=r"Set model\.preprocessing"):
        embed(model, pictures)


def test_a_batch_has_a_picture(model, pictures):
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        embed(model, pictures, batch_size=0)


def test_half_precision_gives_float32(pictures):
    model = keras_vit.ViT.from_variant(
        "test", preprocessing=Preprocessing(image_size=32), dtype="bfloat16"
    )
    assert embed(model, pictures).dtype == np.float32
