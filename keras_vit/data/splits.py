"""Divide a data set into parts or folds with the same share of each class."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import numpy as np

from keras_vit.data.contents import drawn


def stratified_split(
    labels: np.ndarray,
    fractions: dict[str, float],
    seed: int = 0,
    contents: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Draw disjoint parts of a data set, class by class.

    Each part receives the nearest whole number to its share of each class; what is left
    is called "train" and keeps at least one image of each class.

    Args:
        labels: class of each image, (N,).
        fractions: name of each part to its share of all images, each in [0, 1), the sum
            below 1.
        seed: of the draw, a whole number of at least 0. The same seed gives the same
            parts on each machine.
        contents: of each picture, uint64 (N,), see `Contents`. The draw then follows
            from them instead of from the order, and equal pictures come into one part.
            Default None.

    Returns:
        The sorted indices of each part, "train" included.

    Raises:
        TypeError: if a share is not a number.
        ValueError: if a share is out of range.
    """
    _check_shares(fractions)
    rng = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in (*fractions, "train")}
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if contents is None:
            members, equal = rng.permutation(members), np.arange(len(members))
        else:
            lot = drawn(contents[members], seed)
            order = np.argsort(lot, kind="stable")
            members, equal = members[order], lot[order]
        start = 0
        for name, share in fractions.items():
            end = _end(equal, start, int(share * len(members) + 0.5))
            parts[name].append(members[start:end])
            start = end
        parts["train"].append(members[start:])
    return {name: np.sort(np.concatenate(part)) for name, part in parts.items()}


def _end(equal: np.ndarray, start: int, wanted: int) -> int:
    """Return where a part ends: one picture stays at least.

    Not between equal pictures, unless the part would be empty.
    """
    last = end = min(start + wanted, len(equal) - 1)
    while end > start and equal[end - 1] == equal[end]:
        end -= 1
    return last if end == start else end


