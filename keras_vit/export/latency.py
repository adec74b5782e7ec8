"""The latency of a file that was just written, next to float32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.export.child import convert, float_file
from keras_vit.export.measure import TimedFile, device_name, time_files
from keras_vit.export.quantizations import FLOAT32
from keras_vit.export.request import ExportRequest

# Each file of a report runs that long, on one thread: enough for three digits.
SECONDS = 0.5


def latencies(
    model: keras.Model,
    path: Path,
    image: np.ndarray,
    scratch: Path,
    request: ExportRequest,
    metadata: dict[str, Any],
) -> dict[str, Any]:
    """Return the fields of a report about time.

    Args:
        model: what was converted.
        path: of the file.
        image: one picture as the file takes it.
        scratch: folder of the conversion.
        request: what was wanted.
        metadata: what the file says about itself.
    """
    paths = [path]
    if request.quantization != FLOAT32:
        paths.append(_in_float32(model, scratch, request, metadata))
    files = [
        TimedFile(
            format=request.format,
            path=str(one),
            shape=image.shape,
            dtype=metadata["input"]["dtype"],
        )
        for one in paths
    ]
    ((found, *float32),) = time_files(
        files, batches=[request.batch or 1], seconds=SECONDS
    )
    return {
        "latency": found,
        "float32_latency": float32[0] if float32 else None,
        "device": device_name(),
    }


def _in_float32(
    model: keras.Model, scratch: Path, request: ExportRequest, metadata: dict[str, Any]
) -> Path:
    left = float_file(scratch, request)
    if left.exists():
        return left
    twin = scratch / f"float32{request.row.suffix}"
    exact = replace(request, quantization=FLOAT32)
    convert(model, scratch, twin, exact, metadata)
    return twin
