"""A `.keras` file becomes an ONNX file, under TensorFlow.

Other precisions are made from the float one: the layers' matrix products are converted,
nothing else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.exporting.conversion import ConversionJob
from keras_vit.exporting.saved_model.convert import images_spec
from keras_vit.exporting.served_function import served_function

# The latest that tf2onnx 1.17 writes.
OPSET = 18
_SIDES = ("batch", "height", "width", "channels")
_PRODUCTS = ("MatMul", "Gemm")
# How names end that tf2onnx made of a number.
_COUNTED = re.compile(r"__[0-9]+$")


def convert(job: ConversionJob) -> None:
    """Write the file `job.target`."""
    if job.quantization not in PRECISIONS:
        write_onnx(job, job.target)
        return
    write_onnx(job, job.float_file)
    PRECISIONS[job.quantization](str(job.float_file), str(job.target))


def write_onnx(job: ConversionJob, path: Path) -> None:
    """Write an ONNX file in float32."""
    import tensorflow as tf
    import tf2onnx

    spec = images_spec(job)
    function = tf.function(
        served_function(job), input_signature=[spec], autograph=False
    )
    model, _ = tf2onnx.convert.from_function(
        function, input_signature=[spec], opset=OPSET
    )
    _freeze(model.graph, function.get_concrete_function(spec))
    _name_sides(model.graph, job.input["shape"][0])
    # tf2onnx sorts them by name; Python sorts them by this and keeps the rest.
    outputs = sorted(model.graph.output, key=lambda value: value.name != job.output)
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    _number_names(model.graph)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _freeze(graph: Any, traced: Any) -> None:
    """Put what a layer holds without a variable into the file.

    An adapted `Normalization` has such a mean; tf2onnx takes it for a further input.

    Args:
        graph: of ONNX, to change.
        traced: the function of TensorFlow that it was made from.
    """
    import onnx

    held = {
        inside.name: outside.numpy()
        for outside, inside in traced.graph.captures
        if outside.dtype.name != "resource"
    }
    names = [value.name for value in graph.input]
    for number in reversed(range(len(names))):
        if names[number] in held:
            values = onnx.numpy_helper.from_array(held[names[number]], names[number])
            graph.initializer.append(values)
            del graph.input[number]


def _number_names(graph: Any) -> None:
    """Number constants in the order in which they are used: equal models, equal bytes.

    tf2onnx counts over all that it did before, and calls one that several ops share by
    any of their names.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    used = [name for node in graph.node for name in node.input if name in constants]
    order = list(dict.fromkeys([*used, *sorted(constants)]))
    uses = Counter(used)
    names = {
        name: f"constant__{number}"
        for number, name in enumerate(order)
        if uses[name] > 1 or _COUNTED.search(name)
    }
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    for tensor in constants.values():
        tensor.name = names.get(tensor.name, tensor.name)
    tensors = [constants[name] for name in order]
    del graph.initializer[:]
    graph.initializer.extend(tensors)


def _name_sides(graph: Any, batch: int | None) -> None:
    """Give unknown sizes names that say what they are, "batch" for example."""
    for value in graph.input:
        sides = value.type.tensor_type.shape.dim
        for side, name in zip(sides, _SIDES, strict=True):
            if not side.HasField("dim_value"):
                side.dim_param = name
    for value in graph.output:
        first = value.type.tensor_type.shape.dim[0]
        if batch is None:
            first.dim_param = _SIDES[0]
        else:
            first.dim_value = batch


def write_float16(source: str, target: str) -> None:
    """Store the matrices of the layers in float16; runtimes compute in float32.

    Runtimes undo the cast once, when they load the file.
    """
    import onnx

    model = onnx.load(source)
    graph = model.graph
    names = {node.input[1] for node in graph.node if node.op_type in _PRODUCTS}
    casts = []
    for tensor in graph.initializer:
        if tensor.name not in names or tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        name, half = tensor.name, f"{tensor.name}_float16"
        values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, half))
        casts.append(
            onnx.helper.make_node(
                "Cast", [half], [name], f"{name}_cast", to=onnx.TensorProto.FLOAT
            )
        )
    # Each node stands behind those that it reads from.
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, target)


def write_dynamic_int8(source: str, target: str) -> None:
    """Store the matrices of the layers in int8; activations are scaled as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=[*_PRODUCTS],
        per_channel=True,
        # Seven bits: processors without VNNI add pairs of products in sixteen bits, and
        # would clip some of them without a word.
        reduce_range=True,
        weight_type=QuantType.QInt8,
    )


# From the float file to the other one.
PRECISIONS: dict[str, Callable[[str, str], None]] = {
    "float16": write_float16,
    "dynamic_int8": write_dynamic_int8,
}
