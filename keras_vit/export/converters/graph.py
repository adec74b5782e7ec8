"""Names and ranges in a LiteRT file in float."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Op(NamedTuple):
    """One op of a LiteRT file: its kind, such as "ADD", and the names it gives."""

    kind: str
    outputs: tuple[str, ...]

    @property
    def scope(self) -> str:
        """What ai-edge-quantizer compares with the regular expression of a rule."""
        return "".join(f"{name};" for name in self.outputs)


def list_graph(path: str) -> list[Op]:
    """Return the ops of a LiteRT file, in order.

    LiteRT's converter makes names from the Keras layers that an op came from, but what
    the last one gives bears the name of the output.
    """
    from ai_edge_litert import schema_py_generated as schema

    kinds = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    # Generated code, where each table may be missing.
    model: Any = schema.Model.GetRootAs(Path(path).read_bytes(), 0)
    graph = model.Subgraphs(0)
    found = []
    for i in range(graph.OperatorsLength()):
        op = graph.Operators(i)
        code = model.OperatorCodes(op.OpcodeIndex())
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        outputs = (graph.Tensors(op.Outputs(j)) for j in range(op.OutputsLength()))
        names = tuple(tensor.Name().decode() for tensor in outputs)
        found.append(Op(kinds[number], names))
    return found


def value_ranges(path: str, images: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Return the smallest and largest value of what each op gives, over all images.

    ai-edge-quantizer's own calibration takes a moving average of both, which cuts off
    what is rare: on the digits it had 2.1 as largest logit difference in int8, where
    true ranges have 0.80.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for tensors in _tensors_of_each(path, images):
        for name, values in tensors:
            # One number of the rank of the tensor, as the quantizer wants it.
            low, high = values.min(keepdims=True), values.max(keepdims=True)
            old = found.get(name, {"min": low, "max": high})
            found[name] = {
                "min": np.minimum(low, old["min"]),
                "max": np.maximum(high, old["max"]),
            }
    return found


def _tensors_of_each(
    path: str, images: np.ndarray
) -> Iterator[Iterator[tuple[str, np.ndarray]]]:
    interpreter = make_interpreter(path, keeps_tensors=True)
    feed = interpreter.get_input_details()[0]
    # No constants: with a range here, one scale would do for a whole matrix.
    names = {name for op in list_graph(path) for name in op.outputs}
    details = [
        detail
        for detail in interpreter.get_tensor_details()
        if detail["name"] in names | {feed["name"]} and detail["dtype"] == np.float32
    ]
    for image in images:
        set_image(interpreter, image)
        interpreter.invoke()
        yield (
            (detail["name"], interpreter.get_tensor(detail["index"]))
            for detail in details
        )


def set_image(interpreter: Any, image: np.ndarray) -> None:
    """Hand in one image, (H, W, C), as often as the file takes it."""
    feed = interpreter.get_input_details()[0]
    images = np.repeat(image[None], feed["shape"][0], axis=0)
    if images.shape != tuple(feed["shape"]):  # It takes images of any size.
        interpreter.resize_tensor_input(feed["index"], images.shape)
        interpreter.allocate_tensors()
    interpreter.set_tensor(feed["index"], images)


def make_interpreter(model: str | bytes, keeps_tensors: bool = False) -> Any:
    """Return an interpreter, ready to run.

    Args:
        model: path, or content of a file.
        keeps_tensors: whether what is between input and output can be read afterwards;
            slow, because each op is run on its own.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    options: dict[str, Any] = {}
    if keeps_tensors:
        without = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        options = {
            "experimental_op_resolver_type": without,
            "experimental_preserve_all_tensors": True,
        }
    key = "model_content" if isinstance(model, bytes) else "model_path"
    interpreter = Interpreter(**{key: model}, **options)
    interpreter.allocate_tensors()
    return interpreter
