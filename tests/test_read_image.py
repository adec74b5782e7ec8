from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keras_vit import Preprocessing
from keras_vit.read_image import why_unreadable
from tests.pictures import truncated_jpeg


def pixels_of(image: Any, channels: int = 3) -> np.ndarray:
    return Preprocessing(channels=channels).to_array(image)


@pytest.fixture
def picture(rng) -> Image.Image:
    """A picture in colour, 12 pixels wide and 8 high."""
    return Image.fromarray(rng.integers(0, 256, (8, 12, 3), dtype="uint8"))


def test_a_path_a_picture_and_an_array_are_the_same(picture, tmp_path):
    path = tmp_path / "picture.png"
    picture.save(path)
    expected = np.asarray(picture)
    for image in (path, str(path), picture, expected):
        np.testing.assert_array_equal(pixels_of(image), expected)


def test_exif_rotation_is_applied(picture, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # The camera was turned: the top of the scene is at the right.
    picture.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(
        pixels_of(tmp_path / "turned.png"), np.rot90(np.asarray(picture), -1)
    )


def test_palette_pictures_are_read_in_colour(picture):
    palette = picture.quantize(16)
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(pixels_of(palette), expected)


def test_transparency_of_a_palette_becomes_alpha(picture, tmp_path):
    palette = picture.quantize(16)
    palette.save(tmp_path / "palette.png", transparency=palette.getpixel((0, 0)))
    alpha = pixels_of(tmp_path / "palette.png", channels=4)[..., 3]
    assert (alpha[0, 0], alpha.max()) == (0, 255)


def test_alpha_is_left_out_of_colour(picture):
    transparent = picture.copy()
    transparent.putalpha(100)
    np.testing.assert_array_equal(pixels_of(transparent), np.asarray(picture))


def test_alpha_is_left_out_of_arrays_of_bytes(rng):
    pixels = rng.integers(0, 256, (8, 12, 4), dtype="uint8")
    np.testing.assert_array_equal(pixels_of(pixels), pixels[..., :3])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "array"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_picture_is_laid_on_white(picture, mode, channels):
    transparent = picture.convert("L") if mode == "LA" else picture.copy()
    transparent.putalpha(51)  # One fifth.
    image = np.asarray(transparent) if mode == "array" else transparent
    preprocessing = Preprocessing(channels=channels, transparency="white")
    opaque = pixels_of(transparent.convert("RGB"), channels)
    expected = 0.2 * opaque + 0.8 * 255
    np.testing.assert_allclose(preprocessing.to_array(image), expected, atol=1)


def test_a_transparent_colour_of_a_palette_becomes_white(picture, tmp_path):
    palette = picture.quantize(16)
    palette.save(tmp_path / "palette.png", transparency=palette.getpixel((0, 0)))
    result = Preprocessing(transparency="white").to_array(tmp_path / "palette.png")
    assert result[0, 0].tolist() == [255, 255, 255]


def test_alpha_stays_where_the_model_takes_it(picture):
    picture.putalpha(51)
    result = Preprocessing(channels=4, transparency="white").to_array(picture)
    np.testing.assert_array_equal(result, np.asarray(picture))


@pytest.mark.parametrize("image", [(8, 12), (8, 12, 1)])
def test_grey_arrays_become_colour(image, rng):
    pixels = rng.integers(0, 256, image, dtype="uint8")
    expected = pixels.reshape(8, 12, 1).repeat(3, axis=-1)
    np.testing.assert_array_equal(pixels_of(pixels), expected)


def test_grey_pictures_become_colour(picture):
    grey = picture.convert("L")
    expected = np.asarray(grey)[..., None].repeat(3, axis=-1)
    np.testing.assert_array_equal(pixels_of(grey), expected)


def test_colour_becomes_grey_by_luma(picture):
    luma = np.asarray(picture) @ np.array([0.299, 0.587, 0.114])
    result = pixels_of(picture, channels=1)
    np.testing.assert_allclose(result[..., 0], luma, atol=1)


def test_sixteen_bit_grey_is_scaled_to_bytes(rng, tmp_path):
    pixels = rng.integers(0, 256, (8, 12))
    image = Image.fromarray((pixels * 257).astype("uint16"))
    image.save(tmp_path / "deep.png")
    result = pixels_of(tmp_path / "deep.png", channels=1)
    np.testing.assert_array_equal(result[..., 0], pixels)


def test_thirty_two_bit_grey_is_read_as_sixteen_bits():
    image = Image.fromarray(np.array([[0, 257, 65535, 70000]], "int32"))
    assert pixels_of(image, channels=1).ravel().tolist() == [0, 1, 255, 255]


def test_black_and_white_pictures_use_the_whole_range(picture):
    result = pixels_of(picture.convert("1"), channels=1)
    assert set(np.unique(result)) == {0, 255}


def test_arrays_of_floats_keep_their_values(rng):
    pixels = rng.normal(size=(8, 12, 3))
    np.testing.assert_array_equal(pixels_of(pixels), pixels)


def test_arrays_of_many_channels_pass_through(rng):
    pixels = rng.uniform(size=(8, 12, 13)).astype("float32")
    preprocessing = Preprocessing(image_size=4, channels=13, value_range=(0, 1))
    assert preprocessing(pixels).shape == (4, 4, 13)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
@pytest.mark.parametrize("block", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"x"])
def test_an_exif_that_cannot_be_read_is_left_out_with_a_warning(
    picture, tmp_path, ending, block
):
    path = tmp_path / f"camera.{ending}"
    picture.save(path)
    expected = pixels_of(path)
    picture.save(path, exif=block)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        np.testing.assert_array_equal(pixels_of(path), expected)
        assert why_unreadable(path) is None
    texts = [str(one.message) for one in found]  # One may be Pillow's, of no name.
    assert all("camera" in text or "Corrupt EXIF" in text for text in texts)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_the_file_whose_exif_is_none_is_named(picture, tmp_path, ending):
    path = tmp_path / f"camera.{ending}"
    picture.save(path, exif=b"Exif\0\0no TIFF at all")
    for read in (pixels_of, why_unreadable):
        with pytest.warns(UserWarning, match=rf"EXIF of '.*camera\.{ending}' cannot"):
            read(path)


