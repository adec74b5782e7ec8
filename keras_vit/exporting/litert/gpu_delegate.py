"""Which ops of a LiteRT file the GPU delegate takes, by the rules of its source.

The delegate runs on a phone's GPU by OpenCL, OpenGL or Metal, and cannot be asked where
there is none. What it checks is public; below are its list of ops and those of its
rules that the graph of a Vision Transformer can break. An op that it refuses, and all
that is behind it, is left to the CPU. It has a newer form that broadcasts more; phones
have the other.

Reference: google-ai-edge/LiteRT, tflite/delegates/gpu/common/model_builder.cc
(NewOperationParser, GetOpsToReplace) and tflite/tools/versioning/gpu_compatibility.cc
(CheckGpuDelegateCompatibility).
"""

from __future__ import annotations

from collections.abc import Callable

from keras_vit.exporting.litert.graph import Op

LARGEST_RANK = 4
OPS = frozenset(
    """
    ABS ADD ADD_N AVERAGE_POOL_2D BATCH_MATMUL CAST CONCATENATION CONV_2D COS CUMSUM
    DENSIFY DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV ELU EQUAL EXP FLOOR
    FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GELU GREATER GREATER_EQUAL HARD_SWISH
    LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGISTIC LSTM MAXIMUM MAX_POOL_2D MEAN
    MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL ONE_HOT PACK PAD PADV2 POW PRELU QUANTIZE
    REDUCE_MAX REDUCE_MIN REDUCE_PROD RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 RESHAPE
    RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SELECT SELECT_V2 SIGN SIN SLICE
    SOFTMAX SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE STRIDED_SLICE
    SUB SUM TANH TILE TRANSPOSE TRANSPOSE_CONV UNPACK
    """.split()
)
# What flows from op to op; bytes are those of quantized models.
_DTYPES = {"float32", "float16", "int8", "uint8"}
_CAST_DTYPES = {"float32", "int32", "bool"}


def gpu_refusal(op: Op) -> str | None:
    """Return why the GPU delegate refuses an op; None if it takes it."""
    if op.kind not in OPS:
        return "not in its list"
    # It turns constants of 16 and 8 bits into floats while it loads.
    if op.kind != "DEQUANTIZE" and all(tensor.is_constant for tensor in op.inputs):
        return "takes constants only"
    large = [t.text for t in op.tensors if len(t.shape) > LARGEST_RANK]
    if large:
        return f"rank above {LARGEST_RANK}: {large[0]}"
    allowed = _CAST_DTYPES if op.kind == "CAST" else _DTYPES
    others = {t.dtype for t in op.tensors if not t.is_constant} - allowed
    if others:
        return f"dtype {', '.join(sorted(others))}"
    return _RULES.get(op.kind, _nothing)(op)


def _nothing(op: Op) -> None:
    return None


def _same_rank(op: Op) -> str | None:
    """Vectors and numbers are broadcast; [T, D] to [1, T, D] is not."""
    one, other = (tensor for tensor in op.inputs[:2])
    short, long = sorted((one.shape, other.shape), key=len)
    is_allowed = len(short) < 2 or len(short) == len(long)
    if is_allowed or (len(short) == 3 and len(long) == 4 and long[0] == 1):
        return None
    return f"broadcasts {one.text} and {other.text}"


def _product(op: Op) -> str | None:
    one, weights, result = op.inputs[0], op.inputs[1], op.outputs[0]
    if weights.dtype not in _DTYPES:
        return f"weights of {weights.dtype}"
    if op.options.keepNumDims and len(one.shape) != len(result.shape):
        return f"from {one.text} to {result.text}"
    return None


def _slices(op: Op) -> str | None:
    masks = ("ellipsisMask", "newAxisMask", "shrinkAxisMask")
    if any(getattr(op.options, mask, 0) for mask in masks):
        return "adds or removes an axis"
    return _rank_3_or_4(op)


def _rank_3_or_4(op: Op) -> str | None:
    one = op.inputs[0]
    return None if len(one.shape) in (3, 4) else f"takes {one.text}, not rank 3 or 4"


_RULES: dict[str, Callable[[Op], str | None]] = {
    "ADD": _same_rank,
    "MUL": _same_rank,
    "FULLY_CONNECTED": _product,
    "SLICE": _slices,
    "STRIDED_SLICE": _slices,
    "PAD": _rank_3_or_4,
    "PADV2": _rank_3_or_4,
}
