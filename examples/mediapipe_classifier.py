"""Open an exported file with MediaPipe Tasks, as the apps in android/ and ios/ do.

    keras-vit export MODEL --profile mobile --output model.tflite
    python examples/mediapipe_classifier.py model.tflite cat.jpg dog.jpg

Needs `pip install mediapipe` and nothing of this package: MediaPipe reads size,
normalization and class names in the file. Prints the five most probable classes of each
picture. `--smoke PATH` exports a tiny untrained model to PATH and compares its
probabilities with Keras's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

PICTURES = Path(__file__).parent / "images"


def classify(path: str, pictures: list[np.ndarray]) -> list[dict[str, float]]:
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.ImageClassifierOptions(
        base_options=BaseOptions(model_asset_path=path), max_results=5
    )
    found = []
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for picture in pictures:
            image = mediapipe.Image(
                image_format=mediapipe.ImageFormat.SRGB, data=picture
            )
            (head,) = classifier.classify(image).classifications
            found.append({c.category_name: c.score for c in head.categories})
    return found


def read(path: str | Path, size: tuple[int, int] | None = None) -> np.ndarray:
    from PIL import Image

    picture = Image.open(path).convert("RGB")
    return np.array(picture.resize(size) if size else picture)


def smoke(path: str) -> None:
    import keras_vit

    model = keras_vit.ViT.from_variant(
        "test",
        num_classes=3,
        class_names=["ant", "bee", "cat"],
        preprocessing=keras_vit.Preprocessing(image_size=32),
    )
    rng = np.random.default_rng(0)
    model.set_weights([0.2 * rng.normal(size=w.shape) for w in model.get_weights()])
    keras_vit.export(model, path, profile="mobile")
    # As large as the model's pictures, so that both see the same pixels.
    pictures = [read(p, (32, 32)) for p in sorted(PICTURES.glob("*.*g"))]
    found = classify(path, pictures)
    for one, other in zip(found, keras_vit.predict(model, pictures), strict=True):
        expected = [p.probability for p in other]
        np.testing.assert_allclose(
            [one[str(p.class_name)] for p in other], expected, atol=1e-3
        )
    print(f"MediaPipe and Keras agree on {len(pictures)} pictures")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    if sys.argv[1] == "--smoke":
        smoke(sys.argv[2])
    else:
        file, *paths = sys.argv[1:]
        for name, classes in zip(
            paths, classify(file, [read(p) for p in paths]), strict=True
        ):
            print(name, {label: round(score, 4) for label, score in classes.items()})
