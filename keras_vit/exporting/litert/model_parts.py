"""The parts of a Keras model in its LiteRT file, and which of them stay in float."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from keras_vit.exporting.litert.float_file import FloatFile
from keras_vit.exporting.litert.graph import Op
from keras_vit.exporting.litert.quantizer_recipes import (
    PRODUCTS,
    mixed_recipe,
    parts_recipe,
)

# A mixed file keeps parts in float until it loses no more than this.
LARGEST_ERROR = 0.05
LEAST_AGREEMENT = 0.99


def find_parts(ops: Sequence[Op], names: Sequence[str]) -> dict[str, list[str]]:
    """Return the scopes of the matrix products in each part, in the model's order.

    Args:
        ops: of the file, in float32.
        names: of the parts, "block_0/attention" for example; a product that no name
            fits belongs to the last part.
    """
    patterns = {name: _pattern(name) for name in names}
    found: dict[str, list[str]] = {name: [] for name in names}
    for op in ops:
        if op.kind == PRODUCTS:
            fitting = [name for name in names if patterns[name].search(op.scope)]
            # The product behind the output bears the name of the output, not of its
            # layer: it is the head.
            found[max(fitting, key=len, default=names[-1])].append(op.scope)
    return {name: scopes for name, scopes in found.items() if scopes}


def _pattern(name: str) -> re.Pattern[str]:
    # TensorFlow numbers a name that occurs again: block_0_1/attention_1/qkv_1.
    path = "/".join(f"{re.escape(layer)}(_[0-9]+)?" for layer in name.split("/"))
    return re.compile(f"(^|[/;]){path}/")


def choose_float_parts(
    file: FloatFile, parts: dict[str, list[str]], is_classifier: bool = True
) -> list[str]:
    """Return the parts that a mixed file keeps in float, the most sensitive ones.

    Parts are added in the order of what they cost alone, until the file loses no more
    than `LARGEST_ERROR` and, as a classifier, agrees on `LEAST_AGREEMENT` of the
    images.
    """
    expected = file.outputs(file.path)
    kept: list[str] = []
    order: list[str] | None = None
    while len(kept) < len(parts):
        loss = file.loss(expected, mixed_recipe(parts, kept))
        agrees = not is_classifier or loss["top1_agreement"] >= LEAST_AGREEMENT
        if agrees and loss["error"] <= LARGEST_ERROR:
            break
        if order is None:  # Most models need no part in float, and no ranking.
            order = _most_sensitive_first(file, expected, parts)
        kept = order[: len(kept) + 1]
    return kept


def _most_sensitive_first(
    file: FloatFile, expected: np.ndarray, parts: dict[str, list[str]]
) -> list[str]:
    errors = {
        name: file.loss(expected, parts_recipe(scopes))["error"]
        for name, scopes in parts.items()
    }
    return sorted(errors, key=lambda name: -errors[name])
