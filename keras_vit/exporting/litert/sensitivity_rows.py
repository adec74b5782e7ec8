"""Measure what each part of a model costs in int8, one at a time; runs in a child."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_vit.exporting.answers import limits_of
from keras_vit.exporting.conversion import ConversionJob
from keras_vit.exporting.litert.convert import write_float
from keras_vit.exporting.litert.float_file import FloatFile
from keras_vit.exporting.litert.graph import Op
from keras_vit.exporting.litert.model_parts import find_parts
from keras_vit.exporting.litert.quantizer_recipes import (
    RECIPES,
    Recipe,
    kind_recipe,
    mixed_recipe,
    parts_recipe,
)

# They move values and compute none.
_MOVES = {
    *("CONCATENATION", "FULLY_CONNECTED", "GATHER", "PACK", "PAD", "RESHAPE", "SLICE"),
    *("SPLIT", "STRIDED_SLICE", "TRANSPOSE", "UNPACK", "CAST", "EXPAND_DIMS", "TILE"),
}


def convert(job: ConversionJob) -> dict[str, Any]:
    """Return the rows of `Sensitivity`, measured on a LiteRT file in float32."""
    write_float(job, job.float_file)
    limits = limits_of(job.metadata["output"])
    file = FloatFile(job.float_file, job.calibration(), limits)
    return {"rows": measure_rows(file, find_parts(file.ops, job.parts))}


def measure_rows(file: FloatFile, parts: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Return what each part, and each kind of op, loses in int8 alone; then together.

    These are the fields of a `SensitivityRow`.
    """
    expected = file.outputs(file.path)
    recipes: list[tuple[str, str, Recipe]] = [
        *(("part", name, parts_recipe(scopes)) for name, scopes in parts.items()),
        *(
            ("op", kind, kind_recipe(kind, file.output))
            for kind in _computing(file.ops)
        ),
        ("all", "all matrix products", mixed_recipe(parts, ())),
        ("all", "int8", RECIPES["int8"](file.output)),
    ]
    return [
        {"kind": kind, "name": name, **file.loss(expected, recipe)}
        for kind, name, recipe in recipes
    ]


def _computing(ops: Sequence[Op]) -> list[str]:
    from ai_edge_quantizer.qtyping import TFLOperationName

    known = {operation.value for operation in TFLOperationName} - _MOVES
    return sorted({op.kind for op in ops} & known)
