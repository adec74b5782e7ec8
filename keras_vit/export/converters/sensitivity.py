"""What each part of a model costs in int8, measured one at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_vit.export.converters.graph import Op
from keras_vit.export.converters.litert import write_float
from keras_vit.export.converters.measure import Measure
from keras_vit.export.converters.parts import find_parts
from keras_vit.export.converters.recipes import (
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


def rows(measure: Measure, parts: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Return what each part, and each kind of op, loses in int8 alone; then together.

    Keys: "kind" ("part", "op" or "all"), "name" and those of `compare`.
    """
    expected = measure.outputs(measure.path)
    recipes: list[tuple[str, str, Recipe]] = [
        *(("part", name, parts_recipe(scopes)) for name, scopes in parts.items()),
        *(
            ("op", kind, kind_recipe(kind, measure.output))
            for kind in _computing(measure.graph)
        ),
        ("all", "all matrix products", mixed_recipe(parts, ())),
        ("all", "int8", RECIPES["int8"](measure.output)),
    ]
    return [
        {"kind": kind, "name": name, **measure.loss(expected, recipe)}
        for kind, name, recipe in recipes
    ]


def _computing(graph: Sequence[Op]) -> list[str]:
    from ai_edge_quantizer.qtyping import TFLOperationName

    known = {operation.value for operation in TFLOperationName} - _MOVES
    return sorted({op.kind for op in graph} & known)


def convert(job: dict[str, Any]) -> None:
    """Write the rows to `job["target"]`, from a LiteRT file in float32."""
    float_file = job["float_file"]
    write_float(job, float_file)
    measure = Measure(float_file, job["calibration"])
    found = rows(measure, find_parts(float_file, job["parts"]))
    Path(job["target"]).write_text(json.dumps(found), encoding="utf-8")
