r"""README's picture: the exported page on a phone, with heat maps of photographs.

DINOv2 ViT-S/14 with its own weights (a folder in Hugging Face's layout) gets a head
that knows seven things from crops of photographs of scikit-learn and scikit-image.
`write_demo` writes the page, Chromium opens it as wide as a phone, and is given whole
photographs.

Command: KERAS_BACKEND=torch python benchmarks/phone_picture.py DINOV2 SKIMAGE_DATA
where SKIMAGE_DATA is `skimage/data` of an installed scikit-image. Needs playwright,
Chromium and npm.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import io
import shutil
import tempfile
import threading
from pathlib import Path

import numpy as np
from explain_pictures import photographs

OUTPUT = Path(__file__).parent.parent / "docs" / "pictures" / "phone.webp"
THINGS = {
    "cat": "chelsea",
    "coffee": "coffee",
    "person": "astronaut",
    "coins": "coins",
    "motorcycle": "motorcycle_left",
    "flower": "flower",
    "temple": "china",
}
SHOWN = ("cat", "coffee", "flower")
CROPS = 8  # of each photograph
SIZE = {"width": 375, "height": 667}  # of a small phone, in CSS pixels
WIDTH = 960  # pixels of the picture


def crops(picture: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Return random parts of a picture, from half to nine tenths of its sides."""
    found = []
    for _ in range(CROPS):
        rows, columns = (
            int(side * rng.uniform(0.5, 0.9)) for side in picture.shape[:2]
        )
        top = rng.integers(picture.shape[0] - rows + 1)
        left = rng.integers(picture.shape[1] - columns + 1)
        found.append(picture[top : top + rows, left : left + columns])
    return found


def screenshots(page_folder: Path, pictures: list[np.ndarray]) -> list[bytes]:
    """Return what the page shows of each picture on a phone."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(page_folder)
    )
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    taken = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for picture in pictures:
            page = browser.new_page(viewport=SIZE, device_scale_factor=2)
            page.goto(f"http://127.0.0.1:{server.server_port}")
            page.wait_for_selector("#file:enabled", timeout=120_000)
            content = io.BytesIO()
            Image.fromarray(picture).save(content, "PNG")
            file = {"name": "p.png", "mimeType": "image/png"}
            page.set_input_files("#file", {**file, "buffer": content.getvalue()})
            page.wait_for_selector("#results li", timeout=120_000)
            page.wait_for_timeout(1000)  # until the bars have grown
            taken.append(page.screenshot())
            page.close()
        browser.close()
    server.shutdown()
    return taken


def phones(images: list[bytes], height: int = 760) -> object:
    """Return screenshots side by side, each in the shape of a phone."""
    from PIL import Image, ImageDraw

    edge, radius, gap = 14, 46, 60
    screens = [Image.open(io.BytesIO(image)).convert("RGB") for image in images]
    screens = [s.resize((round(s.width * height / s.height), height)) for s in screens]
    width = screens[0].width + 2 * edge
    whole = Image.new(
        "RGBA", ((width + gap) * len(screens) - gap, height + 2 * edge), (0, 0, 0, 0)
    )
    draw = ImageDraw.Draw(whole)
    for number, screen in enumerate(screens):
        left = number * (width + gap)
        box = (left, 0, left + width - 1, height + 2 * edge - 1)
        draw.rounded_rectangle(box, radius, fill=(40, 40, 44, 255))
        mask = Image.new("L", screen.size, 0)
        corners = (0, 0, screen.width - 1, screen.height - 1)
        ImageDraw.Draw(mask).rounded_rectangle(corners, radius - edge, fill=255)
        whole.paste(screen, (left + edge, edge), mask)
    whole.thumbnail((WIDTH, WIDTH))
    return whole


def main() -> None:
    """Fit, write the page, look at it, and write the picture."""
    import keras_vit

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="DINOv2 in Hugging Face's layout")
    parser.add_argument("data", type=Path, help="skimage/data")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    found = photographs(options.data)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        from PIL import Image

        for thing, file in THINGS.items():
            (folder / "crops" / thing).mkdir(parents=True)
            for number, crop in enumerate(crops(found[file], rng)):
                Image.fromarray(crop).save(folder / "crops" / thing / f"{number}.png")
        data = keras_vit.load_data(folder / "crops")
        backbone = keras_vit.load(options.model, image_size="preprocessing")
        model = keras_vit.fit_head(backbone, data)
        keras_vit.write_demo(
            model,
            folder / "page",
            title="What is it?",
            quantization="dynamic_int8",
            images=[found[THINGS[thing]] for thing in SHOWN],
        )
        shown = [found[THINGS[thing]] for thing in SHOWN]
        phones(screenshots(folder / "page", shown)).save(
            options.output, quality=88, method=6
        )


if __name__ == "__main__":
    main()
