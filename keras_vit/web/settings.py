"""What the page has to know about a model: `model.json`."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras

from keras_vit.exporting.prepared_model import describe
from keras_vit.exporting.request import ExportRequest
from keras_vit.metadata import read_metadata
from keras_vit.preprocessing import Preprocessing

# What the page makes of the red, green, blue and alpha of a picture.
CHANNELS = (1, 3, 4)
DTYPES = ("float32", "uint8")


def page_settings(path: Path, title: str) -> dict[str, Any]:
    """Return what the page reads, JSON values.

    Args:
        path: of a `.tflite` file with our metadata.
        title: heading of the page.

    Raises:
        ValueError: if the page cannot run the file; the message says why.
    """
    metadata = read_metadata(path)
    _check(metadata)
    shape = metadata["input"]["shape"]
    return {
        "title": title,
        "file": "model.tflite",
        "num_bytes": path.stat().st_size,
        "quantization": metadata["quantization"],
        "input": metadata["input"],
        "output": metadata["output"],
        "attention": metadata.get("attention"),
        "class_names": metadata["class_names"],
        "preprocessing": page_steps(
            Preprocessing(**metadata["preprocessing"]),
            pixel_size=shape[1:3] if metadata["input"]["values"] == "pixels" else None,
        ),
    }


def check_page_model(model: keras.Model) -> None:
    """Raise a ValueError if the page cannot run what `export` makes of a model."""
    request = ExportRequest(path=Path("model.tflite"), format="litert")
    if len(getattr(model, "inputs", None) or ()) == 1:  # `export` refuses the others.
        _check(describe(model, request, getattr(model, "preprocessing", None)))


def page_steps(
    preprocessing: Preprocessing, pixel_size: list[int] | None
) -> dict[str, Any]:
    """Return preprocessing with what follows from it; no scale: pixels stay bytes."""
    scale, offset = (part.tolist() for part in preprocessing.scale_and_offset)
    if pixel_size is not None:
        # As Preprocessing.to_pixels: the file does the rest.
        scale = offset = None
        size = (pixel_size[0], pixel_size[1])
        preprocessing = replace(preprocessing, image_size=size, crop_ratio=1.0)
    return {
        **asdict(preprocessing),
        "resized_size": preprocessing.resized_size,
        "border_color": preprocessing.border_color,
        "scale": scale,
        "offset": offset,
    }


def _check(metadata: dict[str, Any]) -> None:
    shape, dtype = metadata["input"]["shape"], metadata["input"]["dtype"]
    output, preprocessing = metadata["output"]["name"], metadata["preprocessing"]
    requirements = {
        "one picture at a time": (shape[0] == 1, f"batch={shape[0]}"),
        "a fixed size of pictures": (None not in shape[1:], f"shape={shape}"),
        f"pixels with {CHANNELS} channels": (shape[3] in CHANNELS, f"shape={shape}"),
        f"an input of {DTYPES}": (dtype in DTYPES, f"dtype={dtype!r}"),
        "a classifier": (output != "features", f"output={output!r}"),
        "preprocessing inside": (preprocessing is not None, "a file without it"),
    }
    for required, (holds, received) in requirements.items():
        if not holds:
            raise ValueError(
                f"The page needs a model with {required}, received {received}. Export "
                "it again with batch=1 from a classifier with model.preprocessing."
            )
