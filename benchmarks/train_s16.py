"""Train S/16 on photographs, for the benchmarks of exported files.

Which of 18 photographs is a piece of 160 pixels from? Those that scikit-image and
scikit-learn bring along; pieces of the left 60 % to train on, of the rest to judge by,
so that no pixel is in both. Trained from random weights at 224 pixels, three quarters
of the patches dropped but in the last epochs, so that it takes minutes and not hours.
The accuracy is printed.

Command: pip install scikit-image
    KERAS_BACKEND=jax python benchmarks/train_s16.py --output s16.keras
Takes about a quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import keras
import numpy as np

import keras_vit

NAMES = (
    *("astronaut", "brick", "camera", "cell", "chelsea", "coffee", "coins", "grass"),
    *("gravel", "hubble_deep_field", "immunohistochemistry", "moon", "page", "retina"),
    *("rocket", "stereo_motorcycle", "china", "flower"),
)
SIDE = 160  # pixels of a piece
PIECES = {"train": 40, "test": 20}  # of each photograph
RECIPE = keras_vit.Recipe(
    epochs=12,
    batch_size=32,
    learning_rate=5e-4,
    warmup_epochs=1,
    label_smoothing=0.1,
    patch_dropout_rate=0.75,
    augmentation=keras_vit.Augmentation(crop_area=(0.4, 1.0), horizontal_flip=True),
)


def photographs() -> list[np.ndarray]:
    """Return the photographs, uint8 (H, W, 3), at least 320 pixels high."""
    from PIL import Image
    from skimage import data
    from sklearn.datasets import load_sample_images

    found = []
    for name in NAMES[:-2]:
        pixels = getattr(data, name)()
        pixels = pixels[0] if isinstance(pixels, tuple) else pixels
        picture = Image.fromarray(pixels).convert("RGB")
        factor = max(1.0, 320 / min(picture.size))
        size = (round(picture.width * factor), round(picture.height * factor))
        found.append(np.asarray(picture.resize(size, Image.Resampling.BICUBIC)))
    return [*found, *load_sample_images().images]


def pieces() -> keras_vit.ImageData:
    """Return pieces of the photographs, labelled with the one that they are from."""
    rng = np.random.default_rng(0)
    parts = {}
    for part, count in PIECES.items():
        images, labels = [], []
        for label, photo in enumerate(photographs()):
            border = round(0.6 * photo.shape[1])
            half = photo[:, :border] if part == "train" else photo[:, border:]
            side = min(SIDE, half.shape[1])
            for _ in range(count):
                top = int(rng.integers(half.shape[0] - side + 1))
                left = int(rng.integers(half.shape[1] - side + 1))
                images.append(half[top : top + side, left : left + side])
                labels.append(label)
        parts[part] = images, np.array(labels)
    return keras_vit.load_data(parts, class_names=NAMES, validation_fraction=0.0)


def main() -> None:
    """Train, evaluate and save."""
    parser = argparse.ArgumentParser(description="Train S/16 on photographs.")
    parser.add_argument("--output", required=True)
    options = parser.parse_args()
    data = pieces()
    keras.utils.set_random_seed(0)
    model = keras_vit.ViT.from_variant(
        "S/16",
        num_classes=len(NAMES),
        patch_dropout_rate=RECIPE.patch_dropout_rate,
        preprocessing=keras_vit.Preprocessing(),
    )
    keras_vit.train(model, data, RECIPE, verbose=2)
    print(f"some patches: accuracy {keras_vit.evaluate(model, data).accuracy:.4f}")
    whole = replace(
        RECIPE, epochs=2, warmup_epochs=0, learning_rate=1e-4, patch_dropout_rate=0.0
    )
    keras_vit.train(model, data, whole, verbose=2)
    print(f"all patches: accuracy {keras_vit.evaluate(model, data).accuracy:.4f}")
    model.save(options.output)


if __name__ == "__main__":
    main()
