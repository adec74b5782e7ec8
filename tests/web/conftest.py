"""A real browser, and pages to open in it."""

from __future__ import annotations

import functools
import http.server
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
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
TIMEOUT = 60_000  # milliseconds, for machines that do other things
# Playwright cannot hold or change what a service worker fetches.
WITHOUT_WORKER = {"service_workers": "block"}
PHOTOS = load_sample_images().images


@pytest.fixture(scope="session")
def launch(request) -> Callable[..., Any]:
    """Return a function that starts headless Chromium, driven by playwright."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    playwright = request.getfixturevalue("playwright")

    def start(*arguments: str) -> Any:
        return playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*ARGUMENTS, *arguments]
        )

    return start


@pytest.fixture(scope="session")
def chromium(launch) -> Iterator[Any]:
    """Headless Chromium."""
    browser = launch()
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def gpu_chromium(launch) -> Iterator[Any]:
    """Headless Chromium with WebGPU, which SwiftShader computes on the processor."""
    browser = launch("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")
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


class Server(http.server.ThreadingHTTPServer):
    """A running server of a folder, until it is closed.

    Args:
        folder: what it serves.
        headers: what it says beside what every server of files says.
        header_path: the one path for which it says so. Default: all.
    """

    def __init__(
        self,
        folder: Path,
        headers: Mapping[str, str] = MappingProxyType({}),
        header_path: str | None = None,
    ) -> None:
        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *arguments: Any) -> None:
                """Print nothing."""

            def end_headers(self) -> None:
                if header_path in (None, self.path):
                    for name, value in headers.items():
                        self.send_header(name, value)
                super().end_headers()

        handler = functools.partial(Handler, directory=str(folder))
        super().__init__(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server_port}/"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Answer no more; the second time, do nothing."""
        self.shutdown()
        self.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Return a function that serves a folder, as `Server` does."""
    servers = []

    def start(*arguments: Any, **options: Any) -> Server:
        servers.append(Server(*arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def watch(page: Any, address: str, problems: list[str]) -> None:
    """Note the errors of a page, and what it asks another server for."""
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda message: message.type == "error" and problems.append(message.text),
    )
    page.on(
        "request",
        lambda request: (
            request.url.startswith((address, "blob:", "data:"))
            or problems.append(request.url)
        ),
    )


@pytest.fixture
def visit(npm, chromium, serve) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a page; in the end, nothing must have gone wrong."""
    contexts, problems = [], []

    def start(
        folder: Path | Server, *, query: str = "", wait: bool = True, **options: Any
    ) -> Any:
        server = folder if isinstance(folder, Server) else serve(folder)
        browser, script = options.pop("browser", chromium), options.pop("script", "")
        context = browser.new_context(**WITHOUT_WORKER | options)
        contexts.append(context)
        context.add_init_script(script)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT)
        watch(page, server.address, problems)
        page.goto(server.address + query)
        if wait:
            page.wait_for_selector("#file:enabled")
        return page

    yield start
    for context in contexts:
        context.close()
    assert not problems


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
