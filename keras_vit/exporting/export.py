"""Export a model from each backend, and verify the file."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.exporting.child_process import run
from keras_vit.exporting.conversion import Converted, convert
from keras_vit.exporting.formats import format_name
from keras_vit.exporting.litert.audit import check_gpu, check_ops
from keras_vit.exporting.litert.calibration import calibration_images
from keras_vit.exporting.litert.oldest_runtime import (
    micro_warnings,
    runtime_text,
    runtime_warnings,
)
from keras_vit.exporting.litert.tflite_metadata import write_tflite_metadata
from keras_vit.exporting.prepared_model import PreparedModel, prepare
from keras_vit.exporting.quantizations import FLOAT32
from keras_vit.exporting.report import (
    ExportReport,
    check_reports,
    num_bytes,
    report_paths,
)
from keras_vit.exporting.request import ExportRequest, Input, InputSize
from keras_vit.exporting.request_checks import (
    check_path,
    check_request,
    check_thresholds,
)
from keras_vit.exporting.timing import Latency, TimedFile, device_name, time_files
from keras_vit.exporting.verification import MAX_LOSS, compare
from keras_vit.exporting.verification_pictures import choose_pictures
from keras_vit.files import check_writable, replacing
from keras_vit.metadata import write_metadata

# Each file of a report runs that long, on one thread: enough for three digits.
SECONDS = 0.5


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
    images: Sequence[Any] | str | Path | None = None,
    evaluation: Any = None,
    tolerance: float = 1e-4,
    max_loss: float = MAX_LOSS,
    accept_loss: bool = False,
    report: bool = True,
    overwrite: bool = False,
) -> ExportReport:
    """Write a model in another format, and run the file to verify it.

    Conversion runs in a child process, so it works from each backend and gives the same
    file. It computes `logits` (`probabilities` if the model has a classifier
    activation, `features` if it is headless) from `images`, and carries preprocessing
    and class names. LiteRT files and SavedModels do so in the signature
    `serving_default`; a SavedModel has another, `serving_bytes`, for JPEG and PNG
    files. A LiteRT file holds built-in ops only. The exported file is then run without
    this package on `images` and its outputs are compared with those of `model`; if they
    differ, nothing is left behind. What was found stands beside the file, in
    `NAME.report.json` and `NAME.report.md`.

    Args:
        model: a float model; mixed precision is exported in float32.
        path: of the file, which ends as `FORMATS` says (`.tflite`, `.onnx`, `.pt2`,
            `.stablehlo`), or of the folder.
        format: "litert" (also "tflite"), "saved_model", "onnx", "openvino", "torch"
            (also "pt2") or "stablehlo". Default "litert".
        quantization: precision, see `QUANTIZATIONS`; "float32" and those in the
            format's row of `FORMATS`. Default: float32.
        calibration: pictures that show which values occur, for "int8", "int16x8" and
            "mixed_int8": a folder, or paths, PIL images or arrays. At least 10, better
            100, like those in use; each one is used.
        input: "float": the file takes what `model.preprocessing` returns, in the dtype
            that the model takes; "pixels": it takes uint8 in [0, 255], resizes, crops
            and normalizes them itself, and gives probabilities; "int8" (with the
            precision "int8") and "int16" (with "int16x8"): input and outputs are
            integers, for hardware that has nothing else, and the report has their
            scale and zero point. Default "float".
        batch: images per call, at least 1. Default 1, which mobile runtimes handle
            best. None: any number.
        input_size: pixels of the pictures that a file with `input="pixels"` takes, one
            number or (height, width), or "any" for a SavedModel, ONNX or OpenVINO.
            Default: the size of the model.
        attention: whether the file has a second output, `attention`: what each patch
            gives to the image's vector, (batch, rows, columns), in the last attention
            of the model, averaged over heads. Files for MediaPipe's
            ImageClassifier have one output. Default False.
        probabilities: whether a softmax (a sigmoid for a single output, or where the
            model has thresholds) is added to a classifier that gives logits, as
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
        images: pictures to verify on, of any size: a folder, or paths, PIL images or
            arrays.
            Default: those of calibration, else digits from the embedded data set, which
            refuse no precision. Use images like those in use.
        evaluation: labelled pictures to verify on instead, for accuracies: what
            `load_data` returns (its test or validation part), one of its parts, or
            (images, labels).
        tolerance: largest difference of an output value that is accepted in float32,
            relative to the largest output or 1. Default 1e-4.
        max_loss: largest loss that is accepted in other precisions: of accuracy with
            `evaluation`, else of top-1 agreement with `model`; one image at least.
            Default 0.01.
        accept_loss: whether a file is kept that loses more. Default False.
        report: whether latencies are measured and the report is written beside the
            file. Default True.
        overwrite: whether an existing file or folder is replaced. Default False.

    Returns:
        An `ExportReport`: the file's size, its agreement with the model, its latency.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is not set.
        ImportError: if what the format needs is not installed.
        OSError: if the disk is full or `path` cannot be written.
        TypeError: if `model` is no Keras model.
        RuntimeError: if the conversion or the verification fails, or the precision
            loses more than `max_loss`.
        ValueError: if an option or the model does not fit; the message says which.

    Example:
        ```python
        model = keras_vit.load("saved_models/photos")
        report = keras_vit.export(model, "cats_and_dogs.tflite", images="new_photos/")
        print(report.path, report.num_images)  # cats_and_dogs.tflite 8
        report.max_difference < 1e-3  # True
        [[best, _]] = keras_vit.predict("cats_and_dogs.tflite", ["cat.jpg"])
        ```
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
    check_request(request, model, calibration)
    check_thresholds(max_loss, tolerance)
    reports = report_paths(request.path) if report else []
    check_reports(reports, overwrite)
    check_writable(request.path.parent, required_bytes=3 * 4 * model.count_params())

    prepared = prepare(model, request)
    samples = None
    if calibration is not None:
        samples = calibration_images(calibration, prepared)
    shown = prepared.shown(choose_pictures(model, evaluation, images, samples))
    expected = prepared.outputs(shown.pictures)

    with tempfile.TemporaryDirectory() as folder, ExitStack() as written:
        scratch = Path(folder)
        file = written.enter_context(replacing(request.path))
        converted = convert(prepared, file, scratch, calibration=samples)
        metadata, ops = _complete(file, prepared, converted)
        oldest = metadata.get("min_runtime_version", "")
        actual = run(file, request.format, shown.pictures, scratch)
        verified = compare(
            expected,
            actual,
            shown,
            request.quantization,
            prepared.output,
            prepared.limits,
        )
        verified.check(tolerance=tolerance, max_loss=None if accept_loss else max_loss)
        latencies: list[Latency] = []
        if report:
            image = shown.pictures[0]
            latencies = _latencies(prepared, file, image, converted, scratch)
        result = ExportReport(
            path=request.path,
            format=request.format,
            quantization=request.quantization,
            num_bytes=num_bytes(file),
            inputs=metadata["input"],
            output=prepared.output,
            outputs=metadata["output"],
            num_images=verified.num_images,
            source=verified.source,
            max_difference=verified.max_difference,
            top1_agreement=verified.top1_agreement,
            accuracy=verified.accuracy,
            model_accuracy=verified.model_accuracy,
            measure=verified.measure,
            agreement=verified.agreement,
            latency=latencies[0] if latencies else None,
            float32_latency=latencies[1] if latencies[1:] else None,
            device=device_name() if report else "",
            ops=ops,
            float_parts=tuple(converted.decided.get("float_parts", ())),
            changes=prepared.changes,
            runtime=oldest and runtime_text(oldest, request.quantization),
            warnings=(
                *verified.warnings,
                *prepared.warnings,
                *runtime_warnings(oldest),
                *micro_warnings(ops, request.has_integer_ends),
            ),
        )
        if report:
            for path, text in zip(reports, result.texts(), strict=True):
                beside = written.enter_context(replacing(path))
                beside.write_text(text, encoding="utf-8")
        # Another process may have been faster.
        check_path(request)
        check_reports(reports, overwrite)
    return result


