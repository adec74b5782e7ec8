"""The precisions of ONNX files, each made from the float one.

The layers' matrix products are converted, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

_PRODUCTS = ("MatMul", "Gemm")


def write_float16(source: str, target: str) -> None:
    """Store the matrices of the layers in float16; runtimes compute in float32.

    Runtimes undo the cast once, when they load the file.
    """
    import numpy as np
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
