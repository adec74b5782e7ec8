"""Compute what a LiteRT graph pads at run time although it knows it; no number changes.

The class token is a constant, padded to the length of the tokens and added to them, and
then the positions are. TensorFlow's converter does not compute such a padding if it is
large, and GPUs refuse an op that takes constants only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_vit.exporting.litert.graph import Graph


def fold_padding(graph: Graph) -> None:
    """Turn padded constants into constants, one with what is added after them."""
    padded = {}
    operators = []
    for op in graph.operators:
        if graph.kind(op) == "PAD" and _is_known(graph, op):
            values = np.pad(graph.floats(op.inputs[0]), _widths(graph, op))
            padded[int(op.outputs[0])] = values.astype("float32")
        else:
            operators.append(op)
    graph.operators = operators
    for index, values in padded.items():
        if not _join(graph, index, values):
            graph.replace(index, graph.constant(values, graph.shape(index)))


def _is_known(graph: Graph, op: Any) -> bool:
    is_output = op.outputs[0] in graph.outputs
    is_float = graph.dtype(op.inputs[0]) == "float32"
    is_constant = graph.is_constant(op.inputs[0]) and _knows_widths(graph, op)
    return is_constant and is_float and not is_output


def _knows_widths(graph: Graph, op: Any) -> bool:
    return graph.is_constant(op.inputs[1]) and graph.dtype(op.inputs[1]) == "int32"


def _widths(graph: Graph, op: Any) -> np.ndarray:
    return np.array(graph.integers(op.inputs[1])).reshape(-1, 2)


def _join(graph: Graph, index: int, values: np.ndarray) -> bool:
    """Add a padded constant to the one that is added next, if that is exact.

    (x + a) + b is x + (a + b) if x is zero where a is not.
    """
    addition = graph.only_user(index, "ADD")
    if addition is None:
        return False
    [rest] = {int(i) for i in addition.inputs} - {index} or {index}
    target = int(addition.outputs[0])
    following = graph.only_user(target, "ADD")
    if following is None or not _is_padded_around(graph, rest, values):
        return False
    [other] = {int(i) for i in following.inputs} - {target} or {target}
    if not graph.is_constant(other) or graph.shape(other) != [*values.shape]:
        return False
    total = values + graph.floats(other)
    following.inputs = [rest, graph.constant(total, [*values.shape])]
    graph.operators.remove(addition)
    return True


def _is_padded_around(graph: Graph, index: int, values: np.ndarray) -> bool:
    """Return whether a tensor is padded with zeros wherever the values are not zero."""
    makers = [op for op in graph.operators if index in op.outputs]
    if [graph.kind(op) for op in makers] != ["PAD"]:
        return False
    if not _knows_widths(graph, makers[0]):
        return False
    inside = np.ones(graph.shape(makers[0].inputs[0]), bool)
    inside = np.pad(inside, _widths(graph, makers[0]))
    return inside.shape == values.shape and not values[inside].any()
