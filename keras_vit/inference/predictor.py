"""Run a classifier of any form: a Keras model or an exported file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.export.formats import FORMATS, find_format
from keras_vit.export.run_exported import RUNNERS
from keras_vit.keras_file import load_keras
from keras_vit.metadata import read_metadata
from keras_vit.outputs import output_activation
from keras_vit.preprocessing import Preprocessing

MODEL_FILE = "model.keras"
FOLDER_FILES = (*(row.marker for row in FORMATS.values() if row.marker), MODEL_FILE)
FILE_ENDINGS = (".keras", *(row.suffix for row in FORMATS.values() if row.suffix))


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A classifier together with what images need before it and mean after it.

    Args:
        name: where it came from.
        run: from images (B, H, W, C) to outputs (B, K), as the model takes and gives
            them.
        preprocessing: what images go through before `run`.
        class_names: one name per output; may be empty.
        activation: what the model applies to its logits; None: nothing.
        pixel_size: (height, width) of the pictures that `run` takes as bytes, doing the
            preprocessing itself; None: it takes preprocessed images. A side of None
            takes any size, one picture at a time.
    """

    name: str
    run: Callable[[np.ndarray], np.ndarray]
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    activation: str | None = None
    pixel_size: tuple[int | None, int | None] | None = None

    def prepare(self, image: Any) -> np.ndarray:
        """Return one picture (a path, PIL image or array) as `run` takes it."""
        if self.pixel_size is None:
            return self.preprocessing(image)
        height, width = self.pixel_size
        size = None if height is None or width is None else (height, width)
        return self.preprocessing.to_pixels(image, size)

    def outputs(self, images: Sequence[Any] | np.ndarray) -> np.ndarray:
        """Return what the model computes for pictures, float32 (N, K)."""
        prepared = [self.prepare(image) for image in images]
        if len({array.shape for array in prepared}) > 1:
            return np.concatenate([self.run(array[None]) for array in prepared])
        return np.asarray(self.run(np.stack(prepared)), dtype="float32")

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Turn outputs into probabilities: softmax of logits, others as they are.

        A single logit says yes or no: its sigmoid is the probability of yes.
        """
        if self.activation is not None:
            return outputs
        outputs = np.asarray(outputs, dtype="float64")
        if outputs.shape[-1] == 1:
            return 0.5 + 0.5 * np.tanh(0.5 * outputs)  # Without overflow.
        exponents = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
        return exponents / exponents.sum(axis=-1, keepdims=True)

    def class_name(self, index: int) -> str:
        """Return the name of a class, its number if it has none."""
        return self.class_names[index] if self.class_names else str(index)


def load_predictor(
    model: keras.Model | str | Path, preprocessing: Preprocessing | None = None
) -> Predictor:
    """Open a model for prediction.

    Args:
        model: a Keras model; or the path of a `.keras` file, a file or folder of
            `export`, or a folder with a `model.keras`.
        preprocessing: takes the place of the model's own.

    Raises:
        FileNotFoundError: if there is nothing at the path.
        ImportError: if the runtime for the file is not installed.
        ValueError: if the file is of another kind or damaged, or nothing says how
            images are preprocessed.
    """
    if isinstance(model, keras.Model):
        return _from_keras(model, "model", preprocessing)
    path = find_model(model)
    if path.suffix == ".keras":
        return _from_keras(load_keras(path), str(path), preprocessing)
    metadata = read_metadata(path)
    _check_head(metadata["output"]["name"] != "features", str(path))
    shape = metadata["input"]["shape"]
    takes_pixels = metadata["input"]["values"] == "pixels"
    stored = metadata["preprocessing"]
    if preprocessing is None and stored:
        preprocessing = Preprocessing(**stored)
    return Predictor(
        name=str(path),
        run=_exported(path),
        preprocessing=_required(preprocessing, str(path)),
        class_names=tuple(metadata["class_names"]),
        activation=metadata["output"]["activation"],
        pixel_size=tuple(shape[1:3]) if takes_pixels else None,
    )


def find_model(path: str | Path) -> Path:
    """Return the model file or exported folder that `path` means.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if the file has an ending that no model has.
    """
    path = Path(path).expanduser()
    if find_format(path) is not None:
        return path
    if path.is_dir():
        if (path / MODEL_FILE).is_file():
            return path / MODEL_FILE
        raise FileNotFoundError(
            f"No model in {str(path)!r}: none of {[*FOLDER_FILES]} is there. Pass "
            "such a folder, a file of export, or the output folder of a training run."
        )
    if not path.exists():
        raise FileNotFoundError(f"No model {str(path)!r}. Check the path.")
    if path.suffix != ".keras":
        raise ValueError(
            f"A model is a file that ends in one of {[*FILE_ENDINGS]}, or a SavedModel "
            f"or OpenVINO folder, received {str(path)!r}."
        )
    return path


def _from_keras(
    model: keras.Model, name: str, preprocessing: Preprocessing | None
) -> Predictor:
    own = getattr(model, "preprocessing", None)
    config = getattr(model, "config", None)
    _check_head(config is None or config.num_classes is not None, name)

    def run(images: np.ndarray) -> np.ndarray:
        return np.asarray(model.predict_on_batch(images), dtype="float32")

    return Predictor(
        name=name,
        run=run,
        preprocessing=_required(preprocessing or own, name),
        class_names=tuple(getattr(model, "class_names", None) or ()),
        activation=output_activation(model),
    )


def _check_head(has_head: bool, name: str) -> None:
    if not has_head:
        raise ValueError(
            f"Only a classifier can predict classes, and {name!r} is a model without a "
            "head. Build it with num_classes."
        )


def _required(preprocessing: Preprocessing | None, name: str) -> Preprocessing:
    if preprocessing is None:
        raise ValueError(
            f"{name!r} does not say how images are preprocessed. Set "
            "model.preprocessing = keras_vit.Preprocessing(...) on a keras_vit.ViT "
            "before saving it, or pass preprocessing."
        )
    return preprocessing


def _exported(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    format = find_format(path)
    if format is None:
        raise ValueError(f"{str(path)!r} is no file of keras_vit.export.")
    row = FORMATS[format]
    if find_spec(row.runtime) is None:
        raise ImportError(
            f"{row.runtime} is needed to run {str(path)!r}. Install it with "
            f"pip install 'keras3-vit[{row.extra}]'."
        )
    return RUNNERS[format](str(path))
