"""What was exported and how it compares with the Keras model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.export.quantizations import FLOAT32


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was exported and how it compares with the Keras model.

    Args:
        path: of the file or folder.
        format: "litert", "saved_model", ...
        quantization: "float32", "dynamic_int8", ...
        num_bytes: size of the file, or of all files in the folder.
        inputs: name, shape (None: any) and dtype of the input.
        output: name of the output: "logits", "probabilities" or "features".
        num_images: on which file and model were compared.
        max_difference: largest absolute difference of any output value.
        top1_agreement: share of the images whose highest output is the same.
        ops: LiteRT ops with their number; empty for other formats.
        float_parts: what "mixed_int8" keeps in float, "block_0/attention" for example.
        changes: how the file differs from an export without a profile.
        warnings: what limits this verification; usually empty.
    """

    path: Path
    format: str
    quantization: str = FLOAT32
    num_bytes: int
    inputs: dict[str, Any]
    output: str
    num_images: int
    max_difference: float
    top1_agreement: float
    ops: dict[str, int] = field(default_factory=dict)
    float_parts: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def compare(
    expected: np.ndarray, actual: np.ndarray, tolerance: float | None
) -> dict[str, Any]:
    """Return the fields of a report that compare outputs, (N, K) each.

    Args:
        expected: of the Keras model.
        actual: of the file.
        tolerance: largest difference, relative to the largest output or 1; None: any.

    Raises:
        RuntimeError: if the difference is larger, or not a number.
    """
    difference = float(np.max(np.abs(expected - actual)))
    agreement = float(np.mean(expected.argmax(-1) == actual.argmax(-1)))
    allowed = np.inf if tolerance is None else tolerance
    allowed *= max(1.0, float(np.max(np.abs(expected))))
    if not difference <= allowed:
        raise RuntimeError(
            f"The exported file computes something else than the model: largest "
            f"difference {difference:.2g}, allowed {allowed:.2g}, top-1 agreement "
            f"{agreement:.4f} on {len(expected)} images. Nothing was written."
        )
    warnings = []
    if float(np.ptp(expected, axis=0).max()) == 0.0:
        warnings.append(
            "The model gives the same output for each image (an untrained head is "
            "zero), so this comparison says little. Export a trained model."
        )
    return {
        "num_images": len(expected),
        "max_difference": difference,
        "top1_agreement": agreement,
        "warnings": tuple(warnings),
    }


def num_bytes(path: Path) -> int:
    """Return the size of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
