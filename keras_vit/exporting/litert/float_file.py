"""A LiteRT file in float, from which those in other precisions are made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.exporting.answers import answers
from keras_vit.exporting.litert.graph import Op, read_graphs
from keras_vit.exporting.litert.quantizer_recipes import Recipe


class FloatFile:
    """Makes files in other precisions from one in float, and says what each one loses.

    Args:
        path: of the file, in float32.
        images: as the file takes them, (N, H, W, C), or None if no activation is
            quantized.
        limits: from which output on the answer is yes, see `limits_of`. Default None.
    """

    def __init__(
        self,
        path: Path,
        images: np.ndarray | None,
        limits: np.ndarray | None = None,
    ) -> None:
        self.path = path
        self.limits = limits
        self.ops = read_graphs(path)[0].ops
        self.output = self.ops[-1].scope
        self.images = images
        self.ranges = None if images is None else value_ranges(path, self.ops, images)

    def quantize(self, recipe: Recipe) -> bytes:
        """Return the content of a quantized file."""
        from ai_edge_quantizer import quantizer

        worker = quantizer.Quantizer(str(self.path), recipe)
        result = worker.quantize(
            self.ranges, enable_progress_bar=False, enable_progress_report=False
        )
        return bytes(result.quantized_model or b"")

    def outputs(self, model: Path | bytes) -> np.ndarray:
        """Return what a file computes for the images, (N, ...)."""
        interpreter = make_interpreter(model)
        given = interpreter.get_output_details()[0]
        found = []
        for image in self.images if self.images is not None else ():
            set_image(interpreter, image)
            interpreter.invoke()
            found.append(interpreter.get_tensor(given["index"])[0])
        return np.stack(found)

    def loss(self, expected: np.ndarray, recipe: Recipe) -> dict[str, float]:
        """Return what a recipe loses against the outputs of the float file."""
        found = self.outputs(self.quantize(recipe))
        return differences(expected, found, self.limits)


def differences(
    expected: np.ndarray, actual: np.ndarray, limits: np.ndarray | None = None
) -> dict[str, float]:
    """Return error, largest difference and agreement of outputs (N, K).

    The error is the root mean square of the differences as a share of that of the
    outputs, both without the mean of a row, to which a softmax is blind; with limits
    that of each output as it is.
    """
    difference = actual - expected
    blind = 1.0 if limits is None else 0.0
    noise, signal = (
        float(np.sqrt(np.mean((x - blind * x.mean(axis=-1, keepdims=True)) ** 2)))
        for x in (difference, expected)
    )
    same = answers(expected, limits) == answers(actual, limits)
    return {
        "error": noise / max(signal, 1e-12),
        "max_difference": float(abs(difference).max()),
        "top1_agreement": float(np.mean(same)),
    }


def value_ranges(
    path: Path, ops: Sequence[Op], images: np.ndarray
) -> dict[str, dict[str, np.ndarray]]:
    """Return the smallest and largest value of what each op gives, over all images.

    ai-edge-quantizer's own calibration takes a moving average of both, which cuts off
    what is rare: on the digits it had 2.1 as largest logit difference in int8, where
    true ranges have 0.80.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for tensors in _tensors_of_each(path, ops, images):
        for name, values in tensors:
            # One number of the rank of the tensor, as the quantizer wants it.
            low, high = values.min(keepdims=True), values.max(keepdims=True)
            old = found.get(name, {"min": low, "max": high})
            found[name] = {
                "min": np.minimum(low, old["min"]),
                "max": np.maximum(high, old["max"]),
            }
    return found


def _tensors_of_each(
    path: Path, ops: Sequence[Op], images: np.ndarray
) -> Iterator[Iterator[tuple[str, np.ndarray]]]:
    interpreter = make_interpreter(path, keeps_tensors=True)
    feed = interpreter.get_input_details()[0]
    # No constants: with a range here, one scale would do for a whole matrix.
    names = {tensor.name for op in ops for tensor in op.outputs}
    details = [
        detail
        for detail in interpreter.get_tensor_details()
        if detail["name"] in names | {feed["name"]} and detail["dtype"] == np.float32
    ]
    for image in images:
        set_image(interpreter, image)
        interpreter.invoke()
        yield (
            (detail["name"], interpreter.get_tensor(detail["index"]))
            for detail in details
        )


def set_image(interpreter: Any, image: np.ndarray) -> None:
    """Hand in one image, (H, W, C), as often as the file takes it."""
    feed = interpreter.get_input_details()[0]
    images = np.repeat(image[None], feed["shape"][0], axis=0)
    if images.shape != tuple(feed["shape"]):  # It takes images of any size.
        interpreter.resize_tensor_input(feed["index"], images.shape)
        interpreter.allocate_tensors()
    interpreter.set_tensor(feed["index"], images)


def make_interpreter(model: Path | bytes, keeps_tensors: bool = False) -> Any:
    """Return an interpreter, ready to run.

    Args:
        model: path, or content of a file.
        keeps_tensors: whether what is between input and output can be read afterwards;
            slow, because each op is run on its own.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    options: dict[str, Any] = {}
    if keeps_tensors:
        without = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        options = {
            "experimental_op_resolver_type": without,
            "experimental_preserve_all_tensors": True,
        }
    if isinstance(model, bytes):
        interpreter = Interpreter(model_content=model, **options)
    else:
        interpreter = Interpreter(model_path=str(model), **options)
    interpreter.allocate_tensors()
    return interpreter
