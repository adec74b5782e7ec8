"""Run a model of any form: a Keras model or an exported file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.data.images import spread
from keras_vit.data.prefetching import made_ahead, spare_cores
from keras_vit.data.sequences import by_position, is_table
from keras_vit.data.values import SAMPLED, values_of
from keras_vit.exporting.formats import FORMATS, find_format
from keras_vit.exporting.run_exported import open_file
from keras_vit.features import pre_logits
from keras_vit.given_arrays import in_dtype
from keras_vit.keras_file import load_keras
from keras_vit.metadata import read_metadata
from keras_vit.model_preprocessing import preprocessing_of
from keras_vit.output_activation import output_activation, thresholds_of
from keras_vit.preprocessing import Preprocessing

MODEL_FILE = "model.keras"
FOLDER_FILES = (*(row.marker for row in FORMATS.values() if row.marker), MODEL_FILE)
FILE_ENDINGS = (".keras", *(row.suffix for row in FORMATS.values() if row.suffix))


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A model together with what images need before it and mean after it.

    Args:
        name: where it came from.
        run: from images (B, H, W, C) to outputs (B, K), as the model takes and gives
            them.
        preprocessing: what images go through before `run`.
        class_names: one name per class; may be empty. A model with one output has two
            classes, no and yes, or the name of yes alone.
        activation: what the model applies to its logits; None: nothing.
        thresholds: for each output the probability from which its answer is yes: each
            is a sigmoid of its own. None: a softmax, or a yes or no at 0.5.
        has_head: whether the outputs are those of a classifier, not features.
        num_outputs: K, if it is known.
        pixel_size: (height, width) of the pictures that `run` takes as bytes, doing the
            preprocessing itself; None: it takes preprocessed images. A side of None
            takes any size, one picture at a time.
        views: what makes several inputs of one picture, (V, H, W, C), by the
            preprocessing. Default None: there is one, (H, W, C).
    """

    name: str
    run: Callable[[np.ndarray], np.ndarray]
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    activation: str | None = None
    thresholds: tuple[float, ...] | None = None
    has_head: bool = True
    num_outputs: int | None = None
    pixel_size: tuple[int | None, int | None] | None = None
    views: Callable[[Preprocessing, Any], np.ndarray] | None = None

    @property
    def is_multi_label(self) -> bool:
        """Whether a picture may have several classes, or none; each has a threshold."""
        count = 0 if self.thresholds is None else len(self.thresholds)
        return count > 1 or (count == 1 and len(self.class_names) == 1)

    def prepare(self, image: Any) -> np.ndarray:
        """Return one picture (a path, PIL image or array) as `run` takes it."""
        if self.views is not None:
            return self.views(self.preprocessing, image)
        if self.pixel_size is None:
            return self.preprocessing.to_values(image)
        height, width = self.pixel_size
        size = (height, width) if height and width else None
        return self.preprocessing.to_pixels(image, size)

    def check_values(self, images: Any) -> None:
        """Raise a ValueError if a set of arrays holds other values than expected."""
        sample = (images[i] for i in map(int, spread(len(images), SAMPLED)))
        found = values_of(sample)
        self.preprocessing.check_unit(found is not None and found.is_unit)

    def outputs_in_batches(
        self, images: Any, batch_size: int, keep_going: bool = False
    ) -> Iterator[list[np.ndarray | Exception]]:
        """Yield the outputs of so many pictures at a time, one float32 (K,) for each.

        Threads read the next pictures while the model computes.

        Args:
            images: have a number and a length.
            batch_size: pictures per call of the model.
            keep_going: whether a picture that cannot be read gives its error in the
                place of outputs, instead of raising it.
        """
        self.check_values(images)

        def read(start: int) -> list[np.ndarray | Exception]:
            some = range(start, min(start + batch_size, len(images)))
            return [self._prepared(images, i, keep_going) for i in some]

        starts = range(0, len(images), batch_size)
        fill_to = 0
        for prepared in made_ahead(read, starts, spare_cores()):
            arrays = [x for x in prepared if not isinstance(x, Exception)]
            rows = iter(self._outputs(arrays, fill_to))
            yield [x if isinstance(x, Exception) else next(rows) for x in prepared]
            if len(arrays) == batch_size:
                # From here on all are full: a model is compiled for each size.
                fill_to = batch_size

    def _prepared(
        self, images: Any, number: int, keep_going: bool
    ) -> np.ndarray | Exception:
        try:
            return self.prepare(images[number])
        except (OSError, TypeError, ValueError) as error:
            if keep_going:
                return error
            raise

    def _outputs(
        self, arrays: list[np.ndarray], fill_to: int = 0
    ) -> Iterator[np.ndarray]:
        if len({array.shape for array in arrays}) > 1:
            for array in arrays:
                yield np.asarray(self.run(array[None]), dtype="float32")[0]
        elif arrays:
            filled = [*arrays, *[arrays[-1]] * (fill_to - len(arrays))]
            found = np.asarray(self.run(np.stack(filled)), dtype="float32")
            yield from found[: len(arrays)]

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Turn outputs into probabilities: softmax of logits, others as they are.

        With thresholds it is the sigmoid. A single logit says no or yes: its sigmoid is
        the probability of yes, (N, 2) then, or (N, 1) if yes alone has a name.

        Raises:
            ValueError: if some are no numbers.
        """
        with np.errstate(invalid="ignore"):  # It is said below.
            found = self._probabilities(outputs)
        wrong: Any = np.isnan(found.reshape(len(found), -1)).any(axis=1)
        if wrong.any():
            raise ValueError(
                f"{self.name!r} gives NaN, no probabilities, for {int(wrong.sum())} of "
                f"{len(wrong)} pictures. Its weights or sums have overflowed: load it "
                "anew, or train it again with a lower learning rate; with float16, in "
                "bfloat16 or float32."
            )
        return found

    def _probabilities(self, outputs: np.ndarray) -> np.ndarray:
        if self.activation is not None:
            return self._no_and_yes(outputs)
        outputs = np.asarray(outputs, dtype="float64")
        if outputs.shape[-1] == 1 or self.thresholds is not None:
            # Without overflow.
            return self._no_and_yes(0.5 + 0.5 * np.tanh(0.5 * outputs))
        exponents = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
        return exponents / exponents.sum(axis=-1, keepdims=True)

    def _no_and_yes(self, probabilities: np.ndarray) -> np.ndarray:
        if probabilities.shape[-1] != 1 or len(self.class_names) == 1:
            return probabilities
        return np.concatenate([1.0 - probabilities, probabilities], axis=-1)

    def scores(self, probabilities: np.ndarray) -> np.ndarray:
        """Return what is highest for the class that is chosen, (N, K).

        These are the probabilities, but of no and yes with a threshold of its own.
        """
        if self.thresholds is None or self.is_multi_label:
            return probabilities
        (threshold,) = self.thresholds
        below = np.full_like(probabilities[..., :1], np.nextafter(threshold, -1.0))
        return np.concatenate([below, probabilities[..., 1:]], axis=-1)

    def chosen(self, probabilities: np.ndarray) -> np.ndarray:
        """Return whether each class, (..., K), reaches its threshold."""
        return probabilities >= np.asarray(self.thresholds)

    def class_name(self, index: int) -> str:
        """Return the name of a class, its number if it has none."""
        return self.class_names[index] if self.class_names else str(index)


def load_predictor(
    model: keras.Model | str | Path | Predictor,
    preprocessing: Preprocessing | None = None,
) -> Predictor:
    """Open a classifier for prediction.

    Args:
        model: a Keras model; or the path of a `.keras` file, a file or folder of
            `export`, or a folder with a `model.keras`. A `Predictor` is given back.
        preprocessing: takes the place of the model's own.

    Raises:
        FileNotFoundError: if there is nothing at the path.
        ImportError: if the runtime for the file is not installed.
        ValueError: if the file is of another kind or damaged, the model has no head,
            or nothing says how images are preprocessed.
    """
    if isinstance(model, Predictor):
        return model
    found, name = _open(model)
    if isinstance(found, Path):
        predictor = _of_file(found, preprocessing)
    else:
        predictor = _of_keras(found, name, preprocessing)
    if not predictor.has_head:
        raise ValueError(
            f"Only a classifier can predict classes, and {name!r} is a model without a "
            "head. Build it with num_classes."
        )
    return predictor


def load_embedder(
    model: keras.Model | str | Path, preprocessing: Preprocessing | None = None
) -> Predictor:
    """Open a ViT for the vectors that its classifier sees.

    Args:
        model: as in `load_predictor`; a file of `export` of a model without a head.
        preprocessing: takes the place of the model's own.

    Raises:
        FileNotFoundError: if there is nothing at the path.
        ImportError: if the runtime for the file is not installed.
        TypeError: if a Keras model is no ViT.
        ValueError: if the file is of another kind or damaged, the model has no pooling,
            or nothing says how images are preprocessed.
    """
    found, name = _open(model)
    if not isinstance(found, Path):
        preprocessing = preprocessing or getattr(found, "preprocessing", None)
        backbone = pre_logits(found)
        predictor = _of_keras(backbone, name, preprocessing)
        return replace(predictor, num_outputs=backbone.output_shape[-1])
    predictor = _of_file(found, preprocessing)
    if predictor.has_head:
        raise ValueError(
            f"Vectors come from a model without a head, and {name!r} is the file of a "
            "classifier. Export keras_vit.replace_head(model, None), or pass the "
            "Keras model."
        )
    return predictor


def load_backbone(
    model: keras.Model, preprocessing: Preprocessing | None = None
) -> Predictor:
    """Open a Keras model as it is, whatever its outputs are.

    Args:
        model: whose outputs may be vectors or tokens.
        preprocessing: takes the place of the model's own.

    Raises:
        ValueError: if nothing says how images are preprocessed.
    """
    return _of_keras(model, model.name, preprocessing)


def as_pictures(images: Any) -> Any:
    """Return pictures that have a number and a length; one becomes a list of itself."""
    is_array = getattr(images, "ndim", None) in (2, 3) and not is_table(images)
    is_picture = hasattr(images, "getexif") or hasattr(images, "read")  # PIL, a file
    if isinstance(images, (str, Path)) or is_array or is_picture:
        return [images]
    return by_position(images, "Images")


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


def _open(model: keras.Model | str | Path) -> tuple[Any, str]:
    """Return a Keras model, or the path of an exported one; and its name."""
    if isinstance(model, keras.Model):
        return model, "model"
    path = find_model(model)
    return (load_keras(path) if path.suffix == ".keras" else path), str(path)


def _of_keras(
    model: keras.Model, name: str, preprocessing: Preprocessing | None
) -> Predictor:
    config: Any = getattr(model, "config", None)

    (given, *_) = getattr(model, "inputs", None) or (None,)
    dtype = getattr(given, "dtype", "float32")

    def run(images: np.ndarray) -> np.ndarray:
        found: Any = model.predict_on_batch(in_dtype(images, dtype))
        if isinstance(found, (dict, list, tuple)):
            raise ValueError(
                f"A model with one output is needed, received {len(found)} outputs of "
                f"{name!r}. Choose one: keras.Model(model.inputs, model.outputs[0])."
            )
        return np.asarray(found, dtype="float32")

    preprocessing = preprocessing or preprocessing_of(model)
    return Predictor(
        name=name,
        run=run,
        preprocessing=_required(preprocessing, name),
        class_names=tuple(getattr(model, "class_names", None) or ()),
        activation=output_activation(model),
        thresholds=thresholds_of(model),
        has_head=config is None or config.num_classes is not None,
    )


def _of_file(path: Path, preprocessing: Preprocessing | None) -> Predictor:
    metadata = read_metadata(path)
    shape = metadata["input"]["shape"]
    takes_pixels = metadata["input"]["values"] == "pixels"
    stored = metadata["preprocessing"]
    if preprocessing is None and stored:
        preprocessing = Preprocessing(**stored)
    run, dtype = _exported(path), metadata["input"]["dtype"]
    if metadata["input"]["values"] == "quantized":
        dtype = "float32"  # What runs the file makes integers of it.
    return Predictor(
        name=str(path),
        run=lambda images: run(in_dtype(images, dtype)),
        preprocessing=_required(preprocessing, str(path)),
        class_names=tuple(metadata["class_names"]),
        activation=metadata["output"]["activation"],
        thresholds=_thresholds_in(metadata),
        has_head=metadata["output"]["name"] != "features",
        pixel_size=tuple(shape[1:3]) if takes_pixels else None,
    )


def _thresholds_in(metadata: dict[str, Any]) -> tuple[float, ...] | None:
    """Return the thresholds of a file, None if it has none; see `Predictor`."""
    output, count = metadata["output"], len(metadata["class_names"])
    if "thresholds" in output:
        return tuple(output["thresholds"])
    if output.get("threshold", 0.5) != 0.5:
        return (output["threshold"],)
    # Files that an earlier version wrote have none.
    is_sigmoid = output["activation"] == "sigmoid" and "threshold" not in output
    return (0.5,) * count if is_sigmoid and count > 1 else None


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
    return open_file(format, str(path))