def test_the_file_whose_exif_cannot_be_read_is_named(picture, tmp_path, monkeypatch):
    path = tmp_path / "camera.jpg"
    picture.save(path)

    def fail(self):
        raise SyntaxError("not a TIFF file")

    monkeypatch.setattr(Image.Image, "getexif", fail)
    with pytest.warns(UserWarning, match=r"EXIF of '.*camera\.jpg' .*not a TIFF file"):
        assert pixels_of(path).shape == (8, 12, 3)


def test_a_picture_is_turned_though_other_tags_are_broken(picture, tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    data = bytearray(exif.tobytes())
    entry = data.index(b"\x01\x0f")  # The type of the name of the camera.
    data[entry + 2 : entry + 4] = b"\x00\xff"
    picture.save(tmp_path / "turned.png", exif=bytes(data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = pixels_of(tmp_path / "turned.png")
    np.testing.assert_array_equal(result, np.rot90(np.asarray(picture), -1))


def test_a_dark_picture_of_sixteen_bits_stays_dark(tmp_path):
    image = Image.fromarray(np.full((4, 4), 200, "uint16"))
    image.save(tmp_path / "dark.png")
    assert pixels_of(tmp_path / "dark.png", channels=1).max() == 0


# What is refused


@pytest.mark.parametrize("channels", [1, 3])
def test_only_formats_of_pixels_are_opened(picture, tmp_path, channels, monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_: pytest.fail("run"))
    for name in ("cat.jpg", "cat.png", "cat.eps"):
        picture.convert("RGB").save(tmp_path / name, "EPS")
        with pytest.raises(OSError, match=rf"{name}' cannot be read .*identify"):
            pixels_of(tmp_path / name, channels)
        with (tmp_path / name).open("rb") as file, pytest.raises(OSError, match=name):
            pixels_of(file, channels)


def test_a_limit_of_pixels_is_named_and_can_be_raised(picture, tmp_path, monkeypatch):
    path = tmp_path / "scan.png"
    picture.save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    text = (
        r"scan\.png' is too large: .*96 pixels.* limit of 80 pixels.*KERAS_VIT_MAX_PIX"
    )
    with pytest.raises(OSError, match=text):
        pixels_of(path)
    assert "PIL.Image.MAX_IMAGE_PIXELS" in str(why_unreadable(path))
    monkeypatch.setenv("KERAS_VIT_MAX_PIXELS", "96")
    assert pixels_of(path).shape == (8, 12, 3) and why_unreadable(path) is None
    monkeypatch.setenv("KERAS_VIT_MAX_PIXELS", "95")
    with pytest.raises(OSError, match="limit of 95 pixels"):
        pixels_of(path)
    monkeypatch.setenv("KERAS_VIT_MAX_PIXELS", "many")
    with pytest.raises(ValueError, match="whole number of pixels"):
        pixels_of(path)


def test_a_picture_that_is_read_late_is_named(tmp_path):
    with Image.open(truncated_jpeg(tmp_path / "half.jpg")) as picture:
        with pytest.raises(OSError, match=r"half\.jpg"):
            pixels_of(picture)


@pytest.mark.parametrize("shape", [(8,), (2, 8, 12, 3), (0, 12, 3)])
def test_an_array_that_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="Pass a batch as a list of images"):
        pixels_of(np.zeros(shape, "uint8"))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((8, 12, 2), "uint8"), ((8, 12, 4), "float32"), ((3, 8, 12), "u1")],
)
def test_an_array_with_other_channels_is_refused(shape, dtype):
    with pytest.raises(ValueError, match="Channels come last; select or convert"):
        pixels_of(np.zeros(shape, dtype))


def test_a_picture_for_five_channels_is_refused(picture):
    with pytest.raises(ValueError, match=r"Pass arrays of shape \(H, W, channels\)"):
        pixels_of(picture, channels=5)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing.png"):
        pixels_of(tmp_path / "missing.png")


def test_a_file_that_is_no_picture_is_named(tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(OSError, match="text.png"):
        pixels_of(tmp_path / "text.png")
