"""Give the tensors of a LiteRT graph the ranks that GPUs want; no number changes.

TensorFlow's converter writes tokens as (T, D) wherever it need not write (1, T, D).
GPUs take the first axis of each tensor for the batch: the delegate of phones refuses to
add (T, D) to (1, T, D), and WebGPU in LiteRT.js 2.5 does it wrongly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_vit.exporting.litert.graph import Graph

BINARY = frozenset("ADD DIV MAXIMUM MINIMUM MUL SUB".split())
# Ops on each value by itself, or along the last axis.
UNARY = frozenset(
    """
    ABS COS ELU EXP GELU HARD_SWISH LEAKY_RELU LOGISTIC NEG RELU RELU6 RELU_0_TO_1
    RELU_N1_TO_1 RSQRT SIN SOFTMAX SQRT SQUARE TANH
    """.split()
)
REDUCING = frozenset("MEAN REDUCE_MAX REDUCE_MIN SUM".split())
KEEPING_VERSION = 5  # of FULLY_CONNECTED: since then it can keep axes


def keep_batch_axis(graph: Graph) -> None:
    """Write (1, T, D) for (T, D) wherever all ops around it allow that."""
    flat = _flat_tensors(graph)
    for index in flat:
        graph.tables.tensors[index].shape = [1, *graph.shape(index)]
    for op in graph.operators:
        if flat & _activations(op):
            _FAMILIES[graph.kind(op)].change(graph, op)
    _drop_idle_reshapes(graph)


def expand_operands(graph: Graph) -> None:
    """Give both operands of the ops that are left the same rank, by a reshape."""
    operators = []
    for op in graph.operators:
        if graph.kind(op) in BINARY:
            ranks = [len(graph.shape(index)) for index in op.inputs]
            place = int(np.argmin(ranks))
            if 2 <= min(ranks) < max(ranks):
                source = op.inputs[place]
                shape = [1] * (max(ranks) - min(ranks)) + graph.shape(source)
                op.inputs[place] = graph.reshaped(source, shape)
                if not graph.is_constant(source):
                    operators.append(graph.reshape(source, op.inputs[place]))
        operators.append(op)
    graph.operators = operators


def _flat_tensors(graph: Graph) -> set[int]:
    """Return the tensors (T, D) that can be (1, T, D)."""
    kept = {*graph.inputs, *graph.outputs}
    flat = {
        index
        for op in graph.operators
        for index in _activations(op) - kept
        if len(shape := graph.shape(index)) == 2
        and shape[0] > 1
        and not graph.is_constant(index)
    }
    # What one op cannot take back keeps its neighbours from changing, and so on.
    while True:
        refused = {
            index
            for op in graph.operators
            if (touched := flat & _activations(op)) and not _allows(graph, op, flat)
            for index in touched
        }
        if not refused:
            return flat
        flat -= refused


def _activations(op: Any) -> set[int]:
    return {int(index) for index in (*op.inputs, *op.outputs) if index >= 0}


def _allows(graph: Graph, op: Any, flat: set[int]) -> bool:
    family = _FAMILIES.get(graph.kind(op))
    return family is not None and family.allows(graph, op, flat)


def _product_allows(graph: Graph, op: Any, flat: set[int]) -> bool:
    source, *others = op.inputs
    [target] = op.outputs
    becomes = [1, *graph.shape(source)] if source in flat else graph.shape(source)
    # It keeps all axes but the last.
    keeps = becomes[:-1] == [1, graph.shape(target)[0]]
    return target in flat and keeps and not flat & {*others}


def _binary_allows(graph: Graph, op: Any, flat: set[int]) -> bool:
    operands_fit = all(
        index in flat
        or len(graph.shape(index)) in (0, 1, 3)
        or (graph.is_constant(index) and len(graph.shape(index)) == 2)
        for index in op.inputs
    )
    [target] = op.outputs
    return operands_fit and (target in flat or len(graph.shape(target)) == 3)


def _all_are_flat(graph: Graph, op: Any, flat: set[int]) -> bool:
    others = _activations(op) - flat
    # Without a flat input, the constant is no axis but a table, which stays (T, D).
    takes_flat = bool(flat & {*op.inputs})
    return takes_flat and all(graph.is_constant(index) for index in others)


def _reduction_allows(graph: Graph, op: Any, flat: set[int]) -> bool:
    return op.builtinOptions.keepDims and _all_are_flat(graph, op, flat)


def _write_shape(graph: Graph, op: Any) -> None:
    shape = graph.shape(op.outputs[0])
    op.inputs[1] = graph.constant(shape, [len(shape)])
    if op.builtinOptions is not None:
        op.builtinOptions.newShape = shape


def _keep_axes(graph: Graph, op: Any) -> None:
    op.builtinOptions.keepNumDims = True
    code = graph.model.operatorCodes[op.opcodeIndex]
    code.version = max(code.version, KEEPING_VERSION)


def _expand_constants(graph: Graph, op: Any) -> None:
    for place, index in enumerate(op.inputs):
        shape = graph.shape(index)
        if graph.is_constant(index) and len(shape) == 2:
            op.inputs[place] = graph.reshaped(index, [1, *shape])


def _move_axes(place: int) -> Callable[[Graph, Any], None]:
    """Return a function that corrects the axes in an op's input at a place."""

    def move(graph: Graph, op: Any) -> None:
        former = op.inputs[place]
        axes = [_moved(axis) for axis in graph.integers(former)]
        op.inputs[place] = graph.constant(axes, graph.shape(former))

    return move


def _move_option(graph: Graph, op: Any) -> None:
    op.builtinOptions.axis = _moved(op.builtinOptions.axis)


def _moved(axis: int) -> int:
    return axis + 1 if axis >= 0 else axis


class Family(NamedTuple):
    """Ops of one kind: which tensors of theirs can change, and what follows from it.

    Args:
        allows: whether an op can have those of its tensors that are in a set as
            (1, T, D).
        change: corrects the op when they are.
    """

    allows: Callable[[Graph, Any, set[int]], bool]
    change: Callable[[Graph, Any], None]


_FAMILIES = {
    "RESHAPE": Family(lambda graph, op, flat: len(op.inputs) == 2, _write_shape),
    "FULLY_CONNECTED": Family(_product_allows, _keep_axes),
    "SPLIT": Family(_all_are_flat, _move_axes(0)),
    "CONCATENATION": Family(
        lambda graph, op, flat: {*op.inputs, *op.outputs} <= flat, _move_option
    ),
    **dict.fromkeys(BINARY, Family(_binary_allows, _expand_constants)),
    **dict.fromkeys(UNARY, Family(_all_are_flat, lambda graph, op: None)),
    **dict.fromkeys(REDUCING, Family(_reduction_allows, _move_axes(1))),
}


def _drop_idle_reshapes(graph: Graph) -> None:
    """Take out the reshapes between (1, T, D) and (T, D), which do nothing now."""
    same, operators = {}, []
    for op in graph.operators:
        op.inputs = [same.get(int(index), int(index)) for index in op.inputs]
        source, target = op.inputs[0], op.outputs[0]
        is_idle = (
            graph.kind(op) == "RESHAPE"
            and graph.shape(source) == graph.shape(target)
            and target not in graph.outputs
        )
        if is_idle:
            same[int(target)] = source
        else:
            operators.append(op)
    graph.operators = operators
