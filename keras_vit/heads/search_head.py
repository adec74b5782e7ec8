"""How a head is chosen and fitted. N pictures, D features, K classes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.data.image_data import ImageData, Part
from keras_vit.data.trained_pictures import trained_pictures, write_trained_pictures
from keras_vit.files import replacing
from keras_vit.heads.cross_validation import (
    Labelled,
    Trial,
    class_means,
    compare_features,
    fit,
    learning_curve,
    neighbours,
)
from keras_vit.heads.cross_validation import accuracy as accuracy_of
from keras_vit.heads.feature_cache import cache_folder
from keras_vit.heads.feature_kinds import AUTO, FeatureKind, backbone
from keras_vit.heads.feature_pass import FeatureReader, needed_preprocessing
from keras_vit.heads.head_checks import check_head, check_output, given_weights
from keras_vit.heads.labelled_parts import (
    class_targets,
    labelled_parts,
    picture_weights,
)
from keras_vit.heads.logistic_regression import Kind, Linear
from keras_vit.heads.rejection import (
    Rejection,
    check_rejection,
    fit_rejection,
    output_options,
)
from keras_vit.heads.report import CurvePoint, HeadReport, Tried
from keras_vit.heads.temperature import calibrated
from keras_vit.keras_file import save_keras
from keras_vit.label_scores import best_thresholds, mean_average_precision
from keras_vit.model import ViT
from keras_vit.surgery import changed
from keras_vit.training.run_folder import HEAD_FILE, MODEL_FILE
from keras_vit.training.run_lock import locked


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """What `fit_head` is asked for; it says there what each means."""

    features: str = AUTO
    class_weight: str | Mapping[str, float] | None = None
    none_of_these: float | None = None
    folds: int = 5
    seed: int = 0
    batch_size: int = 32
    dtype: str = AUTO
    cache: str | Path | None = AUTO
    output: str | Path | None = None
    overwrite: bool = False
    verbose: bool = True


@dataclass(frozen=True, kw_only=True)
class FittedHead:
    """A model with a fitted head, and how it was chosen.

    Args:
        model: the classifier.
        report: of the cross-validation.
        read: from a part of the data to the features of the head, float32 (N, D).
        linear: the head.
        rejection: what tells pictures of none of the classes, or None.
    """

    model: ViT
    report: HeadReport
    read: Callable[[Part], np.ndarray]
    linear: Linear
    rejection: Rejection | None = None

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return what the model says of features (N, D), before an activation."""
        found = self.linear.logits(features)
        if self.rejection is None:
            return found
        return self.rejection.with_none(found, features)


def search_head(
    model: ViT, data: ImageData, options: HeadOptions | None = None
) -> FittedHead:
    """Fit a head as `fit_head` does, and return with it how it was chosen.

    Args:
        model: as in `fit_head`.
        data: see there.
        options: see there. Default None: its defaults.
    """
    options = options or HeadOptions()
    kinds = check_head(model, data, options.features, options.folds, options.batch_size)
    weights = given_weights(options.class_weight, data)
    check_rejection(options.none_of_these, data)
    folder = None if options.output is None else Path(options.output).expanduser()
    if folder is not None:
        check_output(folder, options.overwrite, model)
    with locked(folder):
        reader = FeatureReader(
            lambda dtype: backbone(model, kinds, dtype),
            needed_preprocessing(model),
            dtype=options.dtype,
            batch_size=options.batch_size,
            folder=cache_folder(options.cache),
            verbose=options.verbose,
        )
        whole = reader.read(data.train)
        part = {kind.name: kind.part for kind in kinds}
        if len(kinds) == 1:  # The backbone gives what is asked for, or more.
            part = {kinds[0].name: _part(kinds[0], whole.shape[1])}
        labelled, some = labelled_parts(data, weights, options.folds, options.seed)
        compared = whole[some]
        trials = compare_features(
            {name: compared[:, where] for name, where in part.items()}, labelled
        )
        best = min(trials.values(), key=lambda trial: trial.loss)
        best, temperature = calibrated(best, labelled)
        thresholds = _thresholds(best, labelled)
        where = part[best.features]
        chosen = whole[:, where]
        targets = class_targets(data.train.labels, data.num_classes)
        each = picture_weights(data, weights)
        linear = fit(chosen, targets, each, best, labelled.kind)
        linear = linear.divided(temperature.value)
        rejection = None
        if options.none_of_these is not None:
            rejection = fit_rejection(
                chosen[some],
                data.train.labels[some],
                options.none_of_these,
                folds=labelled.folds,
            )
        report = HeadReport(
            num_images=len(whole),
            num_folds=labelled.num_folds,
            num_compared=len(some),
            features=best.features,
            dtype=reader.dtype,
            temperature=temperature,
            false_alarms=None if rejection is None else rejection.false_alarms,
            tried=tuple(
                Tried(
                    features=name,
                    width=whole[:1, part[name]].shape[1],
                    strength=trial.strength,
                    accuracy=trial.accuracy,
                    loss=trial.loss,
                )
                for name, trial in trials.items()
            ),
            neighbours=_accuracy(neighbours(chosen[some], labelled), labelled),
            class_means=_of_class_means(chosen[some], labelled),
            majority=_majority(targets, labelled.kind),
            curve=_curve(chosen[some], labelled, best, options.seed),
            num_computed=reader.num_computed,
            seconds=round(reader.seconds, 1),
            mean_average_precision=_mean_average_precision(best, labelled),
        )
        kind = next(kind for kind in kinds if kind.name == best.features)
        fitted = FittedHead(
            model=_with_head(model, kind, linear, data, thresholds, rejection),
            report=report,
            read=lambda images: reader.read(images)[:, where],
            linear=linear,
            rejection=rejection,
        )
        if options.verbose:
            print(report.text())
        if folder is not None:
            _write(folder, fitted, data)
    return fitted


