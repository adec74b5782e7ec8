"""Heads on frozen features of real pictures, beside scikit-learn on the same features.

    pip download --no-deps conformal-clip-data==0.1.4      2,000 inspection pictures
    KERAS_BACKEND=tensorflow python benchmarks/head.py --weights DINOV2 --data FOLDER

`DINOV2` is a folder or name of DINOv2 S/14, `FOLDER` the one of that package with a
sub-folder for each class. `--data digits` takes the embedded digits, enlarged to what
the model sees. The features are kept in KERAS_VIT_CACHE: the first run takes some
minutes on two cores, the next ones the time of the fits.

    --splits N      accuracy over N splits, beside LogisticRegressionCV; default 5
    --few           5, 10 and 50 pictures per class, 5 draws each
    --rate          the pass over the pictures against the bare forward pass
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import keras_vit
from keras_vit.data.image_data import ImageData
from keras_vit.heads.cross_validation import cross_validate, fit
from keras_vit.heads.feature_cache import cache_folder
from keras_vit.heads.feature_kinds import backbone, feature_kinds
from keras_vit.heads.feature_pass import FeatureReader
from keras_vit.heads.labelled_parts import labelled_parts

SHOTS, DRAWS = (5, 10, 50), 5


def main() -> None:
    options = _options()
    model = keras_vit.load(options.weights, image_size="preprocessing")
    source = options.data
    data = keras_vit.load_data(source, validation_fraction=0.0, test_fraction=0.0)
    kinds = feature_kinds(model)
    reader = FeatureReader(
        lambda dtype: backbone(model, kinds, dtype),
        model.preprocessing,
        dtype="auto",
        batch_size=32,
        folder=None if options.rate else cache_folder(),
    )
    if options.rate:
        return _rate(reader, data, options.pictures)
    features, labels = reader.read(data.train), data.train.labels
    print(
        f"{len(labels)} pictures, features of {features.shape[1]} in {reader.dtype}\n"
    )
    if options.few:
        return _few(features, labels, kinds)
    return _splits(features, labels, kinds, options.splits)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--rate", action="store_true")
    parser.add_argument("--pictures", type=int, default=320, help="of --rate")
    return parser.parse_args()


def _splits(features: np.ndarray, labels: np.ndarray, kinds: Any, count: int) -> None:
    """Held-out accuracy of a fifth of the pictures, for both."""
    print("| split | keras_vit, chosen | accuracy | scikit-learn's on the same |")
    print("|---|---|---|---|")
    ours, theirs = [], []
    for seed in range(count):
        order = np.random.default_rng(seed).permutation(len(labels))
        test, train = order[: len(labels) // 5], order[len(labels) // 5 :]
        where, name, linear = _fitted(features[train], labels[train], kinds, seed)
        found = linear.logits(features[test][:, where]).argmax(1)
        ours.append(np.mean(found == labels[test]))
        peer = _peer(features[train][:, where], labels[train])
        theirs.append(peer.score(features[test][:, where], labels[test]))
        print(f"| {seed} | {name} | {ours[-1]:.4f} | {theirs[-1]:.4f} |", flush=True)
    spread = 1.96 * np.std(ours, ddof=1) / np.sqrt(count) if count > 1 else 0.0
    print(f"| mean | | {np.mean(ours):.4f} ± {spread:.4f} | {np.mean(theirs):.4f} |")


def _few(features: np.ndarray, labels: np.ndarray, kinds: Any) -> None:
    """Few pictures per class, judged on all others."""
    print("| pictures per class | keras_vit | scikit-learn's on the same |")
    print("|---|---|---|")
    for shots in SHOTS:
        ours, theirs = [], []
        for seed in range(DRAWS):
            rng = np.random.default_rng(seed)
            chosen = [
                rng.choice(np.flatnonzero(labels == k), shots, replace=False)
                for k in np.unique(labels)
            ]
            train = np.concatenate(chosen)
            test = np.setdiff1d(np.arange(len(labels)), train)
            where, _, linear = _fitted(features[train], labels[train], kinds, seed)
            found = linear.logits(features[test][:, where]).argmax(1)
            ours.append(np.mean(found == labels[test]))
            peer = _peer(features[train][:, where], labels[train])
            theirs.append(peer.score(features[test][:, where], labels[test]))
        print(f"| {shots} | {_mean(ours)} | {_mean(theirs)} |", flush=True)


def _fitted(
    features: np.ndarray, labels: np.ndarray, kinds: Any, seed: int
) -> tuple[slice, str, Any]:
    """Fit a head as `keras_vit.fit_head` does once it has the features."""
    names = tuple(str(k) for k in range(int(labels.max()) + 1))
    images = keras_vit.load_data(
        (np.arange(len(labels))[:, None, None].astype("uint8"), labels),
        validation_fraction=0.0,
    ).train
    images = replace(images, contents=None)
    part = ImageData(name="features", class_names=names, train=images)
    labelled, some = labelled_parts(part, None, 5, seed)
    trials = {
        kind.name: (kind.part, cross_validate(features[some][:, kind.part], labelled))
        for kind in kinds
    }
    name = min(trials, key=lambda name: trials[name][1].loss)
    where, trial = trials[name]
    targets = np.eye(len(names), dtype="float32")[labels]
    weights = np.ones(len(labels))
    return where, name, fit(features[:, where], targets, weights, trial, "softmax")


def _peer(features: np.ndarray, labels: np.ndarray) -> Any:
    folds = min(5, int(np.bincount(labels).min()))
    peer = make_pipeline(
        StandardScaler(), LogisticRegressionCV(cv=folds, max_iter=500, n_jobs=2)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", FutureWarning)
        return peer.fit(features, labels)


def _mean(values: list[Any]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def _rate(reader: FeatureReader, data: ImageData, count: int) -> None:
    """Pictures per second from files to features, and of the forward pass alone."""
    train: Any = data.train
    some = train.subset(train.indices[:count])
    reader.read(some.subset(some.indices[:32]))  # Compiles, and chooses the dtype.
    model: Any = reader.model
    pixels, *_ = next(iter(some.batches(reader.preprocessing, 32)))
    shares = []
    for _ in range(3):
        seconds = reader.seconds
        reader.read(some)
        whole = count / (reader.seconds - seconds)
        started = time.perf_counter()
        for _ in range(count // 32):
            model.predict_on_batch(pixels)
        bare = count // 32 * 32 / (time.perf_counter() - started)
        shares.append(whole / bare)
        print(f"{whole:.1f} of {bare:.1f} pictures per second: {shares[-1]:.2f}")
    backend = keras.backend.backend()
    print(
        f"{backend}, {reader.dtype}: {np.median(shares):.2f} of the bare forward rate"
    )


if __name__ == "__main__":
    main()
