"""Which values each field of a config may have, looked at one field at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, Literal, get_args

Pooling = Literal["token", "mean", "attention", "query", "token_mean", "prefix"]
Positions = Literal["all", "class", "patches", "sincos", "sincos_open"]
Rotary = Literal["axial", "centred", "mixed"]
RotaryOrder = Literal["yx", "xy"]
RotaryLayout = Literal["interleaved", "half"]
Normalization = Literal["layer", "rms"]
FinalNorm = Literal["before_pooling", "after_pooling"]
Block = Literal["pre_norm", "post_norm", "parallel", "parallel_joint", "twin"]
Attention = Literal["softmax", "differential"]
QKVBias = bool | Literal["qv"]
QueryKeyNorm = Literal["head", "width"]
MLPKind = Literal["plain", "gated"]
StochasticDepthCurve = Literal["linear", "constant"]

LEARNED_POSITIONS = ("all", "class", "patches")  # those that have a table

# The valid values of the options that name something.
_CHOICES: dict[str, tuple[Any, ...]] = {
    "pooling": (*get_args(Pooling), None),
    "positions": (*get_args(Positions), None),
    "rotary": (*get_args(Rotary), None),
    "rotary_order": get_args(RotaryOrder),
    "rotary_layout": get_args(RotaryLayout),
    "normalization": get_args(Normalization),
    "final_norm": (*get_args(FinalNorm), None),
    "block": get_args(Block),
    "attention": get_args(Attention),
    "qkv_bias": (True, False, "qv"),
    "query_key_norm": (*get_args(QueryKeyNorm), None),
    "mlp": get_args(MLPKind),
    "stochastic_depth_curve": get_args(StochasticDepthCurve),
}

# Options that are on or off.
_FLAGS = (
    *("use_distillation_token", "use_patch_bias", "use_patch_norm", "use_pre_norm"),
    *("use_output_bias", "use_context_norm", "use_mlp_bias", "use_mlp_norm"),
    *("use_mlp_layer_scale", "pool_prefix", "use_head_bias", "use_class_rotation"),
)


def checked_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a config as plain Python values of their types.

    Raises:
        TypeError: if a value has the wrong type.
        ValueError: if a value is out of its range.
    """
    for name, valid in _CHOICES.items():
        if values[name] not in valid:
            raise ValueError(
                f"{name} must be one of {list(valid)}, received "
                f"{name}={values[name]!r}. Check the spelling."
            )
    for name in _FLAGS:
        if not isinstance(values[name], bool):
            raise TypeError(
                f"{name} must be True or False, received "
                f"{name}={values[name]!r}. Pass one of the two."
            )
    if not values["epsilon"] > 0:
        raise ValueError(
            f"epsilon must be above 0, received epsilon={values['epsilon']!r}. "
            "The paper uses 1e-6."
        )
    checked = dict(values)
    for name, check in _CHECKS.items():
        if values[name] is not None or name not in _OPTIONAL:
            checked[name] = check(name, values[name])
    if checked["rotary_temperature"] <= 0:
        raise ValueError(
            "rotary_temperature must be above 0, received "
            f"rotary_temperature={checked['rotary_temperature']}. Most models use "
            "100 or 10000."
        )
    return checked


def _height_width(name: str, size: Any) -> tuple[int, int]:
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2:
        raise ValueError(
            f"{name} must be one number of pixels or (height, width), received "
            f"{name}={size!r}."
        )
    return _count(name, pair[0]), _count(name, pair[1])


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(
            f"{name} must be a whole number, received {name}={value!r} "
            f"({type(value).__name__})."
        )
    if value < 1:
        raise ValueError(f"{name} must be at least 1, received {name}={value}.")
    return int(value)


def _classes(name: str, value: Any) -> int:
    if not isinstance(value, bool) and value == 0:
        raise ValueError(
            f"{name} must be at least 1, received {name}=0. Pass {name}=None for a "
            "backbone without a classifier."
        )
    return _count(name, value)


def _count_or_zero(name: str, value: Any) -> int:
    is_zero = not isinstance(value, bool) and value == 0
    return 0 if is_zero else _count(name, value)


def _counts(name: str, value: Any) -> int | tuple[int, ...]:
    if isinstance(value, (list, tuple)):
        return tuple(_count(name, item) for item in value)
    return _count(name, value)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(
            f"{name} must be a number, received {name}={value!r} "
            f"({type(value).__name__})."
        )
    return float(value)


def _rate(name: str, value: Any) -> Any:
    if not 0 <= _number(name, value) < 1:
        raise ValueError(
            f"{name} must be at least 0 and below 1, received {name}={value}. "
            "It is the share that is dropped in training."
        )
    return value


def _qkv_bias(name: str, value: Any) -> Any:
    return value if value == "qv" else bool(value)  # 1 == True, which `is` tells apart.


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "image_size": _height_width,
    "patch_size": _height_width,
    "channels": _count,
    "hidden_dim": _count,
    "num_layers": _count,
    "num_heads": _count,
    "mlp_dim": _count,
    "num_classes": _classes,
    "representation_size": _count,
    "dropout_rate": _rate,
    "attention_dropout_rate": _rate,
    "stochastic_depth_rate": _rate,
    "patch_dropout_rate": _rate,
    "qkv_bias": _qkv_bias,
    "num_registers": _count_or_zero,
    "pooling_num_heads": _count,
    "pooling_mlp_dim": _count,
    "rotary_temperature": _number,
    "rotary_offset": _number,
    "layer_scale": _number,
    "rotary_grid": _height_width,
    "position_grid": _height_width,
    "num_kv_heads": _counts,
}

# Which of these may be None.
_OPTIONAL = (
    *("image_size", "num_classes", "representation_size", "pooling_num_heads"),
    *("pooling_mlp_dim", "layer_scale", "rotary_grid", "position_grid"),
    "num_kv_heads",
)
