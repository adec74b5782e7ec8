"""From what was measured to findings with a title and advice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from keras_vit.inspecting.data_check import Finding
from keras_vit.inspecting.duplicates import Pairs, groups
from keras_vit.inspecting.pictures import PictureFacts

# Blurred is what exceeds this, and what is usual in the set by that much.
_BLURRED, _ABOVE_USUAL = 0.65, 0.2
_LONG = 3.0
# A class is rare with fewer pictures, or with fewer by that factor than the largest.
_FEW, _FACTOR = 10, 10

Pictures = Sequence[PictureFacts]


def count_of(count: int, one: str, more: str) -> str:
    """Return a number with its words."""
    return f"{count:,} {one if count == 1 else more}"


def broken(pictures: Pictures) -> Finding | None:
    """Return the files that cannot be read."""
    found = [n for n, p in enumerate(pictures) if p.problem is not None]
    if not found:
        return None
    return Finding(
        kind="broken",
        looked_for="files that cannot be read",
        title=count_of(len(found), "file cannot be read", "files cannot be read"),
        advice="Repair or remove them, or leave them out with --skip-unreadable",
        groups=tuple((n,) for n in found),
        notes=tuple(pictures[n].problem or "" for n in found),
    )


def copies(
    pictures: Pictures, equal: Pairs, near: Pairs, class_names: Sequence[str]
) -> Iterator[Finding]:
    """Yield groups of the same picture: between classes, parts, and the others.

    Args:
        pictures: all.
        equal: pairs with the same content.
        near: pairs of which one is a copy or a crop of the other.
        class_names: empty if there are no labels.
    """
    together = groups([*equal, *near])
    exact = {tuple(group) for group in groups(equal)}
    across_classes: list[tuple[int, ...]] = []
    across_parts: list[tuple[int, ...]] = []
    equal_ones: list[tuple[int, ...]] = []
    near_ones: list[tuple[int, ...]] = []
    for group in together:
        labels = {pictures[n].label for n in group}
        parts = {pictures[n].part for n in group}
        if len(labels) > 1 and class_names:
            across_classes.append(group)
        if len(parts) > 1:
            across_parts.append(group)
        if len(labels) == len(parts) == 1:
            (equal_ones if group in exact else near_ones).append(group)
    if across_classes:
        yield Finding(
            kind="between_classes",
            looked_for="equal pictures",
            title=f"The same picture has several classes, {_times(across_classes)}",
            advice="Keep each once, with the right label: one of them teaches an error",
            groups=tuple(across_classes),
            notes=tuple(
                ", ".join(class_names[pictures[n].label] for n in group[:6])
                for group in across_classes
            ),
        )
    if across_parts:
        yield Finding(
            kind="between_splits",
            looked_for="equal pictures",
            title="The same picture is in training and in a held-out part, "
            + _times(across_parts),
            advice="Remove one of each: the accuracy is too good by what is known",
            groups=tuple(across_parts),
            notes=tuple(
                ", ".join(pictures[n].part for n in group[:6]) for group in across_parts
            ),
        )
    if equal_ones:
        yield Finding(
            kind="equal",
            looked_for="equal pictures",
            title=f"{_repeated(equal_ones)} equal to another one",
            advice="Keep one of each; splits of load_data keep equal ones together",
            groups=tuple(equal_ones),
        )
    if near_ones:
        yield Finding(
            kind="near",
            looked_for="near duplicates",
            title=f"{_repeated(near_ones)} nearly equal to another one",
            advice="Encoded again, resized or cropped: keep the best of each, or split "
            "the data so that they stay together",
            groups=tuple(near_ones),
        )


def _times(found: Sequence[tuple[int, ...]]) -> str:
    return "once" if len(found) == 1 else f"{len(found):,} times"


def _repeated(found: Sequence[tuple[int, ...]]) -> str:
    return count_of(sum(len(g) - 1 for g in found), "picture is", "pictures are")


def poor(pictures: Pictures) -> Iterator[Finding]:
    """Yield pictures that show little: of one colour, blurred, very long."""
    readable = [n for n, p in enumerate(pictures) if p.problem is None]
    blank = [n for n in readable if pictures[n].is_blank]
    if blank:
        yield _listed(
            "blank",
            "pictures of one colour",
            blank,
            count_of(len(blank), "picture is", "pictures are") + " of one colour",
            "There is nothing to learn from: remove them",
        )
    others = [n for n in readable if not pictures[n].is_blank]
    values = np.array([pictures[n].blur for n in others])
    usual = float(np.median(values)) if len(values) else 0.0
    limit = max(_BLURRED, usual + _ABOVE_USUAL)
    order = np.argsort(-values, kind="stable")
    blurred = [others[i] for i in order if values[i] > limit]
    if blurred:
        yield _listed(
            "blurred",
            "blurred pictures",
            blurred,
            count_of(len(blurred), "picture is", "pictures are")
            + " blurred at the size that models see",
            "Look whether the class can be told, else remove them",
            [f"blur {pictures[n].blur:.2f}, usual {usual:.2f}" for n in blurred],
        )
    long = [n for n in readable if pictures[n].is_longer_than(_LONG)]
    if long:
        yield _listed(
            "long",
            "very long pictures",
            long,
            count_of(len(long), "picture is", "pictures are")
            + f" more than {_LONG:g} times as long as wide",
            'A crop to a square leaves most of them out: use resize="squash" or '
            '"border" in Preprocessing if the ends matter',
            [f"{pictures[n].width} x {pictures[n].height}" for n in long],
        )


def imbalance(pictures: Pictures, class_names: Sequence[str]) -> Finding | None:
    """Return the classes with few pictures to train on."""
    if len(class_names) < 2:
        return None
    counts = Counter(p.label for p in pictures if p.part == "train")
    largest = max(counts.values(), default=0)
    rare = {
        name: counts[label]
        for label, name in enumerate(class_names)
        if counts[label] < _FEW or counts[label] * _FACTOR < largest
    }
    if not rare:
        return None
    each = ", ".join(f"{name} {n:,}" for name, n in list(rare.items())[:12])
    more = f", and {len(rare) - 12} more" if len(rare) > 12 else ""
    return Finding(
        kind="imbalance",
        looked_for="rare classes",
        title=f"{count_of(len(rare), 'class is', 'classes are')} rare in training, "
        f"where the largest has {largest:,}: {each}{more}",
        advice="Add pictures of them, or weigh classes; read the accuracy class by "
        "class",
    )


def wrong_labels(found: Sequence[int], notes: Sequence[str]) -> Finding | None:
    """Return the pictures whose label is likely wrong, the surest first."""
    if not found:
        return None
    return _listed(
        "wrong_labels",
        "wrong labels",
        found,
        count_of(len(found), "label is", "labels are") + " likely wrong",
        "Look at them, the surest first: a classifier that has not seen the picture "
        "says another class",
        notes,
    )


def unjudged(why: str) -> Finding:
    """Return that nobody knows which labels are wrong, and why."""
    return Finding(
        kind="labels_unjudged",
        looked_for="wrong labels",
        title=f"Labels were not judged: {why}",
        advice="Add pictures, or take a stronger model",
    )


def far_away(found: Sequence[int]) -> Finding | None:
    """Return the pictures that are unlike all others."""
    if not found:
        return None
    return _listed(
        "outliers",
        "outliers",
        found,
        count_of(len(found), "picture is", "pictures are") + " unlike all others",
        "Look whether they belong to the data",
    )


def _listed(
    kind: str,
    looked_for: str,
    found: Sequence[int],
    title: str,
    advice: str,
    notes: Sequence[str] = (),
) -> Finding:
    return Finding(
        kind=kind,
        looked_for=looked_for,
        title=title,
        advice=advice,
        groups=tuple((number,) for number in found),
        notes=tuple(notes),
    )
