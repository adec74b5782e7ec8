"""The same logits as vit-keras from the same `.npz` file, at B/32.

Needs what the suite does not: pip install vit-keras==0.2.0

    KERAS_BACKEND=tensorflow python benchmarks/parity_vit_keras.py
"""

import tempfile
from pathlib import Path

import keras
import numpy as np
from vit_keras import utils, vit

import keras_vit


def main() -> None:
    """Print the largest difference, relative to the largest logit."""
    rng = np.random.default_rng(0)
    model = keras_vit.ViT.from_variant("B/32", num_classes=1000, activation="gelu_tanh")
    model.set_weights([0.05 * rng.normal(size=w.shape) for w in model.get_weights()])
    theirs = vit.vit_b32(pretrained=False, pretrained_top=False, classes=1000)
    with tempfile.TemporaryDirectory() as folder:
        keras_vit.save(model, Path(folder) / "saved", format="npz")
        [path] = Path(folder).glob("saved/*.npz")
        utils.load_weights_numpy(theirs, str(path), True, 7, 7)
        ours = {
            "gelu_tanh, as in Google's code": keras_vit.load(path),
            "gelu, as in vit-keras": keras_vit.load(path, activation="gelu"),
        }
    images = rng.uniform(-1, 1, (4, 224, 224, 3)).astype("float32")
    expected = keras.ops.convert_to_numpy(theirs(images))
    for name, model in ours.items():
        difference = abs(keras.ops.convert_to_numpy(model(images)) - expected).max()
        print(f"{name}: {difference / abs(expected).max():.1e}")


if __name__ == "__main__":
    main()
