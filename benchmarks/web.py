"""A LiteRT file in the page, beside the native interpreter on one thread.

Takes a .keras or .tflite file, or exports a variant with random weights, writes the
page of `keras-vit demo`, opens it in headless Chromium (wasm) and lets it classify a
photograph again and again, in turn with the native interpreter on the same values. What
the page computes is compared with what the interpreter computes.

Command: taskset -c 0 python benchmarks/web.py [--model FILE | --variant S/16]
    [--quantization dynamic_int8] [--rounds 40] [--threads 1]
Takes about three minutes. Needs npm and Chromium. Target: ratio of dynamic_int8 <= 2.5.
Several threads need as many cores: leave `taskset -c 0` out, or name more cores. A
.tflite file is measured as it is, whatever --quantization says.
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
from keras_vit.inference.predictor import Predictor, load_predictor
from keras_vit.metadata import read_metadata

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

    def __init__(self, browser: Any, port: int, picture: Path, threads: int) -> None:
        self.page = browser.new_page()
        query = f"?accelerator=wasm&threads={threads}"
        self.page.goto(f"http://127.0.0.1:{port}/{query}")
        self.page.wait_for_selector("#file:enabled", timeout=120_000)
        self.picture = picture

    def threads(self) -> int:
        """Return how many threads run the model, as the page shows them."""
        return int(self.page.get_attribute("#facts", "data-threads"))

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


def write_site(options: argparse.Namespace, folder: Path) -> Path:
    """Write the page; a finished file takes no options of an export."""
    if options.model and options.model.suffix == ".tflite":
        return keras_vit.write_demo(options.model, folder)
    model = options.model or build(options.variant)
    return keras_vit.write_demo(
        model, folder, quantization=options.quantization, images=[PHOTO]
    )


def native(path: Path, image: np.ndarray) -> Any:
    """Return a function that runs the file and returns its outputs, (1, K)."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    runner = interpreter.get_signature_runner()
    metadata = read_metadata(path)
    given = {metadata["input"]["name"]: image[None]}
    return lambda: runner(**given)[metadata["output"]["name"]]


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


def difference(page: Page, predictor: Predictor, run: Any) -> float:
    """Return the largest difference of a probability that the page shows."""
    [expected] = predictor.probabilities(run())
    return max(abs(expected[i] - p) for i, p in page.probabilities().items())


def main() -> None:
    """Export, measure and print."""
    parser = argparse.ArgumentParser(description="A LiteRT file in the page.")
    parser.add_argument("--model", type=Path, help="a .keras or .tflite file")
    parser.add_argument("--variant", default="S/16")
    parser.add_argument("--quantization", default="dynamic_int8")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        site = write_site(options, Path(scratch) / "site")
        picture = Path(scratch) / "photo.png"
        Image.fromarray(PHOTO).save(picture)
        file = site / "model.tflite"
        predictor = load_predictor(file)
        run = native(file, predictor.prepare(PHOTO))
        server = serve(site)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = Page(browser, server.server_port, picture, options.threads)
        times = measure(page, run, options.rounds)
        error = difference(page, predictor, run)
        threads, version = page.threads(), browser.version
        browser.close()
        server.shutdown()
        size = file.stat().st_size / 1e6
        precision = read_metadata(file)["quantization"]
    print(
        "| model | precision | MB | native ms | page ms | ratio | quartiles | error |"
    )
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| {options.model or options.variant} | {precision} | {size:.1f} "
        f"| {describe(times)} | {error:.1e} |"
    )
    print(
        f"Chromium {version}, wasm, threads: {threads} in the page, 1 native; "
        f"{options.rounds} rounds"
    )


if __name__ == "__main__":
    main()
