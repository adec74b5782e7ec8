r"""The ViT example of keras.io and ours, trained on the same digits.

The example is not part of this repository: in keras-team/keras-io it is
`examples/vision/image_classification_with_vision_transformer.py`.
It runs as it is, but for its data, which are a download, the size to which it enlarges
them, and its number of epochs. Ours is a ViT of the same sizes, with the example's rate
and changes of pictures.

Command: KERAS_BACKEND=jax python benchmarks/keras_io_example.py EXAMPLE \
    --image-size 24 --epochs 30 --own-epochs 100
"""

from __future__ import annotations

import argparse
import os
import re
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np


def digits() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return the embedded digits as CIFAR-100 comes: uint8 (N, 32, 32, 3), (N, 1)."""
    import keras_vit

    data = keras_vit.load_data("digits")
    parts = []
    for part in (data.train, data.test):
        pixels = np.stack([part.read(i) for i in part.indices])  # (N, 8, 8, 1)
        large = pixels.repeat(4, axis=1).repeat(4, axis=2).repeat(3, axis=3)
        parts.append((large, part.all_labels[part.indices][:, np.newaxis]))
    return parts[0], parts[1]


def theirs(path: Path, size: int, epochs: int, parts: Any) -> tuple[float, int]:
    """Run the example; return its accuracy on the test part, and its parameters."""
    import keras
    import matplotlib

    matplotlib.use("Agg")
    source = path.read_text()
    for name, value in {"num_epochs": epochs, "image_size": size}.items():
        source, found = re.subn(
            rf"^{name} = \d+", f"{name} = {value}", source, flags=re.M
        )
        if found != 1:
            raise SystemExit(f"{path} has no line `{name} = ...`.")
    # The backend is the one that this script was started with.
    source = re.sub(r'^os\.environ\["KERAS_BACKEND"\].*$', "", source, flags=re.M)
    keras.datasets.cifar100.load_data = lambda: parts
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(source, str(path), "exec"), names)  # noqa: S102
    model = names["vit_classifier"]
    (_, _), (images, labels) = parts
    right = model.predict(images, verbose=0).argmax(-1) == labels[:, 0]
    return float(right.mean()), model.count_params()


def ours(size: int, epochs: int, parts: Any) -> tuple[float, int]:
    """Train a ViT of the example's sizes; return the same two."""
    import keras_vit

    (x_train, y_train), (x_test, y_test) = parts
    # The held-out tenth of the example is chosen by position, and so here.
    held = round(len(x_train) * 0.9)
    data = keras_vit.load_data(
        {
            "train": (x_train[:held], y_train[:held, 0]),
            "validation": (x_train[held:], y_train[held:, 0]),
            "test": (x_test, y_test[:, 0]),
        }
    )
    model = keras_vit.ViT(
        image_size=size,
        patch_size=6,
        hidden_dim=256,
        num_layers=8,
        num_heads=4,
        mlp_dim=512,
        num_classes=len(data.class_names),
        preprocessing=keras_vit.Preprocessing(image_size=size),
    )
    # The example's rate and changes of pictures; steps, schedule and decay are ours.
    recipe = keras_vit.Recipe(
        epochs=epochs,
        learning_rate=1e-3,
        augmentation=keras_vit.Augmentation(
            horizontal_flip=True, rotation=7.2, zoom=0.2
        ),
    )
    keras_vit.train(model, data, recipe)
    accuracy = keras_vit.evaluate(model, data, part="test").accuracy
    return float(accuracy or 0), model.count_params()


def main() -> None:
    """Train both and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("example", type=Path)
    parser.add_argument("--image-size", type=int, default=72)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--own-epochs", type=int, help="default: as many")
    options = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    parts = digits()
    size = options.image_size
    own_epochs = options.own_epochs or options.epochs
    print(f"{len(parts[0][0])} pictures, {len(parts[1][0])} for the test")
    rows = ["| | epochs | parameters | accuracy | seconds |\n|---|---|---|---|---|"]
    for name, epochs, run in (
        ("the example", options.epochs, partial(theirs, options.example)),
        ("keras_vit", own_epochs, ours),
    ):
        start = time.perf_counter()
        accuracy, parameters = run(size, epochs, parts)
        seconds = time.perf_counter() - start
        row = f"| {name} | {epochs} | {parameters:,} | {accuracy:.3f} | {seconds:.0f} |"
        rows.append(row)
    print("\n".join(rows))


if __name__ == "__main__":
    main()
