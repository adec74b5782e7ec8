"""When a picture is of none of the classes. N pictures, D features, K classes.

A distance in the space of the features tells: the logits of a linear classifier do not
(docs/unknown.md). R directions are enough of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from keras_vit.data.class_matching import NONE_OF_THESE
from keras_vit.data.image_data import ImageData
from keras_vit.heads.in_threads import in_threads

_MOST_DIRECTIONS = 128
# Odds of "none of these" against the most likely class at the median distance.
_ODDS = 0.01


@dataclass(frozen=True, kw_only=True)
class Distance:
    """A Mahalanobis distance to the nearest mean of a class.

    Args:
        kernel: from features to directions in which all classes spread alike, float64
            (D, R).
        bias: added after it, (R,).
        means: of the classes there, (R, K).

    Reference: arXiv:1807.03888, section 2.1, equation 2.
    """

    kernel: np.ndarray
    bias: np.ndarray
    means: np.ndarray

    def squared(self, features: np.ndarray) -> np.ndarray:
        """Return the squared distance of features, (N, D), to the nearest class."""
        x = features @ self.kernel + self.bias
        near = 2.0 * x @ self.means - (self.means**2).sum(axis=0)
        return (x**2).sum(axis=1) - near.max(axis=1)

    def divided(self, threshold: float) -> Distance:
        """Return the distance in units of a threshold."""
        parts = (self.kernel, self.bias, self.means)
        kernel, bias, means = (part / threshold for part in parts)
        return Distance(kernel=kernel, bias=bias, means=means)


@dataclass(frozen=True, kw_only=True)
class FalseAlarms:
    """How many pictures of the classes are rejected.

    Args:
        asked: share of them that may be.
        observed: share of the held-out pictures that are.
        num_images: held-out pictures, which set the threshold.
    """

    asked: float
    observed: float
    num_images: int

    def text(self) -> str:
        """Return one line for people."""
        return (
            f"Rejected as {NONE_OF_THESE!r}: {self.observed:.1%} of {self.num_images} "
            f"held-out pictures of the classes, {self.asked:.1%} asked"
        )


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """What a `RejectingHead` computes.

    Args:
        distance: in units of that from which on pictures are rejected.
        steepness: how fast the logit of "none of these" grows with the squared
            distance.
        false_alarms: on held-out pictures.
    """

    distance: Distance
    steepness: float
    false_alarms: FalseAlarms

    def with_none(self, logits: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Return the logits of classes, (N, K), with that of none of them, (N, K + 1).

        Args:
            logits: of the classes.
            features: of the same pictures, (N, D).
        """
        squares = np.minimum(self.distance.squared(features), 10.0)
        none = logits.max(axis=1) + self.steepness * (squares - 1.0)
        return np.concatenate([logits, none[:, None]], axis=1)

    def write(self, head: Any) -> None:
        """Give a `RejectingHead` these weights."""
        head.rejection_kernel.assign(self.distance.kernel.astype("float32"))
        head.rejection_bias.assign(self.distance.bias.astype("float32"))
        head.rejection_means.assign(self.distance.means.astype("float32"))
        head.rejection_steepness.assign(np.full(1, self.steepness, "float32"))


def check_rejection(rate: Any, data: ImageData) -> None:
    """Refuse what cannot be the share of pictures of the classes to reject.

    Args:
        rate: None for no rejection.
        data: whose pictures these are.

    Raises:
        TypeError: if the share is no number.
        ValueError: if it is not above 0 and below 1, images have several labels, or a
            class has the name of the output that is added.
    """
    if rate is None:
        return
    what = (
        "none_of_these is the share of pictures of the classes that may be rejected, "
        f"above 0 and below 1, received {rate!r}. Pass such as 0.05, or None."
    )
    if isinstance(rate, bool) or not isinstance(rate, (int, float)):
        raise TypeError(what)
    if not 0 < rate < 1:
        raise ValueError(what)
    if data.is_multi_label:
        raise ValueError(
            f"Images of {data.name!r} have several labels, each a yes or no of its "
            f"own: no to all says {NONE_OF_THESE!r} already. Leave none_of_these out."
        )
    if NONE_OF_THESE in data.class_names:
        raise ValueError(
            f"none_of_these adds an output of the name {NONE_OF_THESE!r}, and "
            f"{data.name!r} has a class of this name. Rename the class, or leave "
            "none_of_these out: pictures of such a class are learned as any other."
        )


def output_options(
    names: tuple[str, ...], rejection: Rejection | None
) -> dict[str, Any]:
    """Return the options of `ViT` that make its outputs.

    Args:
        names: of the classes.
        rejection: whether and how pictures of none of them are told.
    """
    if rejection is None:
        return {"num_classes": len(names), "class_names": names, "rejection_dim": None}
    return {
        "num_classes": len(names) + 1,
        "class_names": (*names, NONE_OF_THESE),
        "rejection_dim": rejection.distance.kernel.shape[1],
    }


