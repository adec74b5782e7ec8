"""Change a LiteRT graph to what GPU delegates take, without changing a number."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np

BROADCASTING = ("ADD", "MUL", "SUB", "DIV")


def match_ranks(path: str) -> int:
    """Give both operands of an elementwise op the same rank, as GPU delegates want it.

    LiteRT's converter takes away the reshape that makes (1, T, D) of what a dense layer
    gives, (T, D), where an addition broadcasts it anyway. It is put back here.

    Args:
        path: of the file, in float32, which is overwritten.

    Returns:
        The number of operands that were changed.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model: Any = flatbuffer_utils.read_model(path)
    graph = model.subgraphs[0]
    codes = flatbuffer_utils.BuiltinOperator
    broadcasting = {getattr(codes, name) for name in BROADCASTING}
    operators, num_changed = [], 0
    for op in graph.operators:
        code = model.operatorCodes[op.opcodeIndex]
        kind = flatbuffer_utils.get_builtin_code_from_operator_code(code)
        if kind in broadcasting:
            ranks = [len(_shape(graph, index)) for index in op.inputs]
            place = int(np.argmin(ranks))
            if 2 <= min(ranks) < max(ranks):
                missing = max(ranks) - min(ranks)
                op.inputs[place], added = _expanded(model, op.inputs[place], missing)
                operators += added
                num_changed += 1
        operators.append(op)
    graph.operators = operators
    flatbuffer_utils.write_model(model, path)
    return num_changed


def _shape(graph: Any, index: int) -> list[int]:
    shape = graph.tensors[index].shape
    return [] if shape is None else [int(size) for size in shape]


def _expanded(model: Any, index: int, missing: int) -> tuple[int, list[Any]]:
    """Return a tensor with axes of 1 in front, and the op that makes it, if any."""
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    tensor = copy(graph.tensors[index])
    tensor.shape = [1] * missing + _shape(graph, index)
    tensor.shapeSignature = None
    graph.tensors.append(tensor)
    expanded = len(graph.tensors) - 1
    if model.buffers[tensor.buffer].data is not None:
        return expanded, []  # the same numbers under another shape
    tensor.name = tensor.name + b"/expanded"
    sizes = np.array(tensor.shape, "int32")
    model.buffers.append(schema.BufferT(data=sizes.view("uint8")))
    graph.tensors.append(
        schema.TensorT(
            shape=[len(sizes)],
            type=schema.TensorType.INT32,
            buffer=len(model.buffers) - 1,
            name=tensor.name + b"/shape",
        )
    )
    reshape = schema.OperatorT(
        opcodeIndex=_reshape_code(model, schema),
        inputs=[index, len(graph.tensors) - 1],
        outputs=[expanded],
        builtinOptionsType=schema.BuiltinOptions.ReshapeOptions,
        builtinOptions=schema.ReshapeOptionsT(newShape=sizes.tolist()),
    )
    return expanded, [reshape]


def _reshape_code(model: Any, schema: Any) -> int:
    reshape = schema.BuiltinOperator.RESHAPE
    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode == reshape:
            return index
    model.operatorCodes.append(
        schema.OperatorCodeT(
            builtinCode=reshape, deprecatedBuiltinCode=reshape, version=1
        )
    )
    return len(model.operatorCodes) - 1