def _part(kind: FeatureKind, width: int) -> slice:
    """Return where a kind that is alone stands in what the backbone gives."""
    return kind.part if kind.options else slice(0, width)


def _accuracy(found: np.ndarray, labelled: Labelled) -> float:
    return accuracy_of(found, labelled.targets, labelled.kind)


def _curve(
    features: np.ndarray, labelled: Labelled, trial: Any, seed: int
) -> tuple[CurvePoint, ...]:
    seen = len(features) * (labelled.num_folds - 1) / labelled.num_folds
    rows = learning_curve(features, labelled, trial, seed)
    return tuple(
        CurvePoint(
            share=share, num_images=round(share * seen), accuracy=value, margin=margin
        )
        for share, value, margin in rows
    )


def _thresholds(trial: Trial, labelled: Labelled) -> tuple[float, ...] | None:
    """Return for each class the threshold that is best on held-out pictures."""
    if labelled.kind == "softmax":
        return None
    return tuple(best_thresholds(labelled.targets, trial.probabilities).tolist())


def _mean_average_precision(trial: Trial, labelled: Labelled) -> float | None:
    if labelled.kind == "softmax":
        return None
    return mean_average_precision(labelled.targets, trial.probabilities)


def _of_class_means(features: np.ndarray, labelled: Labelled) -> float | None:
    """Return the accuracy of the nearest mean; of several labels it chooses none."""
    if labelled.kind == "sigmoid":
        return None
    return _accuracy(class_means(features, labelled), labelled)


def _majority(targets: np.ndarray, kind: Kind) -> float:
    """Return the accuracy of the answer that is most often right for all pictures."""
    shares = targets.mean(axis=0)
    if kind == "sigmoid":
        return float(np.maximum(shares, 1 - shares).mean())
    return float(shares.max())


def _with_head(
    model: ViT,
    kind: FeatureKind,
    linear: Linear,
    data: ImageData,
    thresholds: tuple[float, ...] | None,
    rejection: Rejection | None,
) -> ViT:
    """Return a copy of the model that ends with a head."""
    if model.config.rejection_dim is not None:
        model = changed(model, rejection_dim=None)
    found = changed(
        model,
        **output_options(data.class_names, rejection),
        thresholds=thresholds,
        # Each class is a yes or no of its own where a picture may have several.
        classifier_activation="sigmoid" if data.is_multi_label else None,
        use_head_bias=True,
        lora=None,
        **kind.options,
    )
    logits: Any = found.get_layer("head").logits
    logits.kernel.assign(linear.kernel.astype("float32"))
    logits.bias.assign(linear.bias.astype("float32"))
    if rejection is not None:
        rejection.write(found.get_layer("head"))
    return found


def _write(folder: Path, fitted: FittedHead, data: ImageData) -> None:
    """Write all files of a run, or none."""
    with replacing(folder) as temporary:
        temporary.mkdir()
        save_keras(fitted.model, temporary / MODEL_FILE)
        write_trained_pictures(temporary, trained_pictures(data))
        about = {
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "data": data.summary(),
            "class_names": list(data.class_names),
            **fitted.report.as_json(),
        }
        text = json.dumps(about, indent=1) + "\n"
        (temporary / HEAD_FILE).write_text(text, encoding="utf-8")
