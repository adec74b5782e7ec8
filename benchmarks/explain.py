"""What a map costs: time of one picture, over that of a pass through the model.

S/16 at 224 pixels. Attention methods and those of patches are compared with a forward
pass, gradient methods with a forward and backward pass (the gradient of a logit with
respect to the picture), each in turn with its peer, without reading, compiling and
drawing. The model attends by its fastest op; maps need the weights of attention.

Command: taskset -c 0 python benchmarks/explain.py [--rounds N] [--all]
Target: at most 4 forward passes, and at most 3 forward and backward passes.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from backends import run_on_each_backend
from paired_timing import Step, describe, paired_times

ATTENTION = ("rollout", "attention", "token_norms", "components", "similarity")
GRADIENTS = ("relevance", "grad_cam")


def reader(model: Any, method: str, pixels: np.ndarray, taken: np.ndarray) -> Step:
    """Return what makes the map of one picture."""
    from keras_vit.explaining.methods import METHODS, check_asked
    from keras_vit.explaining.needs import Asked
    from keras_vit.inference.predictor import load_predictor

    point = (5, 5) if method == "similarity" else None
    asked = Asked(model=model, method=method, point=point)
    check_asked(asked)
    row = METHODS[method]
    read = row.open(asked, load_predictor(model))

    def run() -> object:
        maps = list(read([pixels], taken)[1])
        return maps if row.finish is None else row.finish(asked, maps)

    return run


def forward_backward(model: Any, taken: np.ndarray) -> Step:
    """Return what computes the gradient of a logit with respect to a picture."""
    import keras

    from keras_vit.explaining.gradient_reading import GradientModel, GradientReader

    images, added = (keras.Input(taken.shape[1:]) for _ in range(2))
    outputs = model(keras.layers.Add()([images, added]))
    given = GradientModel(
        model=keras.Model([images, added], {"outputs": outputs}),
        shapes=lambda count: [taken.shape[1:]],
        finish=lambda found, gradients: gradients[0],
    )
    run = GradientReader(given, lambda size: 0, has_no=False)
    return lambda: run(taken, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--all", action="store_true", help="all three backends")
    options = parser.parse_args()
    if options.all:
        run_on_each_backend(__file__, "--rounds", str(options.rounds))
        return
    import keras

    import keras_vit

    model = keras_vit.ViT.from_variant(
        "S/16", preprocessing=keras_vit.Preprocessing(image_size=224)
    )
    rng = np.random.default_rng(0)
    for weight in model.get_layer("head").weights:  # At first zero, as its gradients.
        weight.assign(rng.normal(size=weight.shape))
    pixels = rng.integers(0, 256, (224, 224, 3), dtype="uint8")
    taken = model.preprocessing(pixels)[None]
    backend = keras.backend.backend()
    both = forward_backward(model, taken)

    def forward() -> object:
        return model.predict_on_batch(taken)

    for method in (*ATTENTION, *GRADIENTS):
        peer = both if method in GRADIENTS else forward
        run = reader(model, method, pixels, taken)
        times = paired_times(peer, run, options.rounds)
        print(f"| {backend} | {method} | {describe(times)} |", flush=True)
    times = paired_times(forward, both, options.rounds)
    print(f"| {backend} | forward and backward | {describe(times)} |", flush=True)


if __name__ == "__main__":
    main()
