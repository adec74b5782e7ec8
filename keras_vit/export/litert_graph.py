"""Read the graph of a LiteRT file, with nothing but its schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

CUSTOM = "CUSTOM"


@dataclass(frozen=True, kw_only=True)
class LiteRTTensor:
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
class LiteRTOp:
    """An op of a LiteRT file.

    Args:
        kind: "ADD", or "CUSTOM:FlexErf".
        inputs: tensors; what is optional and missing is left out.
        outputs: tensors.
        options: of the op, as the schema holds them; None if it has none.
    """

    kind: str
    inputs: tuple[LiteRTTensor, ...]
    outputs: tuple[LiteRTTensor, ...]
    options: Any

    @property
    def tensors(self) -> tuple[LiteRTTensor, ...]:
        """All that goes in and comes out."""
        return (*self.inputs, *self.outputs)

    @property
    def dtypes(self) -> set[str]:
        """What is computed with: no shapes, axes or biases of integers."""
        found = {tensor.dtype for tensor in self.tensors}
        return found - {"int32", "int64"} or found


def read_ops(path: str | Path) -> list[LiteRTOp]:
    """Return the ops of all graphs in a LiteRT file, in order.

    Raises:
        ImportError: if ai-edge-litert is not installed.
        ValueError: if the file is no LiteRT model.
    """
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise ImportError(
            "The LiteRT runtime is needed to read a .tflite file. Install it with "
            "pip install 'keras3-vit[export]'."
        ) from error
    content = Path(path).read_bytes()
    if content[4:8] != b"TFL3":
        raise ValueError(f"{str(path)!r} is no LiteRT model, or a damaged one.")
    # Generated code, where each table may be missing.
    model: Any = schema.Model.GetRootAs(content, 0)
    kinds = list(_kinds(model, schema))
    found = []
    for i in range(model.SubgraphsLength()):
        graph = model.Subgraphs(i)
        tensors = [
            _tensor(graph.Tensors(j), model, schema)
            for j in range(graph.TensorsLength())
        ]
        for j in range(graph.OperatorsLength()):
            op = graph.Operators(j)
            inputs, outputs = (
                tuple(tensors[k] for k in np.atleast_1d(indices) if k >= 0)
                for indices in (op.InputsAsNumpy(), op.OutputsAsNumpy())
            )
            found.append(
                LiteRTOp(
                    kind=kinds[op.OpcodeIndex()],
                    inputs=inputs,
                    outputs=outputs,
                    options=schema.OperatorT.InitFromObj(op).builtinOptions,
                )
            )
    return found


def _kinds(model: Any, schema: Any) -> Iterator[str]:
    names = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    for i in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(i)
        # Files from before 2020 have the op in the first of two fields.
        kind = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        is_custom = kind == CUSTOM
        yield f"{CUSTOM}:{code.CustomCode().decode()}" if is_custom else kind


def _tensor(tensor: Any, model: Any, schema: Any) -> LiteRTTensor:
    dtypes = {number: name for name, number in vars(schema.TensorType).items()}
    shape = () if tensor.ShapeIsNone() else tensor.ShapeAsNumpy().tolist()
    signature = [] if tensor.ShapeSignatureIsNone() else tensor.ShapeSignatureAsNumpy()
    data = model.Buffers(tensor.Buffer())
    return LiteRTTensor(
        name=(tensor.Name() or b"").decode(),
        shape=tuple(shape),
        dtype=dtypes[tensor.Type()].lower(),
        # Weights of large files lie behind the flatbuffer, at an offset.
        is_constant=bool(data.DataLength() or data.Offset() > 1),
        is_dynamic=any(size < 0 for size in signature),
    )
