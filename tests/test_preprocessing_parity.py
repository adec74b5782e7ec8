"""The same pixels as timm's evaluation and the image processors of transformers."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from keras_vit import Preprocessing
from tests import preprocessing_peers as peers
from tests.one_backend import NO_BACKEND

# Both libraries, and torch.jit under them, warn of their own deprecations.
_QUIET = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)
pytestmark = [_QUIET, NO_BACKEND]
PICTURES = peers.pictures()
MEAN, STD = peers.IMAGENET["image_mean"], peers.IMAGENET["image_std"]
ONE_STEP = 1 / 255
EXACT = 0.001 / 255  # Room for the rounding of mean and std in float32.


# timm


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("size", [(224, 224), (160, 224), (256, 192)])
@pytest.mark.parametrize(
    ("crop_pct", "interpolation"),
    [(1.0, "bicubic"), (0.9, "bilinear"), (0.875, "lanczos")],
)
def test_pixels_equal_those_of_timm(crop_mode, size, crop_pct, interpolation):
    options = {
        "input_size": (3, *size),
        "crop_mode": crop_mode,
        "crop_pct": crop_pct,
        "interpolation": interpolation,
        "mean": MEAN,
        "std": STD,
    }
    theirs, ours = peers.timm_transform(**options), peers.from_timm(options)
    for name, picture in PICTURES.items():
        assert peers.largest_difference(ours, theirs, picture) < EXACT, name


def test_grey_pixels_equal_those_of_timm():
    options = {
        "input_size": (1, 96, 80),
        "crop_mode": "border",
        "crop_pct": 0.95,
        "interpolation": "bicubic",
        "mean": (0.45,),
        "std": (0.2,),
    }
    theirs = peers.timm_transform(channels=1, **options)
    ours = peers.from_timm(options)
    for name, picture in PICTURES.items():
        if "transparent" not in name:  # Pillow mixes the alpha of a palette into grey.
            assert peers.largest_difference(ours, theirs, picture) < EXACT, name


def test_many_sizes_are_resized_to_the_same_pixels_as_by_timm():
    # Only the shapes count here: half a pixel is rounded as timm's floating point does.
    from timm.data.transforms import ResizeKeepRatio

    for mode, longest in (("crop", 0.0), ("border", 1.0)):
        ours = Preprocessing(image_size=(96, 60), resize=mode)
        for height in range(1, 400, 3):
            for width in range(1, 400, 7):
                picture = Image.new("L", (width, height))
                size = ResizeKeepRatio.get_params(picture, (96, 60), longest)
                size = tuple(max(1, side) for side in size)
                assert ours.scaled_size(height, width) == size, (height, width)


# transformers


CONFIGS = [
    *((name, {}) for name in peers.PROCESSORS),
    ("Bit", {"size": {"shortest_edge": 256}, "image_mean": MEAN, "image_std": STD}),
    ("Bit", {"size": {"shortest_edge": 101}, "crop_size": 112}),  # Smaller: black.
    ("CLIP", {"size": 96, "crop_size": {"height": 70, "width": 53}}),
    ("CLIP", {"do_convert_rgb": False}),
    ("ViT", {"size": {"height": 129, "width": 257}, "resample": 1}),
    ("ViT", {"size": 64, "resample": 4}),
    ("ViT", {"size": 64, "resample": 5}),
    ("ViT", {"size": 64, "resample": 0}),
    ("ViT", {"size": 64, "do_normalize": False}),
    ("ViT", {"size": 64, "do_rescale": False}),
    ("ViT", {"size": 64, "rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3}),
]


@pytest.mark.parametrize(
    ("name", "options"),
    [config for config in CONFIGS if "pil" in peers.backends(config[0])],
    ids=str,
)
def test_pixels_equal_those_of_transformers(name, options, tmp_path):
    pytest.importorskip("transformers")
    theirs = peers.processor(name, tmp_path, "pil", **options)
    ours = peers.from_transformers(name, **options)
    for title, picture in PICTURES.items():
        assert peers.largest_difference(ours, theirs, picture) < EXACT, title


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("DINOv3ViT", {}),
        ("DINOv3ViT", {"size": {"height": 112, "width": 80}, "resample": 3}),
    ],
    ids=str,
)
def test_floats_equal_those_of_the_dinov3_processor(name, options, tmp_path):
    pytest.importorskip("transformers")
    theirs = peers.processor(name, tmp_path, "torchvision", **options)
    ours = peers.from_transformers(name, **options)
    for title, picture in PICTURES.items():
        assert peers.largest_difference(ours, theirs, picture) < 10 * EXACT, title


@pytest.mark.parametrize("name", ["ViT", "Tipsv2"])
def test_bilinear_pixels_are_within_one_step_of_torchvision(name, tmp_path):
    pytest.importorskip("transformers")
    theirs = peers.processor(name, tmp_path, "torchvision")
    ours = peers.from_transformers(name)
    for title, picture in PICTURES.items():
        assert peers.largest_difference(ours, theirs, picture) < 1.01 * ONE_STEP, title


# What a file goes through before the transform


def test_a_turned_file_is_read_as_transformers_reads_it(tmp_path):
    pytest.importorskip("transformers")
    peers.processor("ViT", tmp_path, "pil")  # Makes transformers importable.
    from transformers.image_utils import load_image

    exif = Image.Exif()
    exif[0x0112] = 8
    path = tmp_path / "turned.jpg"
    PICTURES["odd 333x251"].save(path, exif=exif)
    expected = np.asarray(load_image(str(path)))
    np.testing.assert_array_equal(Preprocessing().to_array(path), expected)


def test_a_transparent_palette_has_the_colours_of_the_loader_of_timm():
    picture = PICTURES["palette, transparent"]
    expected = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(Preprocessing().to_array(picture), expected)


def test_grey_of_sixteen_bits_is_scaled_where_both_libraries_clip():
    grey = np.linspace(0, 65535, 96).reshape(8, 12).astype("uint16")
    picture = Image.fromarray(grey)
    assert np.mean(np.asarray(picture.convert("RGB")) == 255) > 0.9
    result = Preprocessing(channels=1).to_array(picture)[..., 0]
    assert np.abs(result - grey / 257).max() < 1.0


def test_what_was_mapped_survives_json():
    ours = peers.from_transformers("CLIP", crop_size={"height": 70, "width": 53})
    assert Preprocessing(**json.loads(json.dumps(asdict(ours)))) == ours
