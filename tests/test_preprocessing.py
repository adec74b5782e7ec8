from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from keras_vit import Preprocessing
from keras_vit.preprocessing import (
    exact_crop_ratio,
    map_planes,
    resize_array,
    resize_part,
)
from tests import peers


@pytest.fixture(scope="module")
def photographs() -> list[np.ndarray]:
    """Two photographs in colour, and parts of them with other proportions."""
    china, flower = load_sample_images().images
    return [china, flower, china[:, 100:301], flower[50:130, 40:341]]


def expected_pixels(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Resize and crop with torchvision, as timm's evaluation does."""
    peers.import_timm()
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as torchvision

    size = [int(side / preprocessing.crop_ratio) for side in preprocessing.image_size]
    if preprocessing.resize == "crop":
        size = size[:1]  # One number: the shorter side.
    mode = InterpolationMode(preprocessing.interpolation)
    image = torchvision.resize(Image.fromarray(pixels), size, mode)
    return np.asarray(torchvision.center_crop(image, list(preprocessing.image_size)))


# Resize and crop


# timm and torch.jit warn of their own deprecations at import.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    "options",
    [
        {"image_size": 224},
        {"image_size": 224, "crop_ratio": 0.875, "interpolation": "bilinear"},
        {"image_size": 63, "crop_ratio": 0.9, "interpolation": "lanczos"},
        {"image_size": 96, "interpolation": "nearest"},
        {"image_size": 500},
        {"image_size": (80, 120), "resize": "squash"},
        {"image_size": (64, 64), "resize": "squash", "crop_ratio": 0.8},
    ],
    ids=str,
)
def test_pixels_equal_those_of_torchvision(options, photographs):
    preprocessing = Preprocessing(**options)
    for pixels in photographs:
        np.testing.assert_array_equal(
            preprocessing.resize_image(pixels), expected_pixels(pixels, preprocessing)
        )


@pytest.mark.parametrize(
    ("size", "scaled"),
    [
        ((480, 640), (224, 298)),  # 298.67 is truncated.
        ((640, 480), (298, 224)),
        ((333, 333), (224, 224)),
        ((100, 1000), (224, 2240)),
        ((1000, 3), (74666, 224)),
    ],
)
def test_the_shorter_side_is_fitted_and_the_longer_truncated(size, scaled):
    assert Preprocessing().scaled_size(*size) == scaled


def test_a_crop_that_is_not_square_is_always_filled():
    preprocessing = Preprocessing(image_size=(48, 80), crop_ratio=0.9)
    scaled = [
        preprocessing.scaled_size(height, width)
        for height in range(10, 200, 13)
        for width in range(10, 200, 7)
    ]
    assert all(height >= 53 and width >= 88 for height, width in scaled)


def test_a_crop_that_is_not_square_keeps_the_proportions():
    preprocessing = Preprocessing(image_size=(48, 80))
    assert preprocessing.scaled_size(100, 100) == (80, 80)


def test_the_crop_is_central():
    pixels = np.arange(7)[None, :, None].repeat(4, axis=0).astype("uint8")
    cropped = Preprocessing(image_size=4, channels=1).resize_image(pixels)
    assert cropped[0, :, 0].tolist() == [2, 3, 4, 5]


def test_a_crop_that_is_not_square_rounds_the_other_side():
    preprocessing = Preprocessing(image_size=(48, 80))
    assert preprocessing.scaled_size(101, 150) == (54, 80)  # 53.87


@pytest.mark.parametrize(("rounding", "first"), [("even", 2), ("down", 1)])
def test_half_a_pixel_begins_the_crop_as_it_is_rounded(rounding, first):
    pixels = np.arange(7)[None, :, None].repeat(4, axis=0).astype("uint8")
    preprocessing = Preprocessing(image_size=4, channels=1, crop_rounding=rounding)
    assert preprocessing.resize_image(pixels)[0, :, 0].tolist()[0] == first


def test_the_whole_image_stays_inside_a_border_of_the_mean_colour():
    pixels = np.full((10, 40, 3), 200, "uint8")
    preprocessing = Preprocessing(
        image_size=20, resize="border", mean=(0.1, 0.5, 0.9), interpolation="bilinear"
    )
    result = preprocessing.resize_image(pixels)
    colors = [result[0, 0].tolist(), result[-1, -1].tolist(), result[10, 0].tolist()]
    assert colors == [[26, 128, 230], [26, 128, 230], [200, 200, 200]]
    assert np.flatnonzero(result[:, 0, 0] == 200).tolist() == list(range(7, 12))


