"""The graph of a LiteRT file, to read and to change."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

CUSTOM = "CUSTOM"
_IDENTIFIER = b"TFL3"  # bytes 4 to 8 of each file


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A tensor of a LiteRT file."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    is_constant: bool
    is_dynamic: bool

    @property
    def text(self) -> str:
        """Shape and dtype in words."""
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, kw_only=True)
class Op:
    """An op of a LiteRT file.

    Args:
        kind: "ADD", or "CUSTOM:FlexErf".
        inputs: tensors; what is optional and missing is left out.
        outputs: tensors.
        options: of the op, as the schema holds them; None if it has none.
    """

    kind: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    options: Any

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All that goes in and comes out."""
        return (*self.inputs, *self.outputs)

    @property
    def dtypes(self) -> set[str]:
        """What is computed with: no shapes, axes or biases of integers."""
        found = {tensor.dtype for tensor in self.tensors}
        return found - {"int32", "int64"} or found

    @property
    def scope(self) -> str:
        """What ai-edge-quantizer compares with the regular expression of a rule.

        LiteRT's converter makes names from the Keras layers that an op came from, but
        what the last one gives bears the name of the output.
        """
        return "".join(f"{tensor.name};" for tensor in self.outputs)


def read_graphs(path: str | Path) -> list[Graph]:
    """Return the graphs of a LiteRT file: the main one, then those of loops.

    Raises:
        ImportError: if ai-edge-litert is not installed.
        ValueError: if the file is no LiteRT model.
    """
    try:
        from ai_edge_litert.tools import flatbuffer_utils
    except ImportError as error:
        raise ImportError(
            "The LiteRT runtime is needed to read a .tflite file. Install it with "
            "pip install 'keras3-vit[export]'."
        ) from error
    with open(path, "rb") as file:
        is_litert = file.read(8)[4:] == _IDENTIFIER
    if not is_litert:
        raise ValueError(f"{str(path)!r} is no LiteRT model, or a damaged one.")
    model = flatbuffer_utils.read_model(str(path))
    return [Graph(model, number) for number in range(len(model.subgraphs))]


def read_ops(path: str | Path) -> list[Op]:
    """Return the ops of all graphs in a LiteRT file, in order; raises as above."""
    return [op for graph in read_graphs(path) for op in graph.ops]


