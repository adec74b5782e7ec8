"""Let the probabilities of a trained model say how often they are right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from keras_vit.data.class_matching import class_numbers
from keras_vit.data.image_data import ImageData, Part
from keras_vit.data.trained_pictures import read_trained_pictures, to_judge
from keras_vit.heads.cross_validation import probabilities
from keras_vit.heads.feature_cache import cache_folder
from keras_vit.heads.feature_kinds import AUTO, backbone, feature_kinds
from keras_vit.heads.feature_pass import FeatureReader, needed_preprocessing
from keras_vit.heads.in_threads import check_packages
from keras_vit.heads.logistic_regression import Kind
from keras_vit.heads.rejection import (
    Rejection,
    check_rejection,
    fit_rejection,
    output_options,
)
from keras_vit.heads.temperature import find_temperature, logits_of
from keras_vit.image_progress import ImageProgress
from keras_vit.keras_file import load_keras
from keras_vit.keras_internals import all_layers
from keras_vit.model import ViT
from keras_vit.surgery import changed
from keras_vit.training.run_folder import MODEL_FILE
from keras_vit.weight_fitting import CLASSIFIERS

_FOLDS = 5


def calibrate(
    model: ViT | str | Path,
    data: ImageData,
    *,
    part: str = "validation",
    none_of_these: float | None = None,
    cache: str | Path | None = AUTO,
    batch_size: int = 64,
    verbose: bool = True,
) -> ViT:
    """Return a copy of a classifier whose probabilities say how often they are right.

    All logits are divided by one number, the temperature, with which the mean
    cross-entropy on held-out pictures is the lowest. The classifier itself is divided,
    so that every file of the copy has it. Which class is the most likely stays the
    same, and so does what is yes or no: thresholds move along. Unless loss and expected
    calibration error get better in a cross-validation on these pictures, by more than
    chance, the copy is as the model. `fit_head` does this by itself.

    Args:
        model: a trained ViT with preprocessing, which stays as it is; or the output
            folder of a run, or a `.keras` file in it, which says what it was trained
            on. LoRA factors are added to the kernels of the copy.
        data: from `load_data`, with classes of the model, matched by name.
        part: "validation" (default), "test" or "all": pictures that the model was not
            trained on. What judges it later should be others.
        none_of_these: share of pictures of the classes that may be rejected, such as
            0.05: the copy has one output more, "none of these", for pictures whose
            features are far from those of all classes. These are learned from the
            pictures that the model was trained on (of part="all", from the same ones),
            and the share is kept on the held-out pictures. Default None: the outputs
            stay, and so does such an output that the model has, with its threshold.
        cache: folder for the features that `none_of_these` needs, as in `fit_head`.
            Default "auto".
        batch_size: images per call of the model. Default 64.
        verbose: whether progress and what changed are printed. Default True.

    Raises:
        FileNotFoundError: if there is nothing at the path.
        ImportError: if SciPy or threadpoolctl is not installed.
        TypeError: if `model` is no ViT, or `data` is not from `load_data`.
        ValueError: if the data has no such part, the model was trained on pictures of
            it or is quantized, or the two do not fit together.

    Example:
        ```python
        data = keras_vit.load_data("photos/", validation_fraction=0.5)
        model = keras_vit.load("saved_models/photos")
        copy = keras_vit.calibrate(model, data, verbose=False)
        copy.class_names  # ('cat', 'dog')
        ```

    Reference: arXiv:1706.04599, section 4.2 (temperature scaling).
    """
    check_packages()
    vit, folder = _opened(model)
    kind = _check_model(vit, data)
    check_rejection(none_of_these, data)
    if none_of_these is not None:
        vit = _prepared(vit, data, kind)
    pictures = _held_out(data, part, folder)
    answers = _answers(vit, data, pictures, kind, batch_size, verbose)
    found = find_temperature(
        answers.logits, answers.targets, answers.weights, answers.folds, kind
    )
    if verbose:
        print(f"{found.text()} on {found.num_images} {part} images")
    copy = changed(vit, lora=None)
    if none_of_these is not None:
        read = _reader(vit, cache, batch_size, verbose)
        rejection = _rejection(read, vit, data, part, folder, pictures, none_of_these)
        if verbose:
            print(rejection.false_alarms.text())
        copy = changed(copy, **output_options(vit.class_names or (), rejection))
        rejection.write(copy.get_layer("head"))
    for weight in copy.weights:
        if weight.path.startswith(CLASSIFIERS):
            weight.assign(ops.divide(weight, found.value))
    if copy.thresholds is not None:
        # The same logits are yes as before.
        logits = logits_of(np.array(copy.thresholds), "sigmoid") / found.value
        copy.thresholds = tuple(probabilities(logits, "sigmoid").tolist())
    return copy


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """What a model says of pictures, and what is right. N pictures, K outputs."""

    logits: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    folds: np.ndarray


def _opened(model: Any) -> tuple[ViT, Path | None]:
    """Return the model, and the folder that it came from."""
    folder = None
    if isinstance(model, (str, Path)):
        path = Path(model).expanduser()
        path = path / MODEL_FILE if path.is_dir() else path
        if not path.is_file():
            raise FileNotFoundError(
                f"No model {str(path)!r}. Pass the output folder of a run, or a .keras "
                "file."
            )
        model, folder = load_keras(path), path.parent
    if not isinstance(model, ViT):
        raise TypeError(
            "calibrate takes a keras_vit.ViT, or the path of one in a .keras file, "
            f"received {type(model).__name__}. Calibrate the model before you export "
            "it: its files carry the temperature."
        )
    return model, folder


def _check_model(model: ViT, data: Any) -> Kind:
    """Refuse what cannot be calibrated; return what its outputs are."""
    if not isinstance(data, ImageData):
        raise TypeError(
            "calibrate takes what keras_vit.load_data returns, received data of type "
            f"{type(data).__name__}. Call load_data with a folder, arrays or a list."
        )
    config = model.config
    if config.num_classes is None:
        raise ValueError(
            "Only a classifier can be calibrated, received a model with "
            "num_classes=None. Fit a head first: keras_vit.fit_head(model, data)."
        )
    if any(getattr(x, "quantization_mode", None) for x in all_layers(model)):
        raise ValueError(
            "A temperature divides weights of floating point, received a quantized "
            "model. Calibrate the model first, then quantize or export it."
        )
    needed_preprocessing(model)
    activation = config.classifier_activation
    if activation not in (None, "linear", "softmax", "sigmoid"):
        raise ValueError(
            "A temperature divides logits, which softmax or sigmoid turns into "
            f"probabilities, received classifier_activation={activation!r}. Use one of "
            "these, or None."
        )
    if data.is_multi_label and activation == "softmax":
        raise ValueError(
            f"The model names one class per image, and {data.name!r} has several "
            "labels per image. Use a model that ends with a sigmoid."
        )
    is_yes_or_no = data.is_multi_label or model.thresholds is not None
    is_yes_or_no |= config.num_classes == 1 or activation == "sigmoid"
    return "sigmoid" if is_yes_or_no else "softmax"


def _held_out(data: ImageData, part: str, folder: Path | None) -> Part:
    """Return pictures that the model was not trained on, as far as that is known."""
    if part not in ("validation", "test", "all"):
        raise ValueError(
            "A temperature is found on pictures that the model was not trained on: "
            f"part must be 'validation', 'test' or 'all', received part={part!r}."
        )
    trained = None if folder is None else read_trained_pictures(folder)
    if trained is None and part != "all" and part not in data.parts:
        raise ValueError(
            f"{data.name!r} has no {part} part, and a temperature is found on pictures "
            "that the model was not trained on. Hold some out before training: "
            "load_data(..., validation_fraction=0.2). If it was trained on none of "
            "these, pass part='all'."
        )
    judged = to_judge(data, part, trained)
    if judged.num_trained_on:
        raise ValueError(
            f"The model was trained on {judged.num_trained_on} of the "
            f"{len(judged.images)} images of part={part!r}, and is surer of them than "
            "of others. Pass data that it has not seen, or the validation part of its "
            "run."
        )
    return judged.images


def _prepared(model: ViT, data: ImageData, kind: Kind) -> ViT:
    """Return a model that chooses one of named classes, without a former rejection.

    Raises:
        ValueError: if it has two classifiers, or sigmoids.
    """
    config = model.config
    if config.use_distillation_token or kind == "sigmoid":
        raise ValueError(
            "none_of_these adds an answer to one classifier of one class per image, "
            "received a model with "
            f"use_distillation_token={config.use_distillation_token}, num_classes="
            f"{config.num_classes}, classifier_activation="
            f"{config.classifier_activation!r}. Leave none_of_these out."
        )
    model = changed(model, lora=None, rejection_dim=None)
    count = model.config.num_classes
    if data.num_classes != count:
        raise ValueError(
            "none_of_these needs pictures of each class of the model, received "
            f"{data.num_classes} classes in {data.name!r} for num_classes={count}. "
            "Pass data of all classes."
        )
    if model.class_names is None:
        model.class_names = data.class_names
    return model


def _reader(
    model: ViT, cache: Any, batch_size: int, verbose: bool
) -> Callable[[Part], np.ndarray]:
    """Return the function from pictures to what the classifier of a model sees."""
    kinds = feature_kinds(model, "pooled")
    return FeatureReader(
        lambda dtype: backbone(model, kinds, dtype),
        needed_preprocessing(model),
        dtype=AUTO,
        batch_size=batch_size,
        folder=cache_folder(cache),
        verbose=verbose,
    ).read


def _rejection(
    read: Callable[[Part], np.ndarray],
    model: ViT,
    data: ImageData,
    part: str,
    folder: Path | None,
    held_out: Part,
    rate: float,
) -> Rejection:
    """Fit the distances on the training pictures, and the threshold on others."""
    known = class_numbers(model.class_names, data.class_names, repr(data.name))
    features = read(held_out)
    if part == "all":
        labels = known[np.asarray(held_out.labels)]
        _check_labels(labels, data)
        return fit_rejection(features, labels, rate, folds=_folds(held_out))
    trained = None if folder is None else read_trained_pictures(folder)
    train = to_judge(data, "train", trained).images
    labels = known[np.asarray(train.labels)]
    _check_labels(labels, data)
    return fit_rejection(read(train), labels, rate, held_out=features)


def _check_labels(labels: np.ndarray, data: ImageData) -> None:
    missing = set(range(data.num_classes)) - set(labels.tolist())
    if missing:
        raise ValueError(
            "none_of_these needs pictures of each class of the model, received none of "
            f"{len(missing)} classes in {data.name!r}. Add some."
        )


def _answers(
    model: ViT,
    data: ImageData,
    images: Part,
    kind: Kind,
    batch_size: int,
    verbose: bool,
) -> _Answers:
    """Run the model over the pictures."""
    count = int(model.config.num_known_classes or 0)
    names = model.class_names and model.class_names[: max(count, 2)]
    known = class_numbers(names, data.class_names, repr(data.name))
    most = 2 if count == 1 else count
    if data.num_classes > most or (data.is_multi_label and data.num_classes < count):
        raise ValueError(
            f"The model has {count} outputs and {data.name!r} has {data.num_classes} "
            "classes. Pass data of the classes of the model."
        )
    plain = model
    if model.config.classifier_activation is not None:
        plain = changed(model, classifier_activation=None)
    rows = []
    progress = ImageProgress(len(images), verbose=verbose)
    for batch in images.batches(needed_preprocessing(model), batch_size):
        found: Any = plain.predict_on_batch(np.asarray(batch[0]))
        found = np.asarray(ops.convert_to_numpy(found), "float32")
        rows.append(found[:, :count])  # Without that of none of the classes.
        progress.add(len(rows[-1]))
    progress.close()
    logits, labels = np.concatenate(rows), np.asarray(images.labels)
    targets = np.zeros((len(labels), most), "float32")
    if labels.ndim == 2:
        targets[:, known] = labels
    else:
        targets[np.arange(len(labels)), known[labels]] = 1
    return _Answers(
        logits=logits,
        targets=targets[:, -count:],  # Of no and yes the output says yes.
        weights=np.ones(len(labels)),
        folds=_folds(images),
    )


def _folds(images: Any) -> np.ndarray:
    """Return a fold for each picture; those of a group, or equal ones, share one."""
    units = getattr(images, "groups", None)
    if units is None:
        units = getattr(images, "content", None)
    if units is None:
        units = np.arange(len(images))
    _, numbers = np.unique(units, return_inverse=True)
    order = np.random.default_rng(0).permutation(int(numbers.max()) + 1)
    return order[numbers] % _FOLDS