def test_a_border_becomes_zero_by_mean_and_std():
    pixels = np.full((10, 40, 3), 200, "uint8")
    preprocessing = Preprocessing(image_size=20, resize="border", mean=0.2)
    np.testing.assert_allclose(preprocessing(pixels)[0], 0, atol=1e-6)


def test_a_border_has_its_colour_in_the_range_of_values():
    pixels = np.full((10, 40, 3), 0.9, "float32")
    preprocessing = Preprocessing(
        image_size=20, resize="border", mean=0.2, value_range=(0, 1)
    )
    np.testing.assert_allclose(preprocessing.resize_image(pixels)[0], 0.2, atol=1e-6)


@pytest.mark.parametrize(("rounding", "first"), [("even", 1), ("down", 2)])
def test_an_image_that_is_too_small_is_surrounded_by_black(rounding, first):
    pixels = np.full((9, 9, 3), 7, "uint8")
    preprocessing = Preprocessing(
        image_size=12, crop_ratio=exact_crop_ratio(12, 9), crop_rounding=rounding
    )
    result = preprocessing.resize_image(pixels)[..., 0]
    inside = slice(first, first + 9)
    assert result[inside, inside].min() == 7
    assert result.sum() == 7 * 81


def test_the_sides_of_the_crop_may_differ():
    preprocessing = Preprocessing(image_size=(50, 60), crop_ratio=(0.5, 0.75))
    assert preprocessing.resized_size == (100, 80)


def test_equal_ratios_are_one_number():
    assert Preprocessing(crop_ratio=(0.5, 0.5)).crop_ratio == 0.5


def test_an_exact_crop_ratio_gives_back_the_size():
    for crop in range(1, 300):
        for size in range(crop, 300):
            ratio = exact_crop_ratio(crop, size)
            assert math.floor(crop / ratio) == size, (crop, size)


def test_pixels_in_floating_point_are_not_rounded(photographs):
    preprocessing = Preprocessing(image_size=50, resize_dtype="float32")
    result = preprocessing.resize_image(photographs[0])
    expected = Preprocessing(image_size=50).resize_image(photographs[0])
    assert result.dtype == np.float32
    assert 0.3 < np.abs(result.clip(0, 255) - expected).max() < 5


def test_an_image_of_the_right_size_is_not_resampled(photographs):
    pixels = photographs[0][:224, :224]
    np.testing.assert_array_equal(Preprocessing().resize_image(pixels), pixels)


@pytest.mark.parametrize("resize", ["crop", "squash", "border"])
@pytest.mark.parametrize("size", [(1, 1), (3, 500), (64, 64)])
@pytest.mark.parametrize("crop_ratio", [0.9, 1.3, (0.7, 1.2)])
@pytest.mark.parametrize("crop_rounding", ["even", "down"])
def test_the_result_has_the_size_of_the_model(size, resize, crop_ratio, crop_rounding):
    preprocessing = Preprocessing(
        image_size=(20, 30),
        resize=resize,
        crop_ratio=crop_ratio,
        crop_rounding=crop_rounding,
    )
    result = preprocessing(np.zeros((*size, 3), "uint8"))
    assert (result.shape, result.dtype) == ((20, 30, 3), np.float32)


def test_floats_are_resized_without_rounding(photographs):
    pixels = photographs[0].astype("float32") / 255
    result = resize_array(pixels, (50, 60), "bicubic")
    expected = resize_array(photographs[0], (50, 60), "bicubic") / 255
    assert 0 < abs(result.clip(0, 1) - expected).max() < 2 / 255


def test_bytes_stay_bytes(photographs):
    assert resize_array(photographs[0], (50, 60), "lanczos").dtype == np.uint8


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "int16"])
def test_each_channel_is_resized_by_itself(channels, dtype, rng):
    pixels = rng.integers(0, 256, (20, 30, channels)).astype(dtype)
    result = resize_array(pixels, (7, 9), "bilinear")
    planes = [
        resize_array(pixels[..., [c]], (7, 9), "bilinear") for c in range(channels)
    ]
    np.testing.assert_array_equal(result, np.concatenate(planes, axis=-1))


def test_colour_bytes_are_resized_as_their_planes_are(photographs):
    result = resize_array(photographs[0], (50, 60), "bicubic")
    planes = [
        resize_array(photographs[0][..., [c]], (50, 60), "bicubic") for c in range(3)
    ]
    np.testing.assert_array_equal(result, np.concatenate(planes, axis=-1))


