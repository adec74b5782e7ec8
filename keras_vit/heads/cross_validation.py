"""What a head will reach, by cross-validation. N pictures, D features, K classes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from keras_vit.heads.in_threads import in_threads
from keras_vit.heads.logistic_regression import (
    Kind,
    Linear,
    Standardized,
    fit_path,
)

# Penalties from strong to weak, and steps between them.
STRENGTHS = tuple(10.0**exponent for exponent in range(5, -3, -1))
_STEPS = (10**0.5, 10**-0.5)
# Of the gradients while heads are compared: finer ones choose the same.
_COARSE, _FINE = 1e-3, 1e-5
NEIGHBOURS = 10
_TEMPERATURE = 0.07
CURVE_SHARES = (0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """What heads are fitted on and judged by.

    Args:
        targets: share of each class, float32 (N, K); 0 or 1.
        weights: of each picture, float64 (N,).
        folds: number of the fold that holds a picture out, int (N,).
        kind: "softmax" for one class per picture, "sigmoid" for any number.
    """

    targets: np.ndarray
    weights: np.ndarray
    folds: np.ndarray
    kind: Kind = "softmax"

    @property
    def num_folds(self) -> int:
        """How many folds there are."""
        return int(self.folds.max()) + 1


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How good one kind of features is with the best strength of the penalty.

    Args:
        features: name of the kind.
        strength: of the penalty, see `fit_path`.
        accuracy: share of the pictures that were right while they were held out.
        loss: mean cross-entropy of the same, nats.
        probabilities: of the same, float32 (N, K).
    """

    features: str
    strength: float
    accuracy: float
    loss: float
    probabilities: np.ndarray


def compare_features(
    kinds: Mapping[str, np.ndarray], labelled: Labelled
) -> dict[str, Trial]:
    """Return for each kind of features the trial with its best strength.

    The loss chooses, not the accuracy, because it tells apart what a few pictures
    more or less do not. Penalties go from strong to weak by powers of ten until the
    loss grows; for the best kind those half a power beside are tried, too.

    Args:
        kinds: features, (N, D) with any D, under the name of each kind.
        labelled: what the same N pictures show.
    """
    trials: dict[str, Trial] = {}
    best: tuple[_Trials, Trial] | None = None
    for name, features in kinds.items():
        tried = _Trials(features, labelled, name)
        trials[name] = found = tried.by_powers_of_ten()
        if best is None or found.loss < best[1].loss:
            best = tried, found
    if best is not None:
        tried, found = best
        beside = [tried(found.strength * step) for step in _STEPS]
        trials[found.features] = min([found, *beside], key=lambda trial: trial.loss)
    return trials


def cross_validate(
    features: np.ndarray, labelled: Labelled, name: str = "features"
) -> Trial:
    """Return what `compare_features` finds where there is one kind."""
    return compare_features({name: features}, labelled)[name]


class _Trials:
    """Heads of one kind of features, each fitted from the one before it."""

    def __init__(self, features: np.ndarray, labelled: Labelled, name: str) -> None:
        self._labelled, self._name = labelled, name
        self._asked: list[float] = []  # Each path takes what is added.
        self._folds = [labelled.folds == fold for fold in range(labelled.num_folds)]
        self._paths = [
            _held_out(features, labelled, fold, self._asked) for fold in self._folds
        ]

    def __call__(self, strength: float) -> Trial:
        self._asked.append(strength)
        found = np.zeros(self._labelled.targets.shape, "float32")
        each = in_threads(partial(next, path) for path in self._paths)
        for fold, rows in zip(self._folds, each, strict=True):
            found[fold] = rows
        return Trial(
            features=self._name,
            strength=strength,
            accuracy=accuracy(found, self._labelled.targets, self._labelled.kind),
            loss=_loss(found, self._labelled),
            probabilities=found,
        )

    def by_powers_of_ten(self) -> Trial:
        best = self(STRENGTHS[0])
        for strength in STRENGTHS[1:]:
            trial = self(strength)
            if trial.loss >= best.loss:
                break
            best = trial
        return best


def _held_out(
    features: np.ndarray, labelled: Labelled, fold: np.ndarray, strengths: list[float]
) -> Iterator[np.ndarray]:
    """Yield what a head of the other folds says of a fold, for each strength."""
    standardized = Standardized.of(features[~fold])
    targets, weights = labelled.targets[~fold], labelled.weights[~fold]
    kind = labelled.kind
    for linear in fit_path(standardized, targets, strengths, weights, kind, _COARSE):
        yield probabilities(linear.logits(features[fold]), kind)


def fit(
    features: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    trial: Trial,
    kind: Kind,
    tolerance: float = _FINE,
) -> Linear:
    """Return the classifier of all these pictures with the strength of a trial."""

    def fitted() -> Linear:
        standardized, strengths = Standardized.of(features), [trial.strength]
        return next(
            fit_path(standardized, targets, strengths, weights, kind, tolerance)
        )

    (linear,) = in_threads([fitted])
    return linear