def grouped_split(
    labels: np.ndarray,
    groups: np.ndarray,
    fractions: dict[str, float],
    seed: int = 0,
    contents: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Draw disjoint parts of a data set of whole groups.

    Each part gets about its share of each class: as near as whole groups allow.

    Args:
        labels: class of each image, (N,), or 0 or 1 for each, (N, classes).
        groups: group of each image, (N,), such as its patient. Groups that have equal
            pictures are one group.
        fractions: name of each part to its share, as in `stratified_split`.
        seed: of the draw, a whole number of at least 0.
        contents: of each picture, uint64 (N,). The draw then follows from them, and
            from neither order nor names. Default None.

    Returns:
        The sorted indices of each part, "train" included.

    Raises:
        TypeError: if a share is not a number.
        ValueError: if a share is out of range, or there are too few groups.
    """
    _check_shares(fractions)
    names = ["train", *(name for name, share in fractions.items() if share)]
    shares = [1 - sum(fractions.values()), *filter(None, fractions.values())]
    whole = _Groups(labels, groups, seed, contents)
    if whole.count < len(names):
        raise ValueError(
            f"Each of the parts {names} needs a group, received {whole.count}"
            f"{whole.merged_text}. Hold nothing out, or make more groups."
        )
    part = _assigned(whole, np.array(shares), may_hold_all=(0,))[whole.numbers]
    indices = {name: np.flatnonzero(part == i) for i, name in enumerate(names)}
    return {**{name: np.zeros(0, "int64") for name in fractions}, **indices}


def fold_numbers(
    labels: np.ndarray,
    folds: int,
    seed: int = 0,
    contents: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
) -> np.ndarray:
    """Deal the images of a data set into folds with the same share of each class.

    Fold f is the part that a model is validated on while the others train it. Each
    image is in exactly one fold; equal pictures, and the pictures of a group, are in
    the same one.

    Args:
        labels: class of each image, (N,), or 0 or 1 for each, (N, classes).
        folds: how many, at least 2.
        seed: of the draw, a whole number of at least 0.
        contents: of each picture, uint64 (N,). The folds then follow from them, and
            from neither order nor names. Default None.
        groups: group of each image, (N,). Default None: there are no groups.
        class_names: for errors. Default: the labels.

    Returns:
        The fold of each image, from 0, int64 (N,).

    Raises:
        ValueError: if a class has too few pictures or groups.
    """
    names = {i: repr(name) for i, name in enumerate(class_names or ())}
    if groups is None and labels.ndim == 1:
        return _dealt(labels, folds, seed, contents, names)
    what = "groups" if groups is not None else "pictures"
    if groups is None:
        groups = np.arange(len(labels))
    whole = _Groups(labels, groups, seed, contents)
    if whole.count < folds:
        raise ValueError(
            f"There must be {what} for each of {folds} folds, received {whole.count}"
            f"{whole.merged_text}. Use fewer folds."
        )
    held = np.count_nonzero(whole.counts, axis=0)
    if held.min() < 2:
        alone = int(whole.classes[held.argmin()])
        alone = names.get(alone, alone)
        raise ValueError(
            f"Each class must be in 2 {what} or more, received class {alone} in one"
            f"{whole.merged_text}: the fold that holds it out has nothing to learn it "
            f"from. Leave the class out, or have more {what}."
        )
    found = _assigned(whole, np.full(folds, 1 / folds))[whole.numbers]
    for fold in range(folds if labels.ndim == 1 else 0):
        if len(np.unique(labels[found == fold])) == 1 < len(whole.classes):
            raise ValueError(
                f"Each fold must have pictures of several classes, received one class "
                f"in fold {fold} of {folds}. Use fewer folds, or make more groups."
            )
    return found


def _check_shares(fractions: dict[str, float]) -> None:
    for name, share in fractions.items():
        if isinstance(share, bool) or not isinstance(share, Real):
            raise TypeError(
                f"The share of {name} must be a number, received {share!r}."
            )
    total = sum(fractions.values())
    if any(not 0 <= share < 1 for share in fractions.values()) or total >= 1:
        raise ValueError(
            "The shares that are held out must be at least 0 and together below 1, "
            f"received {fractions}. Leave something to train on."
        )


def _lots(contents: np.ndarray | None, count: int, seed: int) -> np.ndarray:
    """Return a random number for each image; equal pictures have the same."""
    if contents is None:
        return np.random.default_rng(seed).permutation(count).astype("uint64")
    return drawn(contents, seed)


def _dealt(
    labels: np.ndarray,
    folds: int,
    seed: int,
    contents: np.ndarray | None,
    names: dict[int, str],
) -> np.ndarray:
    """Deal each class out in turn; a class goes on where the one before it ended."""
    lots = _lots(contents, len(labels), seed)
    fold_of: dict[int, int] = {}
    turn = 0
    # In an order that the pictures decide, not the names of the classes.
    classes = sorted(np.unique(labels), key=lambda label: lots[labels == label].min())
    for label in classes:
        distinct = np.unique(lots[labels == label])
        if len(distinct) < folds:
            raise ValueError(
                f"Each class needs a picture for each of {folds} folds, received "
                f"{len(distinct)} different ones of class "
                f"{names.get(int(label), label)}. Use fewer folds, or leave the class "
                "out."
            )
        for lot in distinct.tolist():
            if lot not in fold_of:  # Else an equal picture of another class.
                fold_of[lot] = turn % folds
                turn += 1
    return np.array([fold_of[lot] for lot in lots.tolist()], dtype="int64")


class _Groups:
    """Groups of pictures in an order that their contents and the seed decide.

    Attributes:
        numbers: of the group of each image, int64 (N,).
        count: of groups, G; those with equal pictures are one.
        classes: labels that occur, (C,), in such an order, too.
        counts: pictures of each class in each group, int64 (G, C).
        balanced: what is spread evenly over the parts, int64 (G, C or C + 1).
        merged_text: says that groups were merged, for errors.
    """

    def __init__(
        self,
        labels: np.ndarray,
        groups: np.ndarray,
        seed: int,
        contents: np.ndarray | None,
    ) -> None:
        _, named = np.unique(groups, return_inverse=True)
        numbers = named if contents is None else _merged(named, contents)
        merged = len(np.unique(named)) - len(np.unique(numbers))
        self.merged_text = f" ({merged} groups share pictures)" if merged else ""
        lots = _lots(contents, len(labels), seed)
        _, numbers = np.unique(numbers, return_inverse=True)
        self.count = int(numbers.max(initial=-1)) + 1
        lot = np.full(self.count, np.iinfo("uint64").max, "uint64")
        np.minimum.at(lot, numbers, lots)
        rank = np.argsort(np.argsort(lot, kind="stable"), kind="stable")
        self.numbers = rank[numbers]
        classes, members = _members(labels)
        by_lot = sorted(range(len(classes)), key=lambda i: lots[members[i]].min())
        self.classes = classes[by_lot]
        self.counts = np.zeros((self.count, len(by_lot)), "int64")
        for column, i in enumerate(by_lot):
            own = self.numbers[members[i]]
            self.counts[:, column] = np.bincount(own, minlength=self.count)
        # Pictures may have no label, or many: their number counts as well.
        sizes = np.bincount(self.numbers, minlength=self.count)
        self.balanced = self.counts
        if labels.ndim == 2:
            self.balanced = np.column_stack([self.counts, sizes])


def _members(labels: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the classes that occur and the pictures of each."""
    if labels.ndim == 1:
        classes = np.unique(labels)
        return classes, [np.flatnonzero(labels == label) for label in classes]
    classes = np.flatnonzero(labels.any(axis=0))
    return classes, [np.flatnonzero(labels[:, label]) for label in classes]


def _merged(groups: np.ndarray, contents: np.ndarray) -> np.ndarray:
    """Return groups of which those with equal pictures have one number."""
    parent = np.arange(groups.max(initial=-1) + 1)

    def root(group: int) -> int:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = int(parent[group])
        return group

    order = np.argsort(contents, kind="stable")
    equal = np.flatnonzero(contents[order][1:] == contents[order][:-1])
    ordered = groups[order].tolist()
    for i in equal.tolist():
        parent[root(ordered[i])] = root(ordered[i + 1])
    return np.array([root(group) for group in groups])


def _assigned(
    whole: _Groups, shares: np.ndarray, may_hold_all: tuple[int, ...] = ()
) -> np.ndarray:
    """Return the part of each group, int64 (G,): near its share of each class.

    Large groups come first; those of about one size in the order of their lots. Each
    goes where the classes are then spread most evenly.

    Args:
        whole: the groups.
        shares: of each part, the sum 1.
        may_hold_all: parts that may hold all pictures of a class; of the others, some
            are always elsewhere.

    Reference: scikit-learn's StratifiedGroupKFold.
    """
    counts = whole.balanced
    sizes = counts.sum(axis=1)
    order = sorted(range(whole.count), key=lambda g: (-int(sizes[g]).bit_length(), g))
    wanted = shares[:, None] * counts.sum(axis=0)
    filled = np.zeros_like(wanted)
    groups_left = np.count_nonzero(counts, axis=0)
    found = np.zeros(whole.count, "int64")
    for number, group in enumerate(order):
        has = counts[group] > 0
        groups_left = groups_left - has
        last = has & (groups_left == 0)
        elsewhere = filled.sum(axis=0) - filled
        allowed = [
            part
            for part in range(len(shares))
            if part in may_hold_all or not (last & (elsewhere[part] == 0)).any()
        ]
        empty = [part for part in range(len(shares)) if not filled[part].any()]
        if len(order) - number <= len(empty):
            allowed = [part for part in allowed if part in empty]
        if not allowed:
            raise ValueError(
                f"The groups cannot be divided into parts of {np.round(shares, 3)} so "
                f"that each class can be learned{whole.merged_text}: there are "
                f"{whole.count}. Make more groups, or hold out less."
            )
        found[group] = min(
            allowed, key=lambda part: _unevenness(filled, wanted, counts[group], part)
        )
        filled[found[group]] += counts[group]
    return found


def _unevenness(
    filled: np.ndarray, wanted: np.ndarray, added: np.ndarray, part: int
) -> tuple[float, float, int]:
    """Return how unevenly parts are filled once a group is added to one of them."""
    after = filled.copy()
    after[part] += added
    spread = float((after / wanted).std(axis=0).mean())
    return round(spread, 9), float(after[part].sum() / wanted[part].sum()), part