class Graph:
    """One graph of a LiteRT model.

    `ops` is a view for readers. What changes a graph works on `operators`, the tables
    of the schema, in which tensors are numbers.

    Args:
        model: the whole model, a `ModelT` of the schema.
        number: of the graph in it.
    """

    def __init__(self, model: Any, number: int = 0) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema: Any = schema
        self.model = model
        self.tables = model.subgraphs[number]
        names = {number: name for name, number in vars(schema.BuiltinOperator).items()}
        dtypes = vars(schema.TensorType).items()
        self._dtypes = {number: name.lower() for name, number in dtypes}
        self._kinds = [_kind(code, names) for code in model.operatorCodes or ()]

    @property
    def operators(self) -> list[Any]:
        """The ops as the schema holds them."""
        return self.tables.operators or []

    @operators.setter
    def operators(self, operators: list[Any]) -> None:
        self.tables.operators = operators

    @property
    def inputs(self) -> set[int]:
        """The tensors that are handed in."""
        return {int(index) for index in self.tables.inputs}

    @property
    def outputs(self) -> set[int]:
        """The tensors that are given back."""
        return {int(index) for index in self.tables.outputs}

    @property
    def ops(self) -> list[Op]:
        """The ops with all that is known of them."""
        tensors = [self._tensor(index) for index in range(len(self.tables.tensors))]
        return [
            Op(
                kind=self.kind(op),
                inputs=tuple(tensors[index] for index in op.inputs or () if index >= 0),
                outputs=tuple(tensors[index] for index in op.outputs or ()),
                options=op.builtinOptions,
            )
            for op in self.operators
        ]

    def _tensor(self, index: int) -> Tensor:
        signature = self.tables.tensors[index].shapeSignature
        return Tensor(
            name=(self.tables.tensors[index].name or b"").decode(),
            shape=tuple(self.shape(index)),
            dtype=self.dtype(index),
            is_constant=self.is_constant(index),
            is_dynamic=signature is not None and min(signature, default=0) < 0,
        )

    def kind(self, op: Any) -> str:
        """Return "ADD", for example."""
        return self._kinds[op.opcodeIndex]

    def shape(self, index: int) -> list[int]:
        """Return the sizes of a tensor."""
        shape = self.tables.tensors[index].shape
        return [] if shape is None else [int(size) for size in shape]

    def dtype(self, index: int) -> str:
        """Return "float32", for example."""
        return self._dtypes[self.tables.tensors[index].type]

    def has_fixed_shapes(self) -> bool:
        """Return whether the sizes of all tensors are known before the run."""
        tensors = range(len(self.tables.tensors))
        return not any(self._tensor(index).is_dynamic for index in tensors)

    def is_constant(self, index: int) -> bool:
        """Return whether a tensor's values are in the file."""
        data = self._data(index)
        return data is not None and len(data) > 0

    def integers(self, index: int) -> list[int]:
        """Return the values of a constant of 32-bit integers."""
        return np.frombuffer(bytes(self._data(index)), "int32").tolist()

    def floats(self, index: int) -> np.ndarray:
        """Return a constant of 32-bit floats."""
        values = np.frombuffer(bytes(self._data(index)), "float32")
        return values.reshape(self.shape(index))

    def _data(self, index: int) -> Any:
        return self.model.buffers[self.tables.tensors[index].buffer].data

    def only_user(self, index: int, kind: str) -> Any:
        """Return the op without activation that alone takes a tensor; None: another.

        Args:
            index: of the tensor, which the graph does not give back.
            kind: that the op must have.
        """
        users = [op for op in self.operators if index in op.inputs]
        if len(users) != 1 or self.kind(users[0]) != kind or index in self.outputs:
            return None
        return None if has_activation(users[0]) else users[0]

    def reshaped(self, index: int, shape: list[int]) -> int:
        """Return a new tensor with the values of a constant in another shape."""
        tensor = copy(self.tables.tensors[index])
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

    def _added(self, tensor: Any) -> int:
        index = len(self.tables.tensors)
        # Quantizers want each name once, and parts are found by its beginning.
        tensor.name = tensor.name + f"/ranks_{index}".encode()
        self.tables.tensors.append(tensor)
        return index

    def replace(self, index: int, other: int) -> None:
        """Let all ops take another tensor instead of one."""
        for op in self.operators:
            op.inputs = [other if int(i) == index else int(i) for i in op.inputs]

    def drop_unused(self) -> None:
        """Take out tensors that no op takes or gives, and their values."""
        tables, model = self.tables, self.model
        lists = [tables.inputs, tables.outputs]
        lists += [part for op in self.operators for part in (op.inputs, op.outputs)]
        used = sorted({int(index) for part in lists for index in part if index >= 0})
        places = {index: place for place, index in enumerate(used)}
        places[-1] = -1  # an input that is left out
        tables.tensors = [tables.tensors[index] for index in used]
        for table in (tables, *self.operators):
            table.inputs = [places[int(index)] for index in table.inputs]
            table.outputs = [places[int(index)] for index in table.outputs]
        for signature in model.signatureDefs or ():
            for tensor in (*signature.inputs, *signature.outputs):
                tensor.tensorIndex = places[tensor.tensorIndex]
        kept = {tensor.buffer for tensor in tables.tensors}
        kept |= {entry.buffer for entry in model.metadata or ()}
        for number, buffer in enumerate(model.buffers):
            if number not in kept:
                buffer.data = None

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


def has_activation(op: Any) -> bool:
    """Return whether an op applies another function to what it computes."""
    return bool(getattr(op.builtinOptions, "fusedActivationFunction", 0))


def _kind(code: Any, names: dict[int, str]) -> str:
    # Files from before 2020 have the op in the first of two fields.
    kind = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
    return f"{CUSTOM}:{code.customCode.decode()}" if kind == CUSTOM else kind
