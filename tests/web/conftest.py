"""A real browser, and pages to open in it."""

from __future__ import annotations

import functools
import http.server
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

import keras_vit
from keras_vit import Preprocessing
from tests.pictures import digit_pictures

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",  # Containers have none to offer.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
PHOTOS = load_sample_images().images


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Headless Chromium, driven by playwright."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def npm() -> None:
    """Skip where the npm packages cannot be had: pages hold some of them."""
    command = shutil.which("npm")
    if command is None:
        pytest.skip("needs npm: apt-get install npm")
    asked = [command, "view", "@litertjs/core", "version", "--loglevel=error"]
    if subprocess.run(asked, capture_output=True, timeout=120).returncode:
        pytest.skip("needs an npm registry that holds @litertjs/core")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Print nothing."""


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Return a function that serves a folder and returns its address."""
    servers = []

    def start(folder: Path) -> str:
        handler = functools.partial(_Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def with_random_weights(model: keras_vit.ViT) -> keras_vit.ViT:
    """Return the model, with probabilities that differ between pictures."""
    rng = np.random.default_rng(0)
    model.set_weights([0.2 * rng.normal(size=w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="session")
def photo_model() -> keras_vit.ViT:
    """A model of photographs with a class token, not square."""
    model = keras_vit.ViT.from_variant(
        "test",
        image_size=(40, 32),
        num_classes=7,
        class_names=["ant", "bee", "cat", "dog", "elk", "fox", "gnu"],
        preprocessing=Preprocessing(
            image_size=(40, 32), crop_ratio=0.9, mean=(0.5, 0.4, 0.3)
        ),
    )
    return with_random_weights(model)


@pytest.fixture(scope="session")
def photo_site(npm, photo_model, tmp_path_factory) -> Path:
    """The page of that model, with its attention map."""
    folder = tmp_path_factory.mktemp("web") / "site"
    return keras_vit.write_demo(
        photo_model, folder, title="Animals", attention=True, images=PHOTOS
    )


@pytest.fixture(scope="session")
def digits_model() -> keras_vit.ViT:
    """A grey model that averages its tokens, made for values up to 16."""
    model = keras_vit.ViT.from_variant(
        "digits",
        num_layers=1,
        num_classes=10,
        preprocessing=Preprocessing(
            image_size=16,
            channels=1,
            value_range=(0, 16),
            interpolation="bilinear",
        ),
    )
    return with_random_weights(model)


@pytest.fixture(scope="session")
def digits_file(digits_model, tmp_path_factory) -> Path:
    """Its `.tflite` file."""
    path = tmp_path_factory.mktemp("digits") / "digits.tflite"
    pictures = [picture for picture, _ in digit_pictures(10)]
    keras_vit.export(digits_model, path, images=pictures, report=False)
    return path
