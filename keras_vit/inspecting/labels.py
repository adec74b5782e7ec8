"""Likely wrong labels and outliers, by the features of a model.

Wrong labels are found by confident learning (Northcutt et al., arXiv:1911.00068): a
classifier that has not seen a picture is as sure of another class as it is of the
pictures of that class on average.
"""

from __future__ import annotations

import numpy as np

_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
_FOLDS = 5
_NEIGHBOURS = 10
# Robust standard deviations above the median from which on a picture is an outlier.
_FAR = 5.0
_BLOCK = 2048


def out_of_fold(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int = 0
) -> np.ndarray | None:
    """Return probabilities of a logistic regression that has not seen the picture.

    Copies of a picture are in one fold: else one with a wrong label would vouch for the
    other. The strength of the penalty is the one with the lowest loss.

    Args:
        features: float (N, D).
        labels: int (N,), 0 to K - 1, each of them there.
        groups: int (N,), equal for copies of a picture.
        seed: of the folds.

    Returns:
        float (N, K), or None where a class has fewer pictures than two folds need.

    Raises:
        ImportError: if scikit-learn is not installed.
    """
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedGroupKFold
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise ImportError(
            "Likely wrong labels need scikit-learn. Install it with pip install "
            "'keras3-vit[check]', or check without a model."
        ) from error
    counts = np.bincount(labels)
    folds = min(_FOLDS, int(counts.min()))
    if folds < 2 or len(counts) < 2:
        return None
    splits = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    places = list(splits.split(features, labels, groups))
    best, least = None, np.inf
    for strength in _STRENGTHS:
        found = np.zeros((len(labels), len(counts)))
        for train, held_out in places:
            if len(np.unique(labels[train])) < len(counts):
                return None
            scaler = StandardScaler().fit(features[train])
            model = LogisticRegression(C=strength, max_iter=500)
            model.fit(scaler.transform(features[train]), labels[train])
            found[held_out] = model.predict_proba(scaler.transform(features[held_out]))
        own = found[np.arange(len(labels)), labels]
        loss = -np.log(np.maximum(own, 1e-12)).mean()
        if loss > least:
            break  # Weaker penalties are no better.
        best, least = found, loss
    return best


def tells_classes(probabilities: np.ndarray, labels: np.ndarray) -> bool:
    """Return whether a classifier is better than naming the largest class each time.

    By more than chance: two standard deviations. Else its doubts say nothing of labels.
    """
    accuracy = np.mean(probabilities.argmax(1) == labels)
    largest = np.bincount(labels).max() / len(labels)
    return accuracy > largest + 2 * np.sqrt(largest * (1 - largest) / len(labels))


def likely_wrong(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the pictures whose label is likely wrong, the surest first.

    Args:
        probabilities: out of fold, (N, K).
        labels: int (N,), each class there.
    """
    rows = np.arange(len(labels))
    own = probabilities[rows, labels]
    classes = range(probabilities.shape[1])
    # How sure the classifier is of a class, on average over the pictures called so.
    usual = np.array([probabilities[labels == c, c].mean() for c in classes])
    sure = np.where(probabilities >= usual, probabilities, 0)
    other = sure.argmax(1)
    is_wrong = (sure[rows, other] > 0) & (other != labels)
    # Not where its own class is as likely.
    is_wrong &= probabilities.argmax(1) != labels
    wrong = np.flatnonzero(is_wrong)
    margin = own[wrong] - probabilities[wrong].max(1)
    return wrong[np.argsort(margin, kind="stable")]


def outliers(features: np.ndarray) -> np.ndarray:
    """Return the pictures that are far from all others, the farthest first.

    The distance is one less the cosine, in the mean over the nearest neighbours; far is
    what is far out of the distribution of the logarithms of these distances.

    Args:
        features: float (N, D).
    """
    if len(features) < 4 * _NEIGHBOURS:
        return np.zeros(0, "int64")
    centred = features - features.mean(0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = (centred / np.maximum(lengths, 1e-12)).astype("float32")
    distances = []
    for start in range(0, len(unit), _BLOCK):
        cosines = unit[start : start + _BLOCK] @ unit.T
        rows = np.arange(len(cosines))
        cosines[rows, rows + start] = -1
        nearest = np.partition(-cosines, _NEIGHBOURS - 1, axis=1)[:, :_NEIGHBOURS]
        distances.append((1 + nearest).mean(1))
    logs = np.log(np.concatenate(distances) + 1e-6)
    centre = np.median(logs)
    spread = 1.4826 * np.median(np.abs(logs - centre)) + 1e-6
    far = np.flatnonzero(logs > centre + _FAR * spread)
    return far[np.argsort(-logs[far], kind="stable")]