def fit_rejection(
    features: np.ndarray,
    labels: np.ndarray,
    rate: float,
    *,
    folds: np.ndarray | None = None,
    held_out: np.ndarray | None = None,
) -> Rejection:
    """Fit a distance, and the threshold that rejects a share of held-out pictures.

    Args:
        features: that the distance is fitted on, (N, D).
        labels: of them, int (N,).
        rate: share of pictures of the classes that may be rejected.
        folds: number of the fold of each picture: the threshold is set by each fold,
            measured by what the other folds say. Or
        held_out: features of other pictures that set it.

    Raises:
        ValueError: if there are too few pictures for so small a share.
    """
    distance = fit_distance(features, labels)
    if held_out is not None:
        squares = distance.squared(held_out)
    else:
        squares = _held_out(features, labels, folds)
    count = len(squares)
    # As in conformal prediction: of new pictures no more than this share is above it.
    place = int(np.ceil((count + 1) * (1.0 - rate)))
    if place > count:
        raise ValueError(
            f"A threshold that rejects {rate:.1%} of the pictures is set by at least "
            f"{int(np.ceil(1.0 / rate)) - 1} held-out ones, received {count}. Pass a "
            "larger none_of_these, or more pictures."
        )
    # Between two pictures, so that rounding does not move the nearer one.
    ordered = np.sort(squares)
    threshold = (ordered[place - 1] + ordered[min(place, count - 1)]) / 2
    shares = squares / threshold
    margin = max(1.0 - float(np.median(shares)), 0.01)
    return Rejection(
        distance=distance.divided(float(np.sqrt(threshold))),
        steepness=float(-np.log(_ODDS) / margin),
        false_alarms=FalseAlarms(
            asked=rate, observed=float(np.mean(shares > 1.0)), num_images=count
        ),
    )


def fit_distance(features: np.ndarray, labels: np.ndarray) -> Distance:
    """Fit the distance to the nearest mean of a class, all with one covariance.

    The features are standardized, and of their covariance around the means, shrunk as
    Ledoit and Wolf do, the 128 directions of the largest spread are kept: what is
    strange in others is strange in these, and those of little spread would measure the
    rounding of a phone's arithmetic.

    Args:
        features: (N, D), N at least 2.
        labels: int (N,); not all classes need to be there.

    Reference: scikit-learn's `LedoitWolf` (doi:10.1016/S0047-259X(03)00096-4).
    """
    features = features.astype("float64")
    scale = features.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    middle = features.mean(axis=0)
    values = (features - middle) / scale
    numbers, members = np.unique(labels, return_inverse=True)
    means = np.stack([values[members == k].mean(axis=0) for k in range(len(numbers))])
    around = values - means[members]
    spreads, directions = _largest(around)
    share, mean_spread = ledoit_wolf(around)
    spreads = (1.0 - share) * spreads + share * mean_spread
    white = directions / np.sqrt(np.maximum(spreads, 1e-12))  # (D, R)
    kernel = white / scale[:, None]
    return Distance(kernel=kernel, bias=-(middle @ kernel), means=(means @ white).T)


def ledoit_wolf(rows: np.ndarray) -> tuple[float, float]:
    """Return how far a covariance is shrunk towards equal spreads, and their mean.

    Args:
        rows: of mean 0, (N, D). Their covariance S becomes (1 - share) S + share m I.
    """
    count, width = rows.shape
    # Sums of squares over the covariance, from the smaller of its two forms.
    products = rows @ rows.T if count < width else rows.T @ rows
    squared_norm = float((products**2).sum()) / count**2
    mean = float((rows**2).sum()) / count / width
    fourth = float(((rows**2).sum(axis=1) ** 2).sum())
    noise = (fourth / count - squared_norm) / (count * width)
    distance = squared_norm / width - mean**2
    noise = min(max(noise, 0.0), distance)
    return (noise / distance if distance > 0 else 1.0), mean


def _largest(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest spreads of rows of mean 0, (R,), and their directions."""
    from scipy.linalg import eigh

    count, width = rows.shape
    is_wide = count < width
    products = (rows @ rows.T if is_wide else rows.T @ rows) / count
    most = min(_MOST_DIRECTIONS, len(products))
    last = len(products) - 1
    spreads, vectors = eigh(products, subset_by_index=[last - most + 1, last])
    spans = spreads > max(spreads[-1], 1e-30) * 1e-8
    if not spans.any():  # Each class has one picture: all directions are alike.
        return np.ones(1), np.eye(width, 1)
    spreads, vectors = spreads[spans], vectors[:, spans]
    if is_wide:
        vectors = rows.T @ (vectors / np.sqrt(spreads * count))
    return spreads, vectors


def _held_out(
    features: np.ndarray, labels: np.ndarray, folds: np.ndarray | None
) -> np.ndarray:
    """Return the squared distance of each picture by what the other folds say."""
    if folds is None:
        raise ValueError("fit_rejection needs folds or held_out, received neither.")

    def squared(fold: int) -> np.ndarray:
        others = folds != fold
        distance = fit_distance(features[others], labels[others])
        return distance.squared(features[~others])

    numbers = np.unique(folds).tolist()
    found = np.zeros(len(features))
    jobs = [partial(squared, fold) for fold in numbers]
    for fold, squares in zip(numbers, in_threads(jobs), strict=True):
        found[folds == fold] = squares
    return found
