"""The precisions of exported files: one row each."""

from __future__ import annotations

from dataclasses import dataclass

FLOAT32 = "float32"


@dataclass(frozen=True, kw_only=True)
class QuantizationRow:
    """What a precision means.

    Args:
        weights: type of the large weights.
        activations: type of what flows between ops.
        needs_calibration: whether images have to show which values occur.
        summary: in a few words, for tables and help.
        closer: precision to try where this one loses too much.
    """

    weights: str
    activations: str
    needs_calibration: bool = False
    summary: str = ""
    closer: str = FLOAT32


QUANTIZATIONS: dict[str, QuantizationRow] = {
    FLOAT32: QuantizationRow(
        weights="float32", activations="float32", summary="as the Keras model"
    ),
    "float16": QuantizationRow(
        weights="float16", activations="float32", summary="half the size; for GPUs"
    ),
    "dynamic_int8": QuantizationRow(
        weights="int8",
        activations="int8 in matrix products, scaled as they come",
        summary="a quarter of the size, fast on phones; the usual choice",
        closer="weight_only_int8",
    ),
    "int8": QuantizationRow(
        weights="int8",
        activations="int8",
        needs_calibration=True,
        summary="integers throughout, for NPUs and microcontrollers",
        closer="mixed_int8",
    ),
    "weight_only_int8": QuantizationRow(
        weights="int8",
        activations="float32",
        summary="small, exact activations",
        closer="float16",
    ),
    "int4": QuantizationRow(
        weights="int4",
        activations="int8 in matrix products, scaled as they come",
        summary="an eighth of the size",
        closer="dynamic_int8",
    ),
    "int16x8": QuantizationRow(
        weights="int8",
        activations="int16",
        needs_calibration=True,
        summary="nearly exact, slow without special hardware",
        closer="weight_only_int8",
    ),
    "mixed_int8": QuantizationRow(
        weights="int8",
        activations="int8, float32 in the blocks that lose most",
        needs_calibration=True,
        summary="int8 with the sensitive blocks in float, found by measurement",
        closer="dynamic_int8",
    ),
}
