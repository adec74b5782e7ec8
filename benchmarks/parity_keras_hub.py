"""Parity with KerasHub for each of its plain ViTs, and with the forms of `.npz` files.

KerasHub writes each model, small and with random weights, to a preset folder itself;
`keras_vit.load` reads the folder. The `.npz` files are synthetic and the expected
logits come from a forward pass in NumPy, `tests/checkpoints/google/test_open.py`.
Error: largest difference of the outputs, relative to the largest output.

Command: KERAS_BACKEND=jax python benchmarks/parity_keras_hub.py [--only WILDCARD]
[--all]
Takes about 1 minute per backend on two cores. Target: all below 1e-4.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from backends import run_on_each_backend

sys.path.insert(0, str(Path(__file__).parent.parent))
TOLERANCE = 1e-4


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    if actual.shape != expected.shape:
        raise ValueError(f"shapes differ: {actual.shape} and {expected.shape}")
    return float(abs(actual - expected).max() / abs(expected).max())


def check_backbone(name: str, folder: Path) -> float:
    """Return the error of what a backbone or encoder returns."""
    import keras

    import keras_vit
    from tests.checkpoints.keras_hub import test_open as hub

    peer = hub.BACKBONES[name]()
    hub.randomize(peer)
    peer.save_to_preset(str(folder))
    images = hub.make_images(peer)
    actual = keras.ops.convert_to_numpy(keras_vit.load(folder)(images))
    return relative_error(actual, hub.hub_call(peer, images))


def check_classifier(name: str, folder: Path) -> float:
    """Return the error of a classifier's logits."""
    import keras

    import keras_vit
    from tests.checkpoints.keras_hub import test_open as hub

    peer = hub.make_classifier(name)
    peer.save_to_preset(str(folder))
    images = hub.make_images(peer.backbone)
    actual = keras.ops.convert_to_numpy(keras_vit.load(folder)(images))
    return relative_error(actual, hub.hub_call(peer, images))


def check_npz(name: str, folder: Path) -> float:
    """Return the error of the logits from one form of `.npz` file."""
    import keras

    import keras_vit
    from tests.checkpoints.google import test_open as npz

    options, change = npz.FORMS[name]
    arrays = npz.make_arrays(**options)
    np.savez(folder / "model.npz", **change(arrays))
    arrays.update({"head/bias": np.zeros(5)} if name == "lit" else {})
    size = {"image_size": npz.SIZE} if name == "sincos" else {}
    images = npz.make_images(options.get("channels", 3))
    model = keras_vit.load(folder / "model.npz", **size)
    actual = keras.ops.convert_to_numpy(model(images))
    return relative_error(actual, npz.forward(arrays, images))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="*", help="wildcard of names")
    parser.add_argument("--all", action="store_true", help="all three backends")
    options = parser.parse_args()
    if options.all:
        run_on_each_backend(__file__, "--only", options.only)
        return
    import keras

    from tests.checkpoints.google import test_open as npz
    from tests.checkpoints.keras_hub import test_open as hub

    kinds: dict[str, tuple[list[str], Callable[[str, Path], float]]] = {
        "KerasHub backbones": (list(hub.BACKBONES), check_backbone),
        "KerasHub classifiers": (list(hub.CLASSIFIERS), check_classifier),
        "npz": (list(npz.FORMS), check_npz),
    }
    for kind, (names, check) in kinds.items():
        names = [name for name in names if fnmatch(name, options.only)]
        good, worst = 0, 0.0
        for name in names:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    error = check(name, Path(folder))
                except Exception as error:  # Count it and go on.
                    print(f"{name}: {type(error).__name__}: {error}", flush=True)
                    if options.only == name:
                        traceback.print_exc()
                    continue
            keras.backend.clear_session()
            if error < TOLERANCE:
                good, worst = good + 1, max(worst, error)
            else:
                print(f"{kind}: {name}: error {error:.1e}", flush=True)
        backend = keras.backend.backend()
        print(f"| {kind} | {backend} | {good} of {len(names)} | {worst:.1e} |")


if __name__ == "__main__":
    main()
