"""The precisions of exported files: one row each."""

from __future__ import annotations

from dataclasses import dataclass

FLOAT32 = "float32"
MIXED_INT8 = "mixed_int8"


@dataclass(frozen=True, kw_only=True)
class QuantizationRow:
    """What there is to know about a precision besides how it is made.

    Args:
        closer: precision to try where this one loses too much.
        needs_calibration: whether images have to show which values occur.
    """

    closer: str = FLOAT32
    needs_calibration: bool = False


QUANTIZATIONS: dict[str, QuantizationRow] = {
    # As the Keras model.
    FLOAT32: QuantizationRow(),
    # Weights in float16, activations in float32: half the size; for GPUs.
    "float16": QuantizationRow(),
    # Weights in int8, activations in int8 in matrix products, scaled as they come: a
    # quarter of the size, fast on phones; the usual choice.
    "dynamic_int8": QuantizationRow(closer="weight_only_int8"),
    # Integers throughout, for NPUs and microcontrollers.
    "int8": QuantizationRow(closer=MIXED_INT8, needs_calibration=True),
    # Weights in int8, activations in float32: small and exact.
    "weight_only_int8": QuantizationRow(closer="float16"),
    # Weights in int4, activations as in "dynamic_int8": an eighth of the size.
    "int4": QuantizationRow(closer="dynamic_int8"),
    # Weights in int8, activations in int16: nearly exact; slow on a CPU.
    "int16x8": QuantizationRow(closer="weight_only_int8", needs_calibration=True),
    # As "int8", with the blocks that lose most in float32, found by measurement.
    MIXED_INT8: QuantizationRow(closer="dynamic_int8", needs_calibration=True),
}
