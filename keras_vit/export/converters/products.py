"""Write a LiteRT product that is only split as several products; no number changes.

Queries, keys and values come from one product. As three they need no copies of their
parts, and the factor of the queries can be in the weights: S/16 takes 1 % less time.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np

from keras_vit.export.converters.editable_graph import Graph


def split_products(graph: Graph) -> None:
    """Replace each FULLY_CONNECTED whose only user is a SPLIT by one for each part."""
    users = _users(graph)
    replaced: dict[int, list[Any]] = {}
    dropped: set[int] = set()
    for op in graph.graph.operators:
        split = _split_behind(graph, op, users)
        if split is not None:
            replaced[id(op)], scales = _parts(graph, op, split, users)
            dropped |= {id(split), *scales}
    operators = []
    for op in graph.graph.operators:
        if id(op) not in dropped:
            operators += replaced.get(id(op), [op])
    graph.graph.operators = operators


def _users(graph: Graph) -> dict[int, list[Any]]:
    users: dict[int, list[Any]] = {}
    for op in graph.graph.operators:
        for index in {int(i) for i in op.inputs}:
            users.setdefault(index, []).append(op)
    return users


def _split_behind(graph: Graph, op: Any, users: dict[int, list[Any]]) -> Any:
    """Return the SPLIT of a product's last axis if nothing else takes it, or None."""
    constants = [int(index) for index in op.inputs[1:] if index >= 0]
    is_product = graph.kind(op) == "FULLY_CONNECTED" and all(
        graph.is_constant(index) and graph.dtype(index) == "FLOAT32"
        for index in constants
    )
    if not is_product or op.outputs[0] in graph.graph.outputs:
        return None
    if op.builtinOptions.fusedActivationFunction:  # It would come before the factor.
        return None
    following = users.get(int(op.outputs[0]), [])
    if [graph.kind(user) for user in following] != ["SPLIT"]:
        return None
    [split] = following
    if not graph.is_constant(split.inputs[0]):
        return None
    [axis] = graph.integers(split.inputs[0])
    is_last = axis in (-1, len(graph.shape(op.outputs[0])) - 1)
    return split if is_last else None


def _parts(
    graph: Graph, op: Any, split: Any, users: dict[int, list[Any]]
) -> tuple[list[Any], set[int]]:
    """Return the products, and which multiplications behind them they hold."""
    products, scales = [], set()
    for place, target in enumerate(split.outputs):
        product = copy(op)
        product.outputs = [int(target)]
        factor = 1.0
        scale = _scale_behind(graph, int(target), users)
        if scale is not None:
            product.outputs = [int(scale.outputs[0])]
            factor = _factor(graph, scale, int(target))
            scales.add(id(scale))
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


def _scale_behind(graph: Graph, index: int, users: dict[int, list[Any]]) -> Any:
    """Return the only user if it multiplies by a power of two, which is exact."""
    following = users.get(index, [])
    if [graph.kind(user) for user in following] != ["MUL"]:
        return None
    [scale] = following
    others = [int(i) for i in scale.inputs if int(i) != index]
    fits = (
        len(others) == 1
        and graph.is_constant(others[0])
        and graph.dtype(others[0]) == "FLOAT32"
        and not graph.shape(others[0])
        and not scale.builtinOptions.fusedActivationFunction
        and index not in graph.graph.outputs
    )
    is_exact = fits and abs(np.frexp(_factor(graph, scale, index))[0]) == 0.5
    return scale if is_exact else None


def _factor(graph: Graph, scale: Any, index: int) -> float:
    [other] = [int(i) for i in scale.inputs if int(i) != index]
    return float(graph.floats(other).reshape(()))
