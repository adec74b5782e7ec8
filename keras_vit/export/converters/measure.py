"""Quantize a LiteRT file in float in many ways, and measure what each one loses."""

from __future__ import annotations

import numpy as np

from keras_vit.export.converters.graph import (
    list_graph,
    make_interpreter,
    set_image,
    value_ranges,
)
from keras_vit.export.converters.recipes import (
    Recipe,
    mixed_recipe,
    parts_recipe,
)

# A mixed file keeps parts in float until it loses no more than this.
LARGEST_ERROR = 0.05
LEAST_AGREEMENT = 0.99


class Measure:
    """Quantizes a float file in many ways and says what each one loses.

    Args:
        path: of the file, in float32.
        calibration: path of an array of images as the file takes them, (N, H, W, C), or
            None if no activation is quantized.
    """

    def __init__(self, path: str, calibration: str | None) -> None:
        self.path = path
        self.graph = list_graph(path)
        self.output = self.graph[-1].scope
        self.images = None if calibration is None else np.load(calibration)
        self.ranges = None
        if self.images is not None:
            self.ranges = value_ranges(path, self.images)

    def quantize(self, recipe: Recipe) -> bytes:
        """Return the content of a quantized file."""
        from ai_edge_quantizer import quantizer

        worker = quantizer.Quantizer(self.path, recipe)
        result = worker.quantize(
            self.ranges, enable_progress_bar=False, enable_progress_report=False
        )
        return bytes(result.quantized_model or b"")

    def outputs(self, model: str | bytes) -> np.ndarray:
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
        return compare(expected, self.outputs(self.quantize(recipe)))


def compare(expected: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """Return error, largest difference and top-1 agreement of outputs (N, K).

    The error is the root mean square of the differences as a share of that of the
    outputs, both without the mean of a row, to which a softmax is blind.
    """
    difference = actual - expected
    noise, signal = (
        float(np.sqrt(np.mean((x - x.mean(axis=-1, keepdims=True)) ** 2)))
        for x in (difference, expected)
    )
    return {
        "error": noise / max(signal, 1e-12),
        "max_difference": float(abs(difference).max()),
        "top1_agreement": float(np.mean(expected.argmax(-1) == actual.argmax(-1))),
    }


def choose_float_parts(
    measure: Measure, parts: dict[str, list[str]], is_classifier: bool = True
) -> list[str]:
    """Return the parts that a mixed file keeps in float, the most sensitive ones.

    Parts are added in the order of what they cost alone, until the file loses no more
    than `LARGEST_ERROR` and, as a classifier, agrees on `LEAST_AGREEMENT` of the
    images.
    """
    expected = measure.outputs(measure.path)
    kept: list[str] = []
    order: list[str] | None = None
    while len(kept) < len(parts):
        loss = measure.loss(expected, mixed_recipe(parts, kept))
        agrees = not is_classifier or loss["top1_agreement"] >= LEAST_AGREEMENT
        if agrees and loss["error"] <= LARGEST_ERROR:
            break
        if order is None:  # Most models need no part in float, and no ranking.
            order = _most_sensitive_first(measure, expected, parts)
        kept = order[: len(kept) + 1]
    return kept


def _most_sensitive_first(
    measure: Measure, expected: np.ndarray, parts: dict[str, list[str]]
) -> list[str]:
    errors = {
        name: measure.loss(expected, parts_recipe(scopes))["error"]
        for name, scopes in parts.items()
    }
    return sorted(errors, key=lambda name: -errors[name])
