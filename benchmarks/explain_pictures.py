r"""The pictures of docs/explain.md, and the same of ten photographs to look at.

DINOv2 ViT-S/14 with its own weights (a folder in Hugging Face's layout), at 518 pixels,
on the photographs of scikit-learn (china, flower) and scikit-image.

Command: KERAS_BACKEND=torch python benchmarks/explain_pictures.py DINOV2 SKIMAGE_DATA \
    [--all FOLDER]
where SKIMAGE_DATA is `skimage/data` of an installed scikit-image.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
WIDTH = 960  # pixels of a picture of the docs
FILES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "camera.png")
MORE = ("motorcycle_left.png", "coins.png", "horse.png")
# Points on something that is to be found, (x, y), and where else it is to be found.
POINTS = {
    "coffee": (290, 130),
    "chelsea": (170, 130),
    "astronaut": (225, 110),
    "flower": (300, 210),
    "china": (190, 250),
    "camera": (235, 110),
    "motorcycle_left": (170, 340),
    "coins": (60, 60),
}
ACROSS = (("astronaut", "camera"), ("coins", "coffee"))


def photographs(folder: Path) -> dict[str, np.ndarray]:
    from PIL import Image
    from sklearn.datasets import load_sample_image

    found = {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
    for file in (*FILES, *MORE):
        with Image.open(folder / file) as image:
            found[Path(file).stem] = np.asarray(image.convert("RGB"))
    return found


def side_by_side(images: list[Any], height: int = 300) -> Any:
    """Return PIL images in a row, of one height, at most `WIDTH` wide."""
    from PIL import Image

    scaled = [i.resize((round(i.width * height / i.height), height)) for i in images]
    whole = Image.new("RGB", (sum(i.width + 8 for i in scaled) - 8, height), "white")
    left = 0
    for image in scaled:
        whole.paste(image, (left, 0))
        left += image.width + 8
    whole.thumbnail((WIDTH, height))
    return whole


def main() -> None:
    from PIL import Image

    import keras_vit

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="DINOv2 in Hugging Face's layout")
    parser.add_argument("data", type=Path, help="skimage/data")
    parser.add_argument("--all", type=Path, help="folder for what all pictures show")
    options = parser.parse_args()
    model = keras_vit.load(options.model)
    whole = replace(model.preprocessing, resize="squash", crop_ratio=1.0)
    pictures = photographs(options.data)
    common: dict[str, Any] = {"preprocessing": whole, "batch_size": 2}

    def of(names: list[str], **asked: Any) -> list[Any]:
        images = [pictures[name] for name in names]
        found = keras_vit.explain(model, images, **common, **asked)
        return [one.image() for one in found]

    def similar(name: str) -> Any:
        return of([name], method="similarity", point=POINTS[name])[0]

    def across(name: str) -> dict[str, Any]:
        return {"point": POINTS[name], "of": pictures[name]}

    if options.all:
        options.all.mkdir(parents=True, exist_ok=True)
        for kind, asked in {
            "components": {},
            "foreground": {"foreground": True},
        }.items():
            drawn = of([*pictures], method="components", **asked)
            for name, image in zip(pictures, drawn, strict=True):
                image.save(options.all / f"{name}_{kind}.png")
        for name in POINTS:
            similar(name).save(options.all / f"{name}_similarity.png")
        for first, second in ACROSS:
            [image] = of([second], method="similarity", **across(first))
            image.save(options.all / f"{first}_{second}_similarity.png")
        return
    FOLDER.mkdir(exist_ok=True)
    coffee, astronaut = of(["coffee", "astronaut"], method="components")
    given = [Image.fromarray(pictures[name]) for name in ("coffee", "astronaut")]
    ground = {"method": "components", "foreground": True}
    drawn = {
        "components": [given[0], coffee, given[1], astronaut],
        "foreground": of(["astronaut", "camera", "coins"], **ground),
        "similarity": [similar(name) for name in ("chelsea", "coffee", "coins")],
        "across": of(["camera"], method="similarity", **across("astronaut")),
    }
    for name, images in drawn.items():
        side_by_side(images).save(FOLDER / f"{name}.webp", quality=80)


if __name__ == "__main__":
    main()
