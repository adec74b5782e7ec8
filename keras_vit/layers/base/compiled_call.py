"""What `torch.compile` sees of a layer: what it computes, without Keras's bookkeeping.

Dynamo, the tracer of torch.compile, follows each line of `keras.layers.Layer.__call__`,
which took three quarters of the time to compile a ViT. It sees the layer changed there
(`_called = True`), so that it cannot reuse for the next block what it found for the one
before. Here it is shown `call` alone, and a whole encoder block as a region that is
compiled once for all blocks that are alike. Measured by benchmarks/torch_compile.py.
"""

from __future__ import annotations

from typing import Any

import keras
import torch

from keras_vit.keras_internals import current_autocast_dtype, current_training


def call_compiled(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the output of a layer, NotImplemented where Keras itself has to call it.

    Args:
        layer: a `PlainLayer` that is called while torch.compile follows.
        args: its inputs.
        kwargs: the rest of its arguments.
    """
    if not _is_for_inference(kwargs) or not _computes_plainly(layer, args):
        return NotImplemented
    if layer.is_repeated and _is_plain_inside(layer):
        return _call_as_region(layer, *args, **kwargs)
    return layer.call(*args, **kwargs)


def _is_for_inference(kwargs: dict[str, Any]) -> bool:
    training = kwargs.get("training")
    return not (current_training() if training is None else training)


def _computes_plainly(layer: Any, args: tuple[Any, ...]) -> bool:
    """Return whether `call` alone is all that Keras would do at inference.

    In mixed precision, for quantized weights and exporting it does more.
    """
    return (
        not torch.compiler.is_exporting()
        and current_autocast_dtype() is None
        and _has_one_dtype(layer)
        and all(isinstance(x, torch.Tensor) for x in args)
        and all(_dtype(x) == layer.compute_dtype for x in args)
    )


def _has_one_dtype(layer: Any) -> bool:
    is_quantized = layer.quantization_mode is not None
    return not is_quantized and layer.compute_dtype == layer.variable_dtype


def _dtype(x: Any) -> str:
    return keras.backend.standardize_dtype(x.dtype)


def _is_plain_inside(layer: Any) -> bool:
    """Return whether the layer can be one region, in which the graph must not break.

    All layers in it have to be a `PlainLayer`, which is what has `is_repeated`.
    """
    inner = [getattr(layer, name) for name in getattr(layer, "sublayer_names", ())]
    return all(
        isinstance(x, keras.layers.Dropout)  # Not called at inference.
        or (hasattr(x, "is_repeated") and _has_one_dtype(x) and _is_plain_inside(x))
        for x in inner
        if x is not None
    )


def _call(layer: Any, *args: Any, **kwargs: Any) -> Any:
    return layer.call(*args, **kwargs)


# By default more than eight kinds of blocks in one model are an error.
_call_as_region = torch.compiler.nested_compile_region(_call, max_reuse_entries=10**6)
