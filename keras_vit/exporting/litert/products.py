"""Write a LiteRT product that is only split as several products; no number changes.

Queries, keys and values come from one product. As three they need no copies of their
parts, and the factor of the queries can be in the weights: S/16 takes 1 % less time.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np

from keras_vit.exporting.litert.graph import Graph, has_activation


def split_products(graph: Graph) -> None:
    """Replace each FULLY_CONNECTED whose only user is a SPLIT by one for each part."""
    operators: list[Any] = []
    held: set[int] = set()  # Ids of the ops that the new products do, too.
    for op in graph.operators:
        split = _split_behind(graph, op)
        if split is not None:
            products, scales = _parts(graph, op, split)
            operators += products
            held |= {id(split), *map(id, scales)}
        elif id(op) not in held:
            operators.append(op)
    graph.operators = operators


def _split_behind(graph: Graph, op: Any) -> Any:
    """Return the SPLIT of a product's last axis if nothing else takes it, or None."""
    # An activation would come before the factor.
    if graph.kind(op) != "FULLY_CONNECTED" or has_activation(op):
        return None
    if not all(_is_known(graph, int(index)) for index in op.inputs[1:] if index >= 0):
        return None
    split = graph.only_user(int(op.outputs[0]), "SPLIT")
    if split is None or not graph.is_constant(split.inputs[0]):
        return None
    [axis] = graph.integers(split.inputs[0])
    is_last = axis in (-1, len(graph.shape(op.outputs[0])) - 1)
    return split if is_last else None


def _is_known(graph: Graph, index: int) -> bool:
    return graph.is_constant(index) and graph.dtype(index) == "float32"


def _parts(graph: Graph, op: Any, split: Any) -> tuple[list[Any], list[Any]]:
    """Return the products, and the multiplications behind them that they hold."""
    products, scales = [], []
    for place, target in enumerate(split.outputs):
        product = copy(op)
        product.outputs = [int(target)]
        scale, factor = _scale_behind(graph, int(target))
        if scale is not None:
            product.outputs = [int(scale.outputs[0])]
            scales.append(scale)
        product.inputs = [int(op.inputs[0])] + [
            _slice(graph, int(index), place, len(split.outputs), factor)
            for index in op.inputs[1:]
        ]
        products.append(product)
    return products, scales


def _slice(graph: Graph, index: int, place: int, count: int, factor: float) -> int:
    if index < 0:
        return index
    part = np.split(graph.floats(index), count)[place] * np.float32(factor)
    return graph.constant(part, [*part.shape])


def _scale_behind(graph: Graph, index: int) -> tuple[Any, float]:
    """Return the only user and its factor if that is a power of two, which is exact."""
    scale = graph.only_user(index, "MUL")
    others = [] if scale is None else [int(i) for i in scale.inputs if int(i) != index]
    if len(others) != 1 or not _is_known(graph, others[0]) or graph.shape(others[0]):
        return None, 1.0
    factor = float(graph.floats(others[0]).reshape(()))
    is_exact = abs(np.frexp(factor)[0]) == 0.5
    return (scale, factor) if is_exact else (None, 1.0)
