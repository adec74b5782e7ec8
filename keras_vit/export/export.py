"""Export a model from each backend, and verify the file."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import keras

from keras_vit.export.audit import check_gpu, check_ops
from keras_vit.export.calibration import calibration_images
from keras_vit.export.child import convert, run
from keras_vit.export.encoded import bytes_warnings
from keras_vit.export.evaluation import choose_pictures, keras_outputs
from keras_vit.export.formats import check_modules, format_name
from keras_vit.export.judge import (
    MAX_LOSS,
    check_exact,
    check_loss,
    check_thresholds,
    compare,
)
from keras_vit.export.latency import latencies
from keras_vit.export.mobile import file_preprocessing, mobile_changes
from keras_vit.export.prepare import (
    describe,
    exported_model,
    part_names,
    shown_to_file,
)
from keras_vit.export.quantizations import FLOAT32
from keras_vit.export.report import (
    ExportReport,
    check_reports,
    num_bytes,
    report_paths,
)
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
        input: "float": the file takes what `model.preprocessing` returns; "pixels": it
            takes uint8 in [0, 255], resizes, crops and normalizes them itself, and
            gives probabilities. Default "float".
        batch: images per call, at least 1. Default 1, which mobile runtimes handle
            best. None: any number.
        input_size: pixels of the pictures that a file with `input="pixels"` takes, one
            number or (height, width), or "any" for a SavedModel, ONNX or OpenVINO.
            Default: the size of the model.
        attention: whether the file has a second output, `attention`: what each patch
            gives to the image's vector, (batch, rows, columns), in the last attention
            of the model, averaged over heads. Files for MediaPipe's
            ImageClassifier have one output. Default False.
        probabilities: whether a softmax (a sigmoid for a single one) is added to a
            classifier that gives logits, as programs expect that show what a file
            gives: MediaPipe's ImageClassifier does. Files that take pixels always give
            probabilities. Default False.
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

    Raises:
        FileExistsError: if `path` exists and `overwrite` is not set.
        ImportError: if what the format needs is not installed.
        OSError: if the disk is full or `path` cannot be written.
        TypeError: if `model` is no Keras model.
        RuntimeError: if the conversion or the verification fails, or the precision
            loses more than `max_loss`.
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
    check_thresholds(max_loss, tolerance)
    reports = report_paths(request.path) if report else []
    check_reports(reports, overwrite)
    check_writable(request.path.parent, required_bytes=3 * 4 * model.count_params())

    exported = exported_model(model, request, size)
    metadata = describe(model, exported, request)
    preprocessing = file_preprocessing(model, request)
    warnings = bytes_warnings(preprocessing) if request.row.bytes_signature else ()
    samples = None
    if calibration is not None:
        samples = calibration_images(calibration, preprocessing, exported, request)
    chosen = choose_pictures(model, evaluation, images, samples)
    shown = shown_to_file(chosen, preprocessing, exported, request)
    expected = keras_outputs(exported, shown.pictures)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as written:
        scratch = Path(folder)
        temporary = written.enter_context(replacing(request.path))
        decided = convert(
            exported,
            scratch,
            temporary,
            request,
            metadata,
            samples,
            part_names(model),
        )
        ops = check_ops(temporary) if request.format == "litert" else {}
        if request.format == "litert":
            write_tflite_metadata(temporary, {**metadata, **decided})
        if request.profile == MOBILE:
            check_gpu(temporary)
        write_metadata(temporary, request.format, {**metadata, **decided})
        actual = run(temporary, request.format, shown.pictures, scratch)
        output = metadata["output"]["name"]
        found = compare(expected, actual, shown, request.quantization, output)
        if request.quantization == FLOAT32:
            check_exact(found, expected, actual, tolerance)
        else:
            is_judged = not accept_loss and output != "features"
            check_loss(found, request.quantization, max_loss if is_judged else None)
        if report:
            image = shown.pictures[0]
            found |= latencies(exported, temporary, image, scratch, request, metadata)
        found["warnings"] += warnings
        result = ExportReport(
            path=request.path,
            format=request.format,
            quantization=request.quantization,
            num_bytes=num_bytes(temporary),
            inputs=metadata["input"],
            output=output,
            ops=ops,
            float_parts=tuple(decided.get("float_parts", ())),
            changes=mobile_changes(model, request),
            **found,
        )
        for path, text in zip(reports, result.texts(), strict=bool(reports)):
            written.enter_context(replacing(path)).write_text(text, encoding="utf-8")
        # Another process may have been faster.
        request.check_path()
        check_reports(reports, overwrite)
    return result


def _given(**texts: str | None) -> dict[str, str]:
    return {name: text for name, text in texts.items() if text is not None}
