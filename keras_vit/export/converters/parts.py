"""Which matrix products of a LiteRT file belong to which part of the Keras model."""

from __future__ import annotations

import re
from collections.abc import Sequence

from keras_vit.export.converters.graph import list_graph
from keras_vit.export.converters.recipes import PRODUCTS


def find_parts(path: str, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the scopes of the matrix products in each part, in the model's order.

    Args:
        path: of the file, in float32.
        names: of the parts, "block_0/attention" for example; a product that no name
            fits belongs to the last part.
    """
    patterns = {name: _pattern(name) for name in names}
    found: dict[str, list[str]] = {name: [] for name in names}
    for op in list_graph(path):
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
