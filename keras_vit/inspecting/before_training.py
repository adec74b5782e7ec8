"""The cheap part of a check: what labels and contents say, without a look at pixels."""

from __future__ import annotations

from collections import Counter

import numpy as np

from keras_vit.data.image_data import ImageData
from keras_vit.data.images import Images
from keras_vit.inspecting.duplicates import equal_pairs
from keras_vit.inspecting.findings import count_of

_FACTOR = 10


def before_training(data: ImageData) -> list[str]:
    """Return a line for each thing that makes a run or its accuracy doubtful.

    Equal pictures with different labels, equal pictures in training and in a held-out
    part, classes that are ten times as rare as the largest. Streams, whose contents
    nobody knows, give nothing.
    """
    parts = [(n, p) for n, p in data.parts.items() if isinstance(p, Images)]
    known = [(n, p, p.content) for n, p in parts if p.content is not None]
    if not known:
        return []
    contents = np.concatenate([content for _, _, content in known])
    labels = np.concatenate([part.labels for _, part, _ in known])
    names = np.repeat([name for name, _, _ in known], [len(c) for _, _, c in known])
    pairs = equal_pairs(contents)
    torn = sum(int(np.any(labels[a] != labels[b])) for a, b in pairs)
    leaked = sum(int(names[a] != names[b]) for a, b in pairs)
    lines = []
    if torn:
        lines.append(
            f"{count_of(torn, 'picture is', 'pictures are')} there again with another "
            "label."
        )
    if leaked:
        lines.append(
            f"{count_of(leaked, 'held-out picture is', 'held-out pictures are')} in "
            "another part, too: the accuracy will be too good."
        )
    train = labels[names == "train"]
    # Of several labels each is counted.
    each = train if train.ndim == 1 else np.nonzero(train)[1]
    counts = Counter(each.tolist())
    largest = max(counts.values(), default=0)
    rare = [
        f"{data.class_names[label]} {counts[label]:,}"
        for label in range(data.num_classes)
        if counts[label] * _FACTOR < largest
    ]
    if rare:
        more = f" and {len(rare) - 5} more" if rare[5:] else ""
        lines.append(
            f"Rare classes, where the largest has {largest:,} pictures to train on: "
            f"{', '.join(rare[:5])}{more}."
        )
    return lines
