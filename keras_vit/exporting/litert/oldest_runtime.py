"""The oldest runtime that computes a LiteRT file right, and what keeps others away."""

from __future__ import annotations

from typing import Any

from keras_vit.exporting.litert.graph import Graph

NAME = b"min_runtime_version"
_LENGTH = 16  # bytes, as TensorFlow's converter writes it
_PRODUCT = "FULLY_CONNECTED"
# Products of float values with matrices in int8 or int4, a scale per channel. Runtimes
# before 2.16 read one scale for all channels, and are at chance level without an error.
# The runtimes of 2.14, 2.15 and 2.16 do not know version 12 of the op and say so when
# they open a file; GPU delegates know version 9, so files for phones keep theirs.
_REFUSED_BEFORE, _WRONG_BEFORE = "2.17.0", "2.16.0"
_VERSION = 12
# Activations in int16: RSQRT and GELU have no such kernel in TensorFlow Lite up to 2.17
# and ai-edge-litert 1.0, which stop with an error; tried with this one.
_INT16 = "litert 2.3"
_WEIGHTS = {"int8", "int4"}


def require_runtime(model: Any, is_mobile: bool) -> str:
    """Let a model say which TensorFlow Lite it needs, and return that version.

    Args:
        model: the whole model, a `ModelT` of the schema, to change.
        is_mobile: whether it is for the GPU of a phone.
    """
    entries = {bytes(entry.name): entry for entry in model.metadata or []}
    entry = entries.get(NAME)
    if entry is None:
        return ""
    codes = {
        op.opcodeIndex
        for graph in (Graph(model, number) for number in range(len(model.subgraphs)))
        for op in graph.operators
        if _is_hybrid(graph, op)
    }
    buffer = model.buffers[entry.buffer]
    if _has_int16(model):
        buffer.data = list(_INT16.encode().ljust(_LENGTH, b"\0"))
        return _INT16
    if not codes:
        return bytes(buffer.data).rstrip(b"\0").decode()
    oldest = _WRONG_BEFORE if is_mobile else _REFUSED_BEFORE
    buffer.data = list(oldest.encode().ljust(_LENGTH, b"\0"))
    for code in codes if not is_mobile else ():
        model.operatorCodes[code].version = _VERSION
    return oldest


def _has_int16(model: Any) -> bool:
    graph = Graph(model)
    return any(graph.dtype(int(op.outputs[0])) == "int16" for op in graph.operators)


def _is_hybrid(graph: Graph, op: Any) -> bool:
    if graph.kind(op) != _PRODUCT:
        return False
    values, weights = (int(index) for index in op.inputs[:2])
    scales = getattr(graph.tables.tensors[weights].quantization, "scale", None)
    is_per_channel = scales is not None and len(scales) > 1
    return (
        graph.dtype(values) == "float32"
        and graph.dtype(weights) in _WEIGHTS
        and is_per_channel
    )


def runtime_text(oldest: str, quantization: str) -> str:
    """Return what a version means to a person.

    Args:
        oldest: that `require_runtime` returned.
        quantization: precision of the file.
    """
    if oldest == _INT16:
        return f"ai-edge-{oldest}; older runtimes stop with an error"
    number = oldest.removesuffix(".0")
    text = f"TensorFlow Lite {number} or newer, any ai-edge-litert"
    if oldest not in (_REFUSED_BEFORE, _WRONG_BEFORE):
        return text
    return (
        f"{text}; for older ones (tflite-runtime 2.14 is the newest on some boards) "
        f"weight_only_int8, int8 or mixed_int8 instead of {quantization}"
    )


def runtime_warnings(oldest: str) -> tuple[str, ...]:
    """Return what happens on older runtimes if they do not refuse the file."""
    if oldest != _WRONG_BEFORE:
        return ()
    return (
        "TensorFlow Lite before 2.16 computes this file wrong, at chance level, and "
        "gives no error. Take weight_only_int8 where such a runtime may be in use.",
    )


def micro_warnings(ops: dict[str, int], has_integer_ends: bool) -> tuple[str, ...]:
    """Return what the runtime for microcontrollers lacks; tried with tflite-micro."""
    if not has_integer_ends or "GELU" not in ops:
        return ()
    return (
        "tflite-micro, the runtime of microcontrollers, has no GELU and does not open "
        "this file. A model that is trained with activation='quick_gelu' runs there.",
    )
