"""Which maps of `keras_vit.explain` say what a model looks at.

    pip download --no-deps conformal-clip-data==0.1.4      2,000 inspection pictures
    python benchmarks/faithfulness.py --weights DINOV2 --data FOLDER
    python benchmarks/faithfulness.py --families

The first fits a head on DINOv2 S/14 and takes `--pictures` held-out pictures that it
names right. For each method it prints the area under the deletion curve (lower is
better) and the insertion curve (higher is better; arXiv:1806.07421), how much better
insertion minus deletion is than that of a random order and of the last block's
attention, with the 95 % interval over the pictures; and what remains of the maps when
half of the blocks have forgotten, and all layers (rank correlation, arXiv:1810.03292).

`--families` prints the same of small models of several families, which it trains on the
embedded digits first, `--epochs` each.
"""

from __future__ import annotations

import argparse
import math
import time
from typing import Any, cast

import keras
import numpy as np

import keras_vit
from keras_vit.training import get_recipe

METHODS = (
    "random",
    "attention",
    "rollout",
    "pooling",
    "grad_cam",
    "relevance",
    "token_norms",
    "occlusion",
)
FAMILIES: dict[str, dict[str, Any]] = {
    "class token": {"pooling": "token", "use_class_token": True},
    "mean of patches": {},
    "attention pooling": {"pooling": "attention"},
    "class token, registers": {
        "pooling": "token",
        "use_class_token": True,
        "num_registers": 4,
    },
    "class token, rotary positions": {
        "pooling": "token",
        "use_class_token": True,
        "positions": None,
        "rotary": "axial",
    },
    "differential attention": {"attention": "differential"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights")
    parser.add_argument("--data")
    parser.add_argument("--features", default="auto", help="of fit_head")
    parser.add_argument("--families", action="store_true")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    options = parser.parse_args()
    if options.families:
        data = keras_vit.load_data("digits")
        for name, changes in FAMILIES.items():
            keras.utils.set_random_seed(0)
            model = keras_vit.ViT.from_variant("digits", **changes)
            recipe = get_recipe("small_data", epochs=options.epochs)
            keras_vit.train(model, data, recipe, verbose=0)
            accuracy = keras_vit.evaluate(model, data).accuracy
            print(f"\n{name}: {accuracy:.4f} of the held-out digits right\n")
            _table(model, data.test, options)
    else:
        data = keras_vit.load_data(options.data, validation_fraction=0.2)
        model = keras_vit.load(options.weights, image_size="preprocessing")
        model = keras_vit.fit_head(model, data, features=options.features)
        _table(model, data.validation, options)


def _table(model: Any, part: Any, options: argparse.Namespace) -> None:
    pictures = _named_right(model, part, options.pictures)
    print(
        f"| {len(pictures)} pictures | deletion | insertion | gain over random | ",
        end="",
    )
    print("half forgotten | all forgotten | ms per picture |")
    print("|---|---|---|---|---|---|---|---|")
    random = _gains(keras_vit.deletion_insertion(model, pictures, None))
    known = keras_vit.explain(model, pictures, method="attention")
    attention = _gains(keras_vit.deletion_insertion(model, pictures, known))
    for method in options.methods:
        seconds, kept = math.nan, ["", ""]
        if method == "random":
            curves = keras_vit.deletion_insertion(model, pictures, None, seed=1)
        else:
            try:
                keras_vit.explain(model, pictures[:8], method=cast("Any", method))
            except ValueError as error:
                print(f"| {method} | – | | {str(error).split('.')[0]} | | | | |")
                continue
            start = time.perf_counter()
            found = keras_vit.explain(model, pictures, method=cast("Any", method))
            seconds = (time.perf_counter() - start) / len(pictures)
            curves = keras_vit.deletion_insertion(model, pictures, found)
            if method != "occlusion":
                kept = _kept(model, pictures[:16], method)
        gains = _gains(curves)
        deletion = np.mean([one.deletion_area for one in curves])
        insertion = np.mean([one.insertion_area for one in curves])
        cells = [method, f"{deletion:.3f}", f"{insertion:.3f}"]
        cells += [_mean(gains - random), _mean(gains - attention), *kept]
        print(f"| {' | '.join(cells)} | {1000 * seconds:.0f} |", flush=True)


def _mean(values: np.ndarray) -> str:
    """Return the mean and half the width of its 95 % interval."""
    spread = 1.96 * values.std(ddof=1) / math.sqrt(len(values))
    return f"{values.mean():+.3f} ± {spread:.3f}"


def _named_right(model: Any, part: Any, count: int) -> list[Any]:
    """Return pictures of a part that the model names right, in a random order."""
    order = np.random.default_rng(0).permutation(part.indices)[: 2 * count]
    some = part.subset(order)
    pictures = [*some.pictures()]
    found = keras_vit.predict(model, pictures, top=1)
    pairs = zip(pictures, found, some.labels, strict=True)
    return [picture for picture, (one,), label in pairs if one.index == label][:count]


def _gains(curves: list[Any]) -> np.ndarray:
    return np.array([one.insertion_area - one.deletion_area for one in curves])


def _kept(model: Any, pictures: list[Any], method: str) -> list[str]:
    half = max(1, model.config.num_layers // 2)
    options: Any = {"method": method, "every": half}
    rows = keras_vit.randomization_test(model, pictures, **options)
    # Trained, (head), the later half, the earlier half, all.
    later = next(row for row in rows if row.layer.startswith("block_"))
    return [f"{later.correlation:.2f}", f"{rows[-1].correlation:.2f}"]


if __name__ == "__main__":
    main()
