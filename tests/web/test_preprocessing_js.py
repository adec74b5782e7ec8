"""What the page makes of pictures, beside Pillow and Preprocessing."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

import keras_vit
from keras_vit import Preprocessing
from keras_vit.preprocessing import Interpolation
from keras_vit.web.settings import page_steps
from tests.one_backend import ONE_BACKEND

pytestmark = ONE_BACKEND

PAGE = Path(keras_vit.__file__).parent / "web" / "page"
PHOTO = load_sample_images().images[0][100:330, 200:501]  # (230, 301, 3)
# Arrays travel as base64: playwright takes a second for a long list.
CODING = """
    const decoded = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const encoded = (array) => btoa(
        new Uint8Array(array.buffer).reduce((s, c) => s + String.fromCharCode(c), ""),
    );
"""
PREPROCESS = (
    "async ([settings, text, height, width, channels]) => {"
    + CODING
    + """
    const { preprocess } = await import("./preprocessing.js");
    const pixels = { data: decoded(text), height, width, channels };
    return encoded(preprocess(settings, pixels).values);
}"""
)
TO_PIXELS = (
    "async ([text, channels, transparency]) => {"
    + CODING
    + """
    const { decode, toPixels } = await import("./picture.js");
    const bitmap = await decode(new File([decoded(text)], "picture"));
    const { data, height, width } = toPixels(bitmap, channels, transparency);
    return [encoded(data), height, width];
}"""
)


@pytest.fixture(scope="module")
def page(chromium, tmp_path_factory):
    """A page from the same place as the modules, without a model."""
    # Routes instead of a server: modules need an address that is no file.
    context = chromium.new_context()
    page = context.new_page()
    page.route(
        "http://page.test/*",
        lambda route: route.fulfill(
            body=(PAGE / Path(route.request.url).name).read_bytes(),
            content_type="text/javascript"
            if route.request.url.endswith(".js")
            else "text/html",
        ),
    )
    page.goto("http://page.test/icon.svg")
    yield page
    context.close()


def in_browser(page: Any, preprocessing: Preprocessing, pixels: np.ndarray) -> Any:
    settings = page_steps(preprocessing, pixel_size=None)
    text = base64.b64encode(pixels.tobytes()).decode()
    found = page.evaluate(PREPROCESS, [settings, text, *pixels.shape])
    values = np.frombuffer(base64.b64decode(found), "float32")
    return values.reshape(*preprocessing.image_size, pixels.shape[-1])


def read_in_browser(
    page: Any, content: bytes, channels: int, transparency: str
) -> np.ndarray:
    text = base64.b64encode(content).decode()
    data, *size = page.evaluate(TO_PIXELS, [text, channels, transparency])
    pixels = np.frombuffer(base64.b64decode(data), "uint8")
    return pixels.reshape(*size, channels).astype(int)


@pytest.mark.parametrize("interpolation", get_args(Interpolation))
@pytest.mark.parametrize("size", [(32, 32), (260, 400), (20, 290)])
def test_pictures_are_resized_to_the_bit_as_pillow_does(page, interpolation, size):
    options = Preprocessing(
        image_size=size, resize="squash", interpolation=interpolation
    )
    np.testing.assert_array_equal(in_browser(page, options, PHOTO), options(PHOTO))


@pytest.mark.parametrize(
    "options",
    [
        {"image_size": 32, "crop_ratio": 0.875},
        {"image_size": (33, 50), "crop_ratio": 0.9},
        {"image_size": (50, 33), "crop_ratio": (0.9, 0.7), "crop_rounding": "down"},
        {"image_size": 64, "resize": "border", "mean": (0.5, 0.4, 0.3)},
        {"image_size": 33, "crop_ratio": 1.4},
        {"image_size": 32, "resize_dtype": "float32"},
        {"image_size": 32, "value_range": (0, 16), "std": (0.2, 0.3, 0.4)},
    ],
)
@pytest.mark.parametrize("pixels", [PHOTO, PHOTO[:40], PHOTO[:, :25]])
def test_the_page_preprocesses_as_the_model_does(page, options, pixels):
    preprocessing = Preprocessing(**options)
    found = in_browser(page, preprocessing, pixels)
    expected = preprocessing(Image.fromarray(pixels))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_a_picture_of_the_right_size_stays_as_it_is(page):
    options = Preprocessing(image_size=PHOTO.shape[:2])
    np.testing.assert_array_equal(in_browser(page, options, PHOTO), options(PHOTO))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def transparent() -> Image.Image:
    alpha = np.linspace(0, 255, PHOTO[..., 0].size).reshape(PHOTO.shape[:2])
    pixels = np.concatenate([PHOTO, alpha[..., None].astype("uint8")], axis=-1)
    return Image.fromarray(pixels)


PICTURES = {
    "rgb": encoded(Image.fromarray(PHOTO)),
    "grey": encoded(Image.fromarray(PHOTO).convert("L")),
    "palette": encoded(Image.fromarray(PHOTO).quantize(17)),
    "transparent": encoded(transparent()),
    "webp": encoded(Image.fromarray(PHOTO), "WEBP", lossless=True),
}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("transparency", ["drop", "white"])
def test_files_are_read_as_pillow_reads_them(page, name, channels, transparency):
    expected = Preprocessing(channels=channels, transparency=transparency).to_array(
        io.BytesIO(PICTURES[name])
    )
    found = read_in_browser(page, PICTURES[name], channels, transparency)
    # Pillow's composition rounds in two steps.
    atol = 1 if (name, transparency) == ("transparent", "white") else 0
    np.testing.assert_allclose(found, expected.astype(int), rtol=0, atol=atol)


def test_a_turned_photograph_is_turned_back(page):
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: a quarter turn.
    content = encoded(Image.fromarray(PHOTO), "JPEG", quality=95, exif=exif)
    expected = Preprocessing().to_array(io.BytesIO(content))
    found = read_in_browser(page, content, 3, "drop")
    assert found.shape == expected.shape == (301, 230, 3)
    assert (
        np.abs(found - expected).mean() < 1
    )  # JPEG decoders differ by a step here and there.
