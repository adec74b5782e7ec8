"""A LiteRT file in the page, beside the native interpreter on one thread.

Exports a variant with random weights, writes the page of `keras-vit demo`, opens it in
headless Chromium (wasm, one thread) and lets it classify a photograph again and again,
in turn with the native interpreter on the same values. What the page computes is
compared with what the interpreter computes.

Command: taskset -c 0 python benchmarks/web.py [--variant S/16]
    [--quantization dynamic_int8] [--rounds 40]
Takes about three minutes. Needs npm and Chromium. Target: ratio of dynamic_int8 <= 2.5.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from paired_timing import describe
from PIL import Image
from sklearn.datasets import load_sample_images

import keras_vit

PHOTO = load_sample_images().images[0]
NUM_WARM_UPS = 8  # The browser compiles what is called often a second time.


def build(variant: str) -> keras_vit.ViT:
    """Return a model whose logits differ between images and are of order one."""
    keras.utils.set_random_seed(0)
    model = keras_vit.ViT.from_variant(variant, preprocessing=keras_vit.Preprocessing())
    kernel = model.get_layer("head").logits.kernel
    rng = np.random.default_rng(0)
    kernel.assign(rng.normal(0, kernel.shape[0] ** -0.5, size=kernel.shape))
    return model


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """A handler that prints nothing."""

    def log_message(self, *arguments: Any) -> None:
        """Print nothing."""


def serve(folder: Path) -> http.server.ThreadingHTTPServer:
    """Return a running server of a folder."""
    handler = functools.partial(QuietHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Page:
    """The page, after its model is loaded."""

    def __init__(self, browser: Any, port: int, picture: Path) -> None:
        self.page = browser.new_page()
        self.page.goto(f"http://127.0.0.1:{port}/?accelerator=wasm")
        self.page.wait_for_selector("#file:enabled", timeout=120_000)
        self.picture = picture

    def seconds(self) -> float:
        """Classify the picture; return seconds in the model, as the page shows them."""
        self.page.evaluate("document.getElementById('time').dataset.model = ''")
        self.page.set_input_files("#file", self.picture)
        self.page.wait_for_function("document.getElementById('time').dataset.model")
        return float(self.page.get_attribute("#time", "data-model")) / 1e3

    def probabilities(self) -> dict[int, float]:
        """Return the five highest, by class."""
        items = self.page.eval_on_selector_all(
            "#results li",
            "items => items.map((i) => [i.dataset.index, i.dataset.probability])",
        )
        return {int(index): float(p) for index, p in items}


def native(path: Path, values: np.ndarray) -> Any:
    """Return a function that runs the file on one thread and returns its logits."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    runner = interpreter.get_signature_runner()
    return lambda: runner(images=values)["logits"]


def measure(page: Page, run: Any, rounds: int) -> np.ndarray:
    """Return seconds, (rounds, 2): of the interpreter and of the page, in turn."""
    for _ in range(NUM_WARM_UPS):
        run()
        page.seconds()
    times = np.zeros((rounds, 2))
    for i in range(rounds):
        start = time.perf_counter()
        run()
        times[i] = time.perf_counter() - start, page.seconds()
    return times


def difference(page: Page, run: Any) -> float:
    """Return the largest difference of a probability that the page shows."""
    logits = run()[0].astype("float64")
    expected = np.exp(logits - logits.max())
    expected /= expected.sum()
    return max(abs(expected[i] - p) for i, p in page.probabilities().items())


def main() -> None:
    """Export, measure and print."""
    parser = argparse.ArgumentParser(description="A LiteRT file in the page.")
    parser.add_argument("--variant", default="S/16")
    parser.add_argument("--quantization", default="dynamic_int8")
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    model = build(options.variant)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        site = keras_vit.write_demo(
            model,
            Path(scratch) / "site",
            quantization=options.quantization,
            images=[PHOTO],
        )
        picture = Path(scratch) / "photo.png"
        Image.fromarray(PHOTO).save(picture)
        run = native(site / "model.tflite", model.preprocessing(PHOTO)[None])
        server = serve(site)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = Page(browser, server.server_port, picture)
        times = measure(page, run, options.rounds)
        error = difference(page, run)
        version = browser.version
        browser.close()
        server.shutdown()
        size = (site / "model.tflite").stat().st_size / 1e6
    print(
        "| variant | precision | MB | native ms | page ms | ratio | quartiles | error |"
    )
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| {options.variant} | {options.quantization} | {size:.1f} "
        f"| {describe(times)} | {error:.1e} |"
    )
    print(f"Chromium {version}, wasm, one thread, {options.rounds} rounds")


if __name__ == "__main__":
    main()
