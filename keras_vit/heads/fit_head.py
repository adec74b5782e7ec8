"""Fit a classifier on the features of a frozen model. N pictures, D features."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.data.contents import drawn
from keras_vit.data.image_data import ImageData, Part
from keras_vit.data.trained_pictures import trained_pictures, write_trained_pictures
from keras_vit.files import check_replaceable, check_writable, replacing
from keras_vit.heads.cross_validation import (
    Labelled,
    Trial,
    class_means,
    class_weights,
    cross_validate,
    fit,
    learning_curve,
    neighbours,
)
from keras_vit.heads.cross_validation import accuracy as accuracy_of
from keras_vit.heads.feature_cache import cache_folder
from keras_vit.heads.feature_kinds import AUTO, FeatureKind, backbone, feature_kinds
from keras_vit.heads.feature_pass import FeatureReader, needed_preprocessing
from keras_vit.heads.head_folds import head_folds
from keras_vit.heads.in_threads import check_packages
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
from keras_vit.training.run_folder import (
    BEST_FOLDER,
    CHECKPOINT_FOLDER,
    DERIVED_FILES,
    HEAD_FILE,
    LOG_FOLDER,
    MODEL_FILE,
    OWN_FILES,
)
from keras_vit.training.run_lock import LOCK_FILE, holds_something, locked

# More than these say no more about the best penalty, and take long.
_MOST_COMPARED = 10_000


def fit_head(
    model: ViT,
    data: ImageData,
    *,
    features: str = AUTO,
    class_weight: str | Mapping[str, float] | None = None,
    none_of_these: float | None = None,
    folds: int = 5,
    seed: int = 0,
    batch_size: int = 32,
    dtype: str = AUTO,
    cache: str | Path | None = AUTO,
    output: str | Path | None = None,
    overwrite: bool = False,
    verbose: bool = True,
) -> ViT:
    """Fit a classifier on what a trained model sees, which stays as it is.

    The model runs once over each training picture. Then a multinomial logistic
    regression is fitted on its features in seconds; the strength of its penalty, and
    what of the model it sees, is chosen by cross-validation on the training pictures.
    The features are kept on disk: another head on the same pictures costs nothing.
    Its logits are divided by the temperature that lets its probabilities say how often
    they are right on held-out pictures, see `calibrate`. Of data with several labels
    per picture each class is a yes or no of its own, the head ends with a sigmoid, and
    each class gets the threshold with the highest F1 on held-out pictures,
    `model.thresholds`.

    Args:
        model: a trained ViT with a pooling and preprocessing; a classifier that it has
            is replaced. It stays as it is.
        data: from `load_data`. The head is fitted on its training part alone.
        features: "auto" (default), or one kind: "pooled", what the model pools;
            "token", the class token; "token_mean", with the mean of the patches;
            "last_four", the class tokens of the last four blocks with that mean. "auto"
            takes "pooled" for a model with a classifier, and compares the other three
            for one without.
        class_weight: "balanced" to let each class count the same, or a weight for each
            class name; for one label per picture. Default None: each picture counts
            the same.
        none_of_these: share of pictures of the classes that may be rejected, such as
            0.05; the model then has one output more, "none of these", for pictures
            whose features are far from those of all classes, and the share is kept on
            held-out pictures. Default None: the model always names a class.
        folds: parts of the cross-validation, at least 2; no more than the pictures of
            the smallest class. Default 5.
        seed: of the parts. The same pictures and seed give the same head.
        batch_size: pictures per call of the model. Default 32.
        dtype: that features are computed in, a dtype policy. Default "auto": bfloat16
            where the processor has it and features stay what they are (cosine of at
            least 0.998 with float32 in the first batch), else as the model.
        cache: folder for the features. Default "auto": `features` in the folder of the
            environment variable KERAS_VIT_CACHE, else in ~/.cache/keras_vit. None keeps
            nothing, as with data whose pictures nobody has looked at, such as streams.
        output: folder for `model.keras`, `head.json` and `pictures.npz`, which says
            which pictures the head was fitted on. Default None: nothing is written.
        overwrite: whether a former run in `output` is replaced. Default False.
        verbose: whether progress and the comparison are printed. Default True.

    Returns:
        A copy of the model with the head, as `MLPHead`, and the class names of the
        data. It saves, exports, trains and explains as any other. With `none_of_these`
        the head is a `RejectingHead`, of distances that training would make wrong.

    Raises:
        FileExistsError: if `output` exists and is not to be replaced.
        ImportError: if SciPy is not installed.
        TypeError: if `model` is no ViT, or `data` is not from `load_data`.
        ValueError: if the model has no pooling or preprocessing, or an option is out of
            range.

    Example:
        >>> model = keras_vit.ViT.from_variant(
        ...     "test", preprocessing=keras_vit.Preprocessing(image_size=32)
        ... )
        >>> data = keras_vit.load_data("digits")
        >>> classifier = keras_vit.fit_head(model, data, cache=None, verbose=False)
        >>> classifier.output_shape
        (None, 10)

    Reference: arXiv:2304.07193, section 7 (linear evaluation); arXiv:2103.00020,
    section 3.2 (logistic regression by L-BFGS).
    """
    found = search_head(
        model,
        data,
        features=features,
        class_weight=class_weight,
        none_of_these=none_of_these,
        folds=folds,
        seed=seed,
        batch_size=batch_size,
        dtype=dtype,
        cache=cache,
        output=output,
        overwrite=overwrite,
        verbose=verbose,
    )
    return found.model


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
    model: Any,
    data: Any,
    *,
    features: str = AUTO,
    class_weight: Any = None,
    none_of_these: Any = None,
    folds: int = 5,
    seed: int = 0,
    batch_size: int = 32,
    dtype: str = AUTO,
    cache: Any = AUTO,
    output: Any = None,
    overwrite: bool = False,
    verbose: bool = True,
) -> FittedHead:
    """Fit a head as `fit_head` does, and return with it how it was chosen.

    Args:
        model: as in `fit_head`, and so are all others.
        data: see there.
        features: see there.
        class_weight: see there.
        none_of_these: see there.
        folds: see there.
        seed: see there.
        batch_size: see there.
        dtype: see there.
        cache: see there.
        output: see there.
        overwrite: see there.
        verbose: see there.
    """
    kinds = _check(model, data, features, folds, batch_size)
    weights = _class_weights(class_weight, data)
    check_rejection(none_of_these, data)
    folder = None if output is None else Path(output).expanduser()
    if folder is not None:
        _check_output(folder, overwrite, model)
    with locked(folder):
        reader = FeatureReader(
            lambda dtype: backbone(model, kinds, dtype),
            model.preprocessing,
            dtype=dtype,
            batch_size=batch_size,
            folder=cache_folder() if cache == AUTO else cache and Path(cache),
            verbose=verbose,
        )
        whole = reader.read(data.train)
        part = {kind.name: kind.part for kind in kinds}
        if len(kinds) == 1:  # The backbone gives what is asked for, or more.
            part = {kinds[0].name: _part(kinds[0], whole.shape[1])}
        labelled, some = labelled_parts(data, weights, folds, seed)
        trials = {
            name: cross_validate(whole[some][:, where], labelled, name)
            for name, where in part.items()
        }
        best = min(trials.values(), key=lambda trial: trial.loss)
        best, temperature = calibrated(best, labelled)
        thresholds = _thresholds(best, labelled)
        where = part[best.features]
        chosen = whole[:, where]
        targets = _targets(data.train.labels, data.num_classes)
        each = picture_weights(data, weights)
        linear = fit(chosen, targets, each, best, labelled.kind)
        linear = linear.divided(temperature.value)
        rejection = None
        if none_of_these is not None:
            rejection = fit_rejection(
                chosen[some],
                data.train.labels[some],
                none_of_these,
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
            curve=_curve(chosen[some], labelled, best, seed),
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
        if verbose:
            print(report.text())
        if folder is not None:
            _write(folder, fitted, data)
    return fitted


def _check(
    model: Any, data: Any, features: str, folds: int, batch_size: int
) -> list[FeatureKind]:
    """Refuse what cannot work, before any work; return the kinds of features."""
    if not isinstance(model, ViT):
        raise TypeError(
            "A head is fitted on a keras_vit.ViT, received "
            f"{type(model).__name__}. Load one: keras_vit.load(NAME)."
        )
    if not isinstance(data, ImageData):
        raise TypeError(
            "fit_head takes what keras_vit.load_data returns, received data of type "
            f"{type(data).__name__}. Call load_data with a folder, arrays or a list."
        )
    if data.num_classes < 2 and not data.is_multi_label:
        raise ValueError(
            "A head needs pictures of at least two classes, received "
            f"{list(data.class_names)} in {data.name!r}. Put the pictures of each "
            "class in a sub-folder of its own."
        )
    counts = _targets(data.train.labels, data.num_classes).sum(axis=0)
    if not counts.all():
        empty = [data.class_names[i] for i in np.flatnonzero(counts == 0)]
        raise ValueError(
            "A head needs a training picture of each class, received none of "
            f"{empty[:5]} in {data.name!r}. Add some, or leave these classes out."
        )
    for name, value, least in (("folds", folds, 2), ("batch_size", batch_size, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(
                f"{name} must be a whole number of at least {least}, received "
                f"{name}={value!r}."
            )
    kinds = feature_kinds(model, features)
    preprocessing = needed_preprocessing(model)
    check_packages()
    preprocessing.to_values(data.train.samples(1)[0])
    return kinds


def _class_weights(wanted: Any, data: ImageData) -> Any:
    if wanted is not None and data.is_multi_label:
        # A picture without labels would count nothing.
        raise ValueError(
            "class_weight is for one label per picture, received class_weight="
            f"{wanted!r} for {data.name!r}, where each class has a threshold of its "
            "own. Leave it out."
        )
    if wanted is None or wanted == "balanced":
        return wanted
    names = data.class_names
    if not isinstance(wanted, Mapping) or set(wanted) != set(names):
        raise ValueError(
            "class_weight must be None, 'balanced' or a weight for each of the classes "
            f"{list(names)[:10]}, received class_weight={wanted!r}."
        )
    weights = [float(wanted[name]) for name in names]
    if not all(np.isfinite(weights)) or min(weights) <= 0:
        raise ValueError(
            f"Each class weight must be above 0, received class_weight={wanted!r}. "
            "Leave pictures out that must not count."
        )
    return weights


def _check_output(folder: Path, overwrite: bool, model: ViT) -> None:
    if holds_something(folder):
        if not overwrite:
            raise FileExistsError(
                f"{str(folder)!r} exists. Choose another output, or replace it with "
                "overwrite=True (--overwrite)."
            )
        own = {*OWN_FILES, *DERIVED_FILES, CHECKPOINT_FOLDER, BEST_FOLDER}
        own |= {LOG_FOLDER, LOCK_FILE}
        reports = {path.name for path in folder.glob("model.*.report.*")}
        check_replaceable(folder, own | reports)
    check_writable(folder, required_bytes=2 * 4 * model.count_params())


def labelled_parts(
    data: ImageData, weights: Any, folds: int, seed: int
) -> tuple[Labelled, np.ndarray]:
    """Return what is compared, and which of the training pictures that are.

    Args:
        data: its training part is divided.
        weights: as `class_weights` takes them.
        folds: at most so many parts.
        seed: of the parts.
    """
    targets = _targets(data.train.labels, data.num_classes)
    # Of several classes a picture stands for the rarest, of none for one of its own.
    rarity = np.where(targets > 0, targets.sum(axis=0), np.inf)
    labels = np.where(targets.any(axis=1), rarity.argmin(axis=1), targets.shape[1])
    contents = getattr(data.train, "content", None)
    lots = _lots(contents, len(labels), seed)
    some = np.arange(len(labels))
    if len(labels) > _MOST_COMPARED:
        some = np.sort(_spread_over_classes(labels, lots)[:_MOST_COMPARED])
    groups = getattr(data.train, "groups", None)
    found = Labelled(
        targets=targets[some],
        kind="sigmoid" if data.is_multi_label else "softmax",
        weights=picture_weights(data, weights)[some],
        folds=head_folds(
            labels[some],
            folds,
            seed,
            None if contents is None else contents[some],
            None if groups is None else groups[some],
            (*data.class_names, "none of them"),
        ),
    )
    return found, some


def picture_weights(data: ImageData, wanted: Any) -> np.ndarray:
    """Return how much each training picture counts, mean 1, by its class and its own.

    Args:
        data: whose training part may have weights.
        wanted: as `class_weights` takes them.
    """
    targets = _targets(data.train.labels, data.num_classes)
    own = getattr(data.train, "weights", None)
    weights = class_weights(targets, wanted) * (1.0 if own is None else own)
    return weights / weights.mean()


def _lots(contents: np.ndarray | None, count: int, seed: int) -> np.ndarray:
    if contents is None:
        return np.random.default_rng(seed).permutation(count).astype("uint64")
    return drawn(contents, seed)


def _spread_over_classes(labels: np.ndarray, lots: np.ndarray) -> np.ndarray:
    """Return the numbers of the pictures, each class spread evenly over the order."""
    place = np.zeros(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = np.argsort(lots[members], kind="stable")
        place[members[order]] = (np.arange(len(members)) + 0.5) / len(members)
    return np.argsort(place, kind="stable")


def _targets(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the share of each class, float32 (N, K); several may be 1."""
    if labels.ndim == 2:
        return labels.astype("float32")
    return np.eye(num_classes, dtype="float32")[labels]


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
