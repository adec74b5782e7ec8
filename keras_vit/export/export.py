"""Export a model from each backend, and verify the file."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.export.audit import check_gpu, check_ops
from keras_vit.export.calibration import calibration_images
from keras_vit.export.child import convert, run
from keras_vit.export.formats import check_modules, format_name
from keras_vit.export.mobile import file_preprocessing, mobile_changes
from keras_vit.export.prepare import (
    as_file_takes_them,
    describe,
    exported_model,
    part_names,
)
from keras_vit.export.quantizations import FLOAT32
from keras_vit.export.report import ExportReport, compare, num_bytes
from keras_vit.export.request import (
    MOBILE,
    ExportRequest,
    Input,
    InputSize,
    resolve_input_size,
)
from keras_vit.export.tflite_metadata import write_tflite_metadata
from keras_vit.files import check_writable, replacing
from keras_vit.metadata import write_metadata


def export(
    model: keras.Model,
    path: str | Path,
    *,
    format: str = "litert",
    quantization: str | None = None,
    calibration: Sequence[Any] | str | Path | None = None,
    input: Input = "float",
    batch: int | None = 1,
    input_size: InputSize | None = None,
    attention: bool = False,
    probabilities: bool = False,
    profile: str | None = None,
    author: str | None = None,
    license: str | None = None,
    description: str | None = None,
    version: str | None = None,
    images: Sequence[Any] | None = None,
    tolerance: float = 1e-4,
    overwrite: bool = False,
) -> ExportReport:
    """Write a model in another format, and run the file to verify it.

    Conversion runs in a child process, so it works from each backend and gives the same
    file. The file has one signature, `serving_default`, from `images` to `logits`
    (`probabilities` if the model has a classifier activation, `features` if it is
    headless), and carries preprocessing and class names. A LiteRT file holds built-in
    ops only. The exported file is then run without this package on `images` and its
    outputs are compared with those of `model`; if they differ, nothing is left behind.

    Args:
        model: a float model; mixed precision is exported in float32.
        path: of the folder, or of the file, which ends in `.tflite`.
        format: "litert" (also "tflite") or "saved_model". Default "litert".
        quantization: precision of a LiteRT file, see `QUANTIZATIONS`. Default: float32.
        calibration: pictures that show which values occur, for "int8", "int16x8" and
            "mixed_int8": a folder, or paths, PIL images or arrays. At least 10, better
            100, like those in use; each one is used.
        input: "float": the file takes what `model.preprocessing` returns; "pixels": it
            takes uint8 in [0, 255], resizes, crops and normalizes them itself, and
            gives probabilities. Default "float".
        batch: images per call, at least 1. Default 1, which mobile runtimes handle
            best. None: any number.
        input_size: pixels of the pictures that a file with `input="pixels"` takes, one
            number or (height, width), or "any" for a SavedModel. Default: the size of
            the model.
        attention: whether a LiteRT file or SavedModel has a second output, `attention`:
            what each patch gives to the image's vector, (batch, rows, columns), in the
            last attention of the model, averaged over heads. Files for MediaPipe's
            ImageClassifier have one output. Default False.
        probabilities: whether a softmax is added to a classifier that gives logits, as
            programs expect that show what a file gives: MediaPipe's ImageClassifier
            does. Files that take pixels always give probabilities. Default False.
        profile: "mobile" for a LiteRT file that the GPU of a phone computes as a whole,
            and MediaPipe's ImageClassifier opens: one image, rank 4 at most, no
            BROADCAST_TO or dynamic shape, norms that are safe in float16,
            probabilities, one mean and deviation for all channels. `changes` of the
            report lists what it did. Default: none, which is for the CPU.
        author: who made the model; this and the next three are written into the file.
        license: of the model, "Apache-2.0" for example.
        description: what the model is for.
        version: of the model.
        images: pictures to verify on, of any size: paths, PIL images or arrays.
            Default: digits from the embedded data set. Use images like those in use.
        tolerance: largest difference of an output value that is accepted in float32,
            relative to the largest output or 1. Default 1e-4.
        overwrite: whether an existing file or folder is replaced. Default False.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is not set.
        ImportError: if what the format needs is not installed.
        OSError: if the disk is full or `path` cannot be written.
        RuntimeError: if the conversion or the verification fails.
        ValueError: if an option or the model does not fit; the message says which.
    """
    request = ExportRequest(
        path=Path(path).expanduser(),
        format=format_name(format),
        quantization=quantization or FLOAT32,
        batch=batch,
        input=input,
        input_size=input_size,
        attention=attention,
        probabilities=probabilities,
        profile=profile,
        about=_given(
            author=author, license=license, description=description, version=version
        ),
        overwrite=overwrite,
    )
    request.check(model, calibration)
    size = resolve_input_size(model, request)
    check_modules(request.format, request.quantization)
    check_writable(request.path.parent, required_bytes=3 * 4 * model.count_params())

    exported = exported_model(model, request, size)
    metadata = describe(model, exported, request)
    preprocessing = file_preprocessing(model, request)
    pictures = as_file_takes_them(images, preprocessing, exported, request)
    shown = None
    if calibration is not None:
        shown = calibration_images(calibration, preprocessing, exported, request)
    expected = np.concatenate(
        [
            np.asarray(exported.predict(p[None], verbose=0), "float32")  # pyright: ignore[reportArgumentType]
            for p in pictures
        ]
    )
    with tempfile.TemporaryDirectory() as scratch, replacing(request.path) as temporary:
        parts = part_names(model)
        decided = convert(
            exported, Path(scratch), temporary, request, metadata, shown, parts
        )
        ops = check_ops(temporary) if request.format == "litert" else {}
        if request.format == "litert":
            write_tflite_metadata(temporary, {**metadata, **decided})
        if request.profile == MOBILE:
            check_gpu(temporary)
        write_metadata(temporary, request.format, {**metadata, **decided})
        actual = run(temporary, request.format, pictures, Path(scratch))
        is_exact = request.quantization == FLOAT32
        found = compare(expected, actual, tolerance if is_exact else None)
        size_in_bytes = num_bytes(temporary)
    return ExportReport(
        path=request.path,
        format=request.format,
        quantization=request.quantization,
        num_bytes=size_in_bytes,
        inputs=metadata["input"],
        output=metadata["output"]["name"],
        ops=ops,
        float_parts=tuple(decided.get("float_parts", ())),
        changes=mobile_changes(model, request, decided),
        **found,
    )


def _given(**texts: str | None) -> dict[str, str]:
    return {name: text for name, text in texts.items() if text is not None}