def neighbours(features: np.ndarray, labelled: Labelled) -> np.ndarray:
    """Return what the most similar pictures of other folds say, float32 (N, K).

    The ten of the highest cosine vote, each with exp(cosine / 0.07), as DINO's k-NN
    does (arXiv:2104.14294, appendix F.1).
    """
    unit = _unit(features)
    found = np.zeros_like(labelled.targets)
    for fold in range(labelled.num_folds):
        held_out, train = (
            np.flatnonzero(labelled.folds == fold),
            np.flatnonzero(labelled.folds != fold),
        )
        nearest = min(NEIGHBOURS, len(train))
        for some in np.array_split(held_out, max(1, len(held_out) // 1024)):
            cosine = unit[some] @ unit[train].T
            order = np.argpartition(-cosine, nearest - 1, axis=1)[:, :nearest]
            values = np.take_along_axis(cosine, order, axis=1)
            votes = np.exp((values - values.max(axis=1, keepdims=True)) / _TEMPERATURE)
            votes /= votes.sum(axis=1, keepdims=True)
            found[some] = np.einsum("nk,nkc->nc", votes, labelled.targets[train[order]])
    return found


def class_means(features: np.ndarray, labelled: Labelled) -> np.ndarray:
    """Return the cosine with the mean of each class in other folds, float32 (N, K)."""
    unit = _unit(features)
    found = np.zeros_like(labelled.targets)
    for fold in range(labelled.num_folds):
        train = labelled.folds != fold
        sums = labelled.targets[train].T @ unit[train]
        found[~train] = unit[~train] @ _unit(sums).T
    return found


def learning_curve(
    features: np.ndarray, labelled: Labelled, trial: Trial, seed: int
) -> list[tuple[float, float, float]]:
    """Return shares of the data with the accuracy that they give, and its spread.

    Each fold is judged by a head of a part of the others, drawn class by class. A weak
    penalty suits many pictures: it grows as the pictures get fewer, in proportion.

    Returns:
        For each share: the share, the accuracy, and half the width of its 95 %
        interval, from the number of pictures and the difference between the folds.
    """
    order = np.random.default_rng(seed).permutation(len(features))

    def right(share: float, fold: int) -> np.ndarray:
        train = labelled.folds != fold
        some = train & (_rank_in_class(labelled.targets, order, train) < share)
        standardized = Standardized.of(features[some])
        targets, weights = labelled.targets[some], labelled.weights[some]
        kind, strengths = labelled.kind, [trial.strength]
        linear = next(
            fit_path(standardized, targets, strengths, weights, kind, _COARSE)
        )
        found = probabilities(linear.logits(features[~train]), kind)
        return _is_right(found, labelled.targets[~train], kind)

    folds = range(labelled.num_folds)
    parts = CURVE_SHARES[:-1]  # All of it is what the trial has done.
    each = in_threads(partial(right, share, fold) for share in parts for fold in folds)
    whole = _is_right(trial.probabilities, labelled.targets, labelled.kind)
    each += [whole[labelled.folds == fold] for fold in folds]
    rows = []
    for number, share in enumerate(CURVE_SHARES):
        of_share = each[number * len(folds) : (number + 1) * len(folds)]
        means = [part.mean() for part in of_share]
        spread = np.std(means, ddof=1) / math.sqrt(len(means)) if len(means) > 1 else 0
        value = float(np.concatenate(of_share).mean())
        own = math.sqrt(max(value * (1 - value), 1e-12) / len(features))
        rows.append((share, value, 1.96 * max(float(spread), own)))
    return rows


def _rank_in_class(
    targets: np.ndarray, order: np.ndarray, counted: np.ndarray
) -> np.ndarray:
    """Return the place of each counted picture in its class, in [0, 1).

    So the smallest part has a picture of each class that has one.
    """
    labels = targets.argmax(axis=1)
    rank = np.zeros(len(labels))
    for label in np.unique(labels):
        members = order[(labels[order] == label) & counted[order]]
        rank[members] = np.arange(len(members)) / max(1, len(members))
    return rank


def accuracy(probabilities: np.ndarray, targets: np.ndarray, kind: Kind) -> float:
    """Return the share of pictures whose most likely class is right.

    With any number of classes per picture: the share of all yes and no.
    """
    return float(np.mean(_is_right(probabilities, targets, kind)))


def _is_right(found: np.ndarray, targets: np.ndarray, kind: Kind) -> np.ndarray:
    if kind == "sigmoid":
        return ((found > 0.5) == (targets > 0.5)).mean(axis=1)
    return found.argmax(axis=1) == targets.argmax(axis=1)


def _loss(found: np.ndarray, labelled: Labelled) -> float:
    found = np.clip(found.astype("float64"), 1e-7, 1 - 1e-7)
    each = -(labelled.targets * np.log(found))
    if labelled.kind == "sigmoid":
        each -= (1 - labelled.targets) * np.log(1 - found)
    weights = labelled.weights / labelled.weights.sum()
    return float(weights @ each.sum(axis=1))


def probabilities(logits: np.ndarray, kind: Kind) -> np.ndarray:
    """Turn logits (N, K) into probabilities of the same shape."""
    if kind == "sigmoid":
        return 0.5 + 0.5 * np.tanh(0.5 * logits)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def class_weights(
    targets: np.ndarray, wanted: str | Sequence[float] | None
) -> np.ndarray:
    """Return the weight of each picture, float64 (N,), mean 1.

    Args:
        targets: share of each class, (N, K).
        wanted: None for 1 each; "balanced" for the same sum in each class; or a weight
            per class.
    """
    counts = targets.sum(axis=0)
    if wanted is None:
        return np.ones(len(targets))
    each = 1.0 / np.maximum(counts, 1) if isinstance(wanted, str) else wanted
    weights = targets @ np.asarray(each, "float64")
    return weights / weights.mean()
