"""The graph of a LiteRT file, to be changed."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np


class Graph:
    """The only graph of a model, and what is asked of it."""

    def __init__(self, model: Any) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema: Any = schema
        self.model = model
        self.graph = model.subgraphs[0]
        names = {number: name for name, number in vars(schema.BuiltinOperator).items()}
        dtypes = vars(schema.TensorType).items()
        self._dtypes = {number: name for name, number in dtypes}
        self._kinds = [
            names[max(code.builtinCode, code.deprecatedBuiltinCode)]
            for code in model.operatorCodes
        ]

    def kind(self, op: Any) -> str:
        """Return "ADD", for example."""
        return self._kinds[op.opcodeIndex]

    def shape(self, index: int) -> list[int]:
        """Return the sizes of a tensor."""
        shape = self.graph.tensors[index].shape
        return [] if shape is None else [int(size) for size in shape]

    def dtype(self, index: int) -> str:
        """Return "FLOAT32", for example."""
        return self._dtypes[self.graph.tensors[index].type]

    def has_fixed_shapes(self) -> bool:
        """Return whether the sizes of all tensors are known before the run."""
        signatures = [tensor.shapeSignature for tensor in self.graph.tensors]
        return all(signature is None or -1 not in signature for signature in signatures)

    def is_constant(self, index: int) -> bool:
        """Return whether a tensor's values are in the file."""
        return self._data(index) is not None

    def integers(self, index: int) -> list[int]:
        """Return the values of a constant of 32-bit integers."""
        return np.frombuffer(bytes(self._data(index)), "int32").tolist()

    def floats(self, index: int) -> np.ndarray:
        """Return a constant of 32-bit floats."""
        values = np.frombuffer(bytes(self._data(index)), "float32")
        return values.reshape(self.shape(index))

    def _data(self, index: int) -> Any:
        return self.model.buffers[self.graph.tensors[index].buffer].data

    def reshaped(self, index: int, shape: list[int]) -> int:
        """Return a new tensor with the values of a constant in another shape."""
        tensor = copy(self.graph.tensors[index])
        tensor.shape = shape
        tensor.shapeSignature = None
        return self._added(tensor)

    def constant(self, values: Any, shape: list[int]) -> int:
        """Return a new tensor with integers, or with an array of 32-bit floats."""
        types = self.schema.TensorType
        is_float = getattr(values, "dtype", None) == np.float32
        array = np.asarray(values, "float32" if is_float else "int32")
        data = np.ascontiguousarray(array).reshape(-1).view("uint8")
        self.model.buffers.append(self.schema.BufferT(data=data))
        return self._added(
            self.schema.TensorT(
                shape=shape,
                type=types.FLOAT32 if is_float else types.INT32,
                buffer=len(self.model.buffers) - 1,
                name=b"constant",
            )
        )

    def replace(self, index: int, other: int) -> None:
        """Let all ops take another tensor instead of one."""
        for op in self.graph.operators:
            op.inputs = [other if int(i) == index else int(i) for i in op.inputs]

    def drop_unused(self) -> None:
        """Take out tensors that no op takes or gives, and their values."""
        graph, model = self.graph, self.model
        lists = [graph.inputs, graph.outputs]
        lists += [part for op in graph.operators for part in (op.inputs, op.outputs)]
        used = sorted({int(index) for part in lists for index in part if index >= 0})
        places = {index: place for place, index in enumerate(used)}
        places[-1] = -1  # an input that is left out
        graph.tensors = [graph.tensors[index] for index in used]
        graph.inputs = [places[int(index)] for index in graph.inputs]
        graph.outputs = [places[int(index)] for index in graph.outputs]
        for op in graph.operators:
            op.inputs = [places[int(index)] for index in op.inputs]
            op.outputs = [places[int(index)] for index in op.outputs]
        for signature in model.signatureDefs or ():
            for tensor in (*signature.inputs, *signature.outputs):
                tensor.tensorIndex = places[tensor.tensorIndex]
        kept = {tensor.buffer for tensor in graph.tensors}
        kept |= {entry.buffer for entry in model.metadata or ()}
        for number, buffer in enumerate(model.buffers):
            if number not in kept:
                buffer.data = None

    def _added(self, tensor: Any) -> int:
        index = len(self.graph.tensors)
        # Quantizers want each name once, and parts are found by its beginning.
        tensor.name = tensor.name + f"/ranks_{index}".encode()
        self.graph.tensors.append(tensor)
        return index

    def reshape(self, source: int, target: int) -> Any:
        """Return a new op that gives a tensor the shape of another."""
        shape = self.shape(target)
        return self.schema.OperatorT(
            opcodeIndex=self._reshape_code(),
            inputs=[source, self.constant(shape, [len(shape)])],
            outputs=[target],
            builtinOptionsType=self.schema.BuiltinOptions.ReshapeOptions,
            builtinOptions=self.schema.ReshapeOptionsT(newShape=shape),
        )

    def _reshape_code(self) -> int:
        if "RESHAPE" not in self._kinds:
            number = self.schema.BuiltinOperator.RESHAPE
            code = self.schema.OperatorCodeT(
                builtinCode=number, deprecatedBuiltinCode=number, version=1
            )
            self.model.operatorCodes.append(code)
            self._kinds.append("RESHAPE")
        return self._kinds.index("RESHAPE")