def test_map_planes_keeps_the_order_of_the_channels(rng):
    pixels = rng.integers(0, 256, (5, 6, 4), dtype="uint8")
    np.testing.assert_array_equal(map_planes(pixels, lambda image: image), pixels)


# Normalization


def test_the_default_maps_bytes_to_minus_one_and_one():
    pixels = np.array([0, 127.5, 255])[:, None, None].repeat(3, axis=-1)
    result = Preprocessing().normalize(pixels)
    np.testing.assert_allclose(result[:, 0, 0], [-1, 0, 1], atol=1e-6)


def test_normalize_equals_the_formula(rng):
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    preprocessing = Preprocessing(mean=mean, std=std, value_range=(-10, 90))
    pixels = rng.uniform(-10, 90, (4, 5, 3))
    expected = ((pixels + 10) / 100 - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(preprocessing.normalize(pixels), expected, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{}, {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)}, {"value_range": (-1, 3)}],
)
def test_denormalize_undoes_normalize(options, rng):
    preprocessing = Preprocessing(**options)
    pixels = rng.uniform(*preprocessing.value_range, (2, 4, 5, 3)).astype("float32")
    again = preprocessing.denormalize(preprocessing.normalize(pixels))
    np.testing.assert_allclose(again, pixels, atol=1e-4)


def test_one_number_holds_for_each_channel():
    preprocessing = Preprocessing(channels=2, mean=0.4, std=(0.2,))
    assert (preprocessing.mean, preprocessing.std) == ((0.4, 0.4), (0.2, 0.2))


def test_the_call_resizes_and_then_normalizes(photographs):
    preprocessing = Preprocessing(image_size=(40, 60), crop_ratio=0.9)
    expected = preprocessing.normalize(preprocessing.resize_image(photographs[0]))
    np.testing.assert_array_equal(preprocessing(photographs[0]), expected)


# What is refused


@pytest.mark.parametrize(
    ("option", "value", "advice"),
    [
        ("image_size", 0, r"one number of pixels or \(height, width\), at least 1"),
        ("image_size", (32, 32, 3), r"one number of pixels or \(height, width\)"),
        ("image_size", 32.5, r"one number of pixels or \(height, width\)"),
        ("channels", 0, "channels must be at least 1"),
        ("resize", "pad", "'crop', 'squash', 'border'.* received resize='pad'"),
        ("interpolation", "area", r"'nearest', 'bilinear', 'bicubic', 'lanczos'"),
        ("crop_ratio", 0, "above 0 and at most 2"),
        ("crop_ratio", 87.5, "above 0 and at most 2"),
        ("crop_ratio", (0.9, 0.0), "above 0 and at most 2"),
        ("crop_ratio", (0.9, 0.9, 0.9), r"one number or \(height, width\)"),
        ("crop_rounding", "up", r"one of \['even', 'down'\]"),
        ("resize_dtype", "float16", r"one of \['uint8', 'float32'\]"),
        ("transparency", "black", r"one of \['drop', 'white'\]"),
        ("value_range", (255, 0), r"\(low, high\) with low below high"),
        ("mean", (0.5, 0.5), "one number or one for each of the 3 channels"),
        ("std", (0.5,) * 4, "one number or one for each of the 3 channels"),
        ("std", (0.5, 0.0, 0.5), "std must be above 0"),
    ],
)
def test_a_value_out_of_range_is_refused_with_advice(option, value, advice):
    with pytest.raises(ValueError, match=advice):
        Preprocessing(**{option: value})


def test_a_mean_that_is_no_number_is_refused():
    with pytest.raises(TypeError, match="mean must hold numbers"):
        Preprocessing(mean=("0.5",))


# As data


def test_preprocessing_survives_json():
    preprocessing = Preprocessing(image_size=(32, 48), crop_ratio=0.9, mean=0.4)
    data = json.loads(json.dumps(dataclasses.asdict(preprocessing)))
    assert Preprocessing(**data) == preprocessing


def test_new_options_survive_json():
    preprocessing = Preprocessing(
        crop_ratio=(0.9, 1.1),
        resize="border",
        crop_rounding="down",
        resize_dtype="float32",
        transparency="white",
    )
    data = json.loads(json.dumps(dataclasses.asdict(preprocessing)))
    assert Preprocessing(**data) == preprocessing


