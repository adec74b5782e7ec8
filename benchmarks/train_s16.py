"""Train S/16 on real images, for the benchmarks of exported files.

scikit-learn's digits, scans of handwriting of 8 x 8 pixels, as colour pictures: 30
epochs at 64 pixels, then two at 224 from the resized model. A third of the images is
held out, and its accuracy printed. What a page, a phone or an interpreter takes for an
image does not depend on what the image shows.

Command: KERAS_BACKEND=jax python benchmarks/train_s16.py --output s16.keras
Takes about 15 minutes on two cores.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import keras
import numpy as np

import keras_vit

RECIPE = keras_vit.Recipe(
    epochs=30,
    batch_size=32,
    learning_rate=4e-4,
    warmup_epochs=2,
    weight_decay=0.05,
    label_smoothing=0.05,
    augmentation=keras_vit.Augmentation(rotation=10.0, translation=0.05, zoom=0.1),
)


def colour_digits() -> keras_vit.ImageData:
    """Return the digits in colour, uint8 (8, 8, 3), with a held-out third."""
    data = keras_vit.load_data("digits")
    parts = {}
    for name in ("train", "test"):
        part = data.part(name)
        grey = np.stack([np.asarray(p).reshape(8, 8, 1) for p in part.pictures()])
        pixels = (grey * (255 / 16)).round().astype("uint8").repeat(3, axis=-1)
        parts[name] = pixels, np.asarray(part.labels)
    names = data.class_names
    return keras_vit.load_data(parts, class_names=names, validation_fraction=0.0)


def main() -> None:
    """Train, evaluate and save."""
    parser = argparse.ArgumentParser(description="Train S/16 on the digits.")
    parser.add_argument("--output", required=True)
    options = parser.parse_args()
    data = colour_digits()
    keras.utils.set_random_seed(0)
    model = keras_vit.ViT.from_variant(
        "S/16",
        image_size=64,
        num_classes=len(data.class_names),
        preprocessing=keras_vit.Preprocessing(image_size=(64, 64)),
    )
    keras_vit.train(model, data, RECIPE, verbose=0)
    print(f"64 pixels: accuracy {keras_vit.evaluate(model, data)['accuracy']:.4f}")
    model = keras_vit.resize(model, image_size=224)
    fine = replace(RECIPE, epochs=2, warmup_epochs=0, learning_rate=1e-4)
    keras_vit.train(model, data, fine, verbose=0)
    print(f"224 pixels: accuracy {keras_vit.evaluate(model, data)['accuracy']:.4f}")
    model.save(options.output)


if __name__ == "__main__":
    main()
