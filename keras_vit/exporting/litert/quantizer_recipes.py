"""What the precisions of a LiteRT file are for ai-edge-quantizer: one row each.

A recipe is a list of rules, as that library's JSON files hold them: for the ops whose
output has a name that fits `regex`, the last rule that the library can follow counts.
Why each precision is done this way is in docs/quantization.md, with measurements.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

Rule = dict[str, Any]
Recipe = list[Rule]

EVERYWHERE = ".*"
# Resizing in eight bits would show in each pixel, and costs next to nothing in float.
PREPROCESSING = "(^|/)preprocessing(_[0-9]+)?/"

_MIN_MAX = "min_max_uniform_quantize"


def _integers(bits: int, granularity: str, symmetric: bool = True) -> dict[str, Any]:
    return {
        "num_bits": bits,
        "symmetric": symmetric,
        "granularity": granularity,
        "dtype": "INT",
    }


_INT8_WEIGHTS = _integers(8, "CHANNELWISE")
_INT4_WEIGHTS = _integers(4, "CHANNELWISE")
# Bytes have a zero point; LiteRT's kernels for sixteen bits have none.
_INT8_ACTIVATIONS = _integers(8, "TENSORWISE", symmetric=False)
_INT16_ACTIVATIONS = _integers(16, "TENSORWISE")


def _config(
    weights: dict[str, Any],
    activations: dict[str, Any] | None = None,
    computes_in_float: bool = False,
) -> dict[str, Any]:
    config = {
        "weight_tensor_config": weights,
        "compute_precision": "FLOAT" if computes_in_float else "INTEGER",
        "explicit_dequantize": computes_in_float,
    }
    return (
        config
        if activations is None
        else config | {"activation_tensor_config": activations}
    )


# Algorithm and configuration of an op.
_FLOAT16 = ("float_casting", _config({"num_bits": 16, "dtype": "FLOAT"}, None, True))
_DYNAMIC_INT8 = (_MIN_MAX, _config(_INT8_WEIGHTS))
_WEIGHTS_INT8 = (_MIN_MAX, _config(_INT8_WEIGHTS, None, True))
# OCTAV clips the rarest weights: with sixteen levels that is worth more than the rare.
_DYNAMIC_INT4 = ("OCTAV", _config(_INT4_WEIGHTS))
_STATIC_INT8 = (_MIN_MAX, _config(_INT8_WEIGHTS, _INT8_ACTIVATIONS))
_STATIC_INT16 = (_MIN_MAX, _config(_INT8_WEIGHTS, _INT16_ACTIVATIONS))
_NOTHING = ("no_quantize", {})

PRODUCTS = "FULLY_CONNECTED"
ALL_OPS = "*"


def rule(
    way: tuple[str, dict[str, Any]], operation: str = ALL_OPS, regex: str = EVERYWHERE
) -> Rule:
    """Return one rule: `way` for the ops of that kind and place."""
    algorithm, config = way
    return {
        "regex": regex,
        "operation": operation,
        "algorithm_key": algorithm,
        "op_config": config,
    }


def exactly(scopes: Sequence[str]) -> str:
    """Return the regular expression of these places and no others."""
    return f"^({'|'.join(map(re.escape, scopes))})$"


def _products(way: tuple[str, dict[str, Any]]) -> Callable[[str], Recipe]:
    return lambda output: [rule(way, PRODUCTS), *_left_in_float()]


def integer_recipe(precision: str) -> Recipe:
    """Return the recipe of a file that is integers from its input to its outputs."""
    return [rule({"int8": _STATIC_INT8, "int16x8": _STATIC_INT16}[precision])]


def _throughout(way: tuple[str, dict[str, Any]]) -> Callable[[str], Recipe]:
    def recipe(output: str) -> Recipe:
        return [
            rule(way),
            # Callers hand in and get numbers, not one file's own scale of bytes.
            rule(_NOTHING, "INPUT"),
            rule(_NOTHING, "OUTPUT"),
            # Probabilities in 256 steps would tie.
            rule(_NOTHING, "SOFTMAX", exactly([output])),
            *_left_in_float(),
        ]

    return recipe


def _left_in_float() -> Recipe:
    return [rule(_NOTHING, regex=PREPROCESSING)]


# From the scope of the op that makes the output to the recipe.
RECIPES: dict[str, Callable[[str], Recipe]] = {
    "float16": _products(_FLOAT16),
    "dynamic_int8": _products(_DYNAMIC_INT8),
    "weight_only_int8": _products(_WEIGHTS_INT8),
    "int4": _products(_DYNAMIC_INT4),
    "int8": _throughout(_STATIC_INT8),
    "int16x8": _throughout(_STATIC_INT16),
}


def parts_recipe(scopes: Sequence[str]) -> Recipe:
    """Return the recipe that computes these matrix products in int8, nothing else."""
    return [rule(_STATIC_INT8, PRODUCTS, exactly(scopes)), *_left_in_float()]


def mixed_recipe(parts: dict[str, list[str]], kept: Sequence[str]) -> Recipe:
    """Return the recipe of "mixed_int8": matrix products in int8 but for some parts.

    Args:
        parts: scopes of the products in each part, see `find_parts`.
        kept: the parts that stay in float.
    """
    quantized = [scope for name in parts if name not in kept for scope in parts[name]]
    return parts_recipe(quantized)


def kind_recipe(operation: str, output: str) -> Recipe:
    """Return the recipe that computes ops of one kind in int8, nothing else."""
    return [rule(_STATIC_INT8, operation), *_throughout(_STATIC_INT8)(output)[1:]]