def _given(**texts: str | None) -> dict[str, str]:
    return {name: text for name, text in texts.items() if text is not None}


def _complete(
    file: Path, prepared: PreparedModel, converted: Converted
) -> tuple[dict[str, Any], dict[str, int]]:
    """Write into a file what it says about itself; return it and the LiteRT ops.

    Raises:
        RuntimeError: if it holds ops that its runtimes do not have.
    """
    metadata = {**prepared.metadata, **converted.decided}
    ops: dict[str, int] = {}
    if prepared.request.format == "litert":
        ops = check_ops(file)
        is_mobile = prepared.request.is_mobile
        oldest = write_tflite_metadata(file, metadata, is_mobile)
        metadata["min_runtime_version"] = oldest
    if prepared.request.is_mobile:
        check_gpu(file)
    write_metadata(file, prepared.request.format, metadata)
    return metadata, ops


def _latencies(
    prepared: PreparedModel,
    file: Path,
    image: np.ndarray,
    converted: Converted,
    scratch: Path,
) -> list[Latency]:
    """Return the latency of a file and, if it is of another precision, in float32.

    Args:
        prepared: what was converted.
        file: that was written.
        image: one picture as the file takes it.
        converted: what is left of the conversion.
        scratch: folder of the conversion.
    """
    files = [file]
    if prepared.request.quantization != FLOAT32:
        files.append(converted.float_file or _in_float32(prepared, scratch))
    timed = [
        TimedFile(
            format=prepared.request.format,
            path=str(one),
            shape=image.shape,
            dtype=prepared.metadata["input"]["dtype"],
        )
        for one in files
    ]
    [found] = time_files(timed, batches=[prepared.request.batch or 1], seconds=SECONDS)
    return found


def _in_float32(prepared: PreparedModel, scratch: Path) -> Path:
    """Convert once more, to a file to compare with."""
    twin = scratch / f"float32{prepared.request.row.suffix}"
    exact = replace(
        prepared,
        request=replace(prepared.request, quantization=FLOAT32),
        metadata={**prepared.metadata, "quantization": FLOAT32},
    )
    convert(exact, twin, scratch)
    return twin