def test_what_was_saved_before_these_options_loads_and_means_the_same():
    data = {
        "image_size": [32, 48],
        "channels": 3,
        "resize": "crop",
        "crop_ratio": 0.9,
        "interpolation": "bicubic",
        "value_range": [0.0, 255.0],
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    }
    expected = Preprocessing(image_size=(32, 48), crop_ratio=0.9)
    assert Preprocessing(**data) == expected


def test_an_unknown_key_is_refused():
    with pytest.raises(TypeError, match="crop_pct"):
        Preprocessing(crop_pct=0.9)


def test_floats_between_0_and_1_are_pointed_out():
    image = np.linspace(0, 1, 48).reshape(4, 4, 3)
    with pytest.raises(ValueError, match=r"value_range=\(0, 1\)"):
        Preprocessing(image_size=4)(image)
    result = Preprocessing(image_size=4, value_range=(0, 1))(image)
    np.testing.assert_allclose(result, 2 * image - 1, atol=1e-6)


def test_one_of_a_set_may_be_dark():
    image = np.linspace(0, 1, 48).reshape(4, 4, 3)
    result = Preprocessing(image_size=4).to_values(image)
    np.testing.assert_allclose(result, image / 127.5 - 1, atol=1e-6)


# A long strip is cropped before it is resized


@pytest.mark.parametrize("size", [(1, 30_000), (30_000, 1), (40, 90_000)])
@pytest.mark.parametrize("crop_ratio", [0.875, 1.0])
def test_a_long_strip_takes_no_more_than_its_crop(size, crop_ratio, rng, monkeypatch):
    made = []
    resize = Image.Image.resize

    def watched(self, size, *args, **kwargs):
        made.append(math.prod(size))
        return resize(self, size, *args, **kwargs)

    monkeypatch.setattr(Image.Image, "resize", watched)
    pixels = rng.integers(0, 256, (*size, 3), dtype="uint8")
    assert Preprocessing(crop_ratio=crop_ratio)(pixels).shape == (224, 224, 3)
    assert max(made) <= 256**2


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "hamming"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("crop_ratio", [0.875, 1.0, (0.8, 1.5)])
def test_the_part_of_a_strip_is_that_of_the_whole(
    interpolation, dtype, crop_ratio, rng
):
    preprocessing = Preprocessing(
        image_size=(16, 24),
        interpolation=interpolation,
        resize_dtype=dtype,
        crop_ratio=crop_ratio,
    )
    for size in ((3, 900), (900, 2), (16, 4000)):
        pixels = rng.integers(0, 256, (*size, 3), dtype="uint8")
        scaled = preprocessing.scaled_size(*size)
        whole = preprocessing.resize_to(pixels, scaled)
        rows, columns = (
            (max(0, first), min(length, first + target))
            for first, length, target in zip(
                preprocessing.crop_offset(scaled), scaled, (16, 24), strict=True
            )
        )
        part = resize_part(pixels, scaled, rows, columns, interpolation, dtype)
        expected = whole[slice(*rows), slice(*columns)]
        np.testing.assert_allclose(
            part.astype("float64"), expected, atol=2 if dtype == "uint8" else 1e-3
        )


def test_files_and_bytes_scale_to_the_value_range(tmp_path):
    pixels = np.arange(48, dtype="uint8").reshape(4, 4, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    unit = Preprocessing(image_size=4, value_range=(0, 1))
    expected = Preprocessing(image_size=4)(pixels)
    np.testing.assert_allclose(unit(tmp_path / "a.png"), expected, atol=1e-6)
    np.testing.assert_allclose(unit(Image.fromarray(pixels)), expected, atol=1e-6)


def test_booleans_are_black_and_white():
    image = np.array([[True, False], [False, True]])
    result = Preprocessing(image_size=2, channels=1)(image)[..., 0]
    np.testing.assert_allclose(result, [[1, -1], [-1, 1]])


@pytest.mark.parametrize("value", [np.nan, np.inf, 300.0, -20.0])
def test_values_outside_the_range_are_refused(value):
    image = np.full((4, 4, 3), 100.0)
    image[0, 0, 0] = value
    with pytest.raises(ValueError, match="Pixel values must be in value_range"):
        Preprocessing(image_size=4)(image)


def test_a_floating_point_picture_is_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 0.5, "float32")).save(tmp_path / "a.tiff")
    with pytest.raises(ValueError, match="does not say its range"):
        Preprocessing(image_size=4)(tmp_path / "a.tiff")
