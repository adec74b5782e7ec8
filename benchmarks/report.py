"""The size of error reports, how fast Chromium opens them, and who can read them.

Makes the report of 2,000 pictures in 3 classes (a ViT with random weights, with heat
maps, next to a second model) and of 5,000 pictures in 300 classes (random features).
The pictures are noise, which compresses worst. Each page is opened in headless Chromium
at 375 and 1280 pixels, light and dark: time until everything is laid out, width of the
page, violations of axe-core, contrast of text and ground.

Command: python benchmarks/report.py [--output FOLDER] [--screenshots]
Takes about three minutes on two cores. Needs Chromium and npm, which fetches axe-core.
Target: <= 10 MB, < 1 s, no wider than the window, no violation, contrast >= 4.5.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from playwright.sync_api import sync_playwright

import keras_vit
from keras_vit.inference.predictor import Predictor

sys.path.insert(0, str(Path(__file__).parent.parent))

CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser")
SIZES = (224, 112)  # pixels of the pictures of 3 and of 300 classes


def noise(
    count: int, num_classes: int, size: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures of noise that hold their class in the first two pixels."""
    rng = np.random.default_rng(seed)
    labels = np.sort(rng.integers(0, num_classes, count))
    pixels = rng.integers(0, 256, (count, size, size, 3), dtype="uint8")
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = labels // 256, labels % 256
    return pixels, labels


def random_features(num_classes: int) -> Predictor:
    """Return what tells classes by random features: near ones are confused."""
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(num_classes // 6, 64)), 6, axis=0)
    features = centres + 0.5 * rng.normal(size=(num_classes, 64))

    def run(images: np.ndarray) -> np.ndarray:
        labels = (images[:, 0, 0, 0] * 256 + images[:, 0, 0, 1]).round().astype(int)
        seen = features[labels] + 0.8 * rng.normal(size=(len(labels), 64))
        return 0.3 * seen @ features.T

    return Predictor(
        name="random features",
        run=run,
        preprocessing=keras_vit.Preprocessing(
            image_size=SIZES[1], mean=0.0, std=1 / 255, crop_ratio=1.0
        ),
        class_names=tuple(f"class {i:03}" for i in range(num_classes)),
    )


def random_vit(seed: int) -> keras_vit.ViT:
    """Return a small model that answers at random, in the same way each time."""
    model = keras_vit.ViT.from_variant(
        "test",
        image_size=32,
        num_classes=3,
        class_names=("good", "local", "global"),
        preprocessing=keras_vit.Preprocessing(image_size=32),
    )
    rng = np.random.default_rng(seed)
    model.set_weights([0.3 * rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def three_classes(path: Path) -> Path:
    pixels, labels = noise(2000, 3, SIZES[0], 1)
    data = keras_vit.load_data(
        (pixels, labels),
        class_names=("good", "local", "global"),
        groups=[f"machine {i % 7}" for i in range(len(labels))],
        validation_fraction=0,
    )
    found = keras_vit.evaluate(random_vit(0), data)
    return found.report(path, against=random_vit(1), near_duplicates=False)


def many_classes(path: Path) -> Path:
    pixels, labels = noise(5000, 300, SIZES[1], 2)
    model = random_features(300)
    data = keras_vit.load_data(
        (pixels, labels), class_names=model.class_names, validation_fraction=0
    )
    return keras_vit.evaluate(model, data).report(path, near_duplicates=False)


def look(
    browser: Any, page: Path, axe: tuple[str, str], width: int, scheme: str, shot: bool
) -> str:
    """Open a page and return what was seen, in a line.

    Args:
        browser: of playwright.
        page: the file.
        axe: scripts of axe-core and of the lowest contrast.
        width: of the window, pixels.
        scheme: "light" or "dark".
        shot: whether a picture of it is kept beside it.
    """
    script, contrasts = axe
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    tab = context.new_page()
    start = time.perf_counter()
    tab.goto(page.as_uri(), wait_until="load")
    tab.evaluate("document.body.offsetHeight")
    seconds = time.perf_counter() - start
    wide = tab.evaluate("document.documentElement.scrollWidth")
    tab.add_script_tag(content=script)
    found = tab.evaluate("axe.run(document, {resultTypes: ['violations']})")
    names = [one["id"] for one in found["violations"]]
    if shot:
        tab.screenshot(
            path=page.with_name(f"{page.stem}_{width}_{scheme}.png"), full_page=True
        )
    lowest, _ = tab.evaluate(contrasts)
    context.close()
    seen = f"{width:>5} {scheme:<6} {seconds:>6.2f} s  {wide:>5} wide"
    return f"{seen}  contrast {lowest:.1f}  axe-core: {names or 'no violation'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--screenshots", action="store_true")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    folder = options.output or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    pages = []
    for name, make in (("3_classes", three_classes), ("300_classes", many_classes)):
        path = folder / f"{name}.html"
        path.unlink(missing_ok=True)
        start = time.perf_counter()
        pages.append(make(path))
        print(f"{name}: made in {time.perf_counter() - start:.1f} s, all told")
    from tests.web.axe import CONTRASTS, axe_source

    axe = (axe_source(), CONTRASTS)
    executable = next(path for path in CHROMIUM if Path(path).exists())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox"]
        )
        for page in pages:
            print(f"\n{page.name}: {page.stat().st_size / 1e6:.2f} MB")
            for width in (375, 1280):
                for scheme in ("light", "dark"):
                    print(look(browser, page, axe, width, scheme, options.screenshots))
        browser.close()


if __name__ == "__main__":
    main()
