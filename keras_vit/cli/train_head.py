"""The recipe that fits a classifier on frozen weights."""

from __future__ import annotations

from argparse import Namespace

import numpy as np

from keras_vit.calibration_error import expected_calibration_error
from keras_vit.cli.arguments import print_found
from keras_vit.data.image_data import ImageData
from keras_vit.data.trained_pictures import Judged, to_judge, trained_pictures
from keras_vit.heads.cross_validation import probabilities
from keras_vit.heads.search_head import FittedHead, HeadOptions, search_head
from keras_vit.inference.evaluation import Evaluation
from keras_vit.label_scores import label_scores
from keras_vit.model import ViT
from keras_vit.training.card import write_head_card

HEAD = "head"
# Arguments of `fit_head` that --set takes.
SETTINGS = ("features", "class_weight", "none_of_these", "folds", "dtype", "cache")


def run_head(options: Namespace, model: ViT, data: ImageData, command: str) -> None:
    """Fit, evaluate on the held-out part and write the card."""
    asked = HeadOptions(
        seed=options.seed or 0,
        batch_size=options.batch_size or 32,
        output=options.output,
        overwrite=options.overwrite,
        verbose=not options.json,
        **dict(options.set or ()),
    )
    fitted = search_head(model, data, asked)
    evaluation = _evaluation(fitted, data)
    write_head_card(
        options.output,
        model=fitted.model,
        data=data,
        weights=options.weights,
        report=fitted.report,
        evaluation=evaluation,
        command=command,
    )
    facts = {
        "output": options.output,
        "parameters": fitted.model.count_params(),
        **evaluation.as_json(),
        "head": fitted.report.as_json(),
    }
    print_found(options, facts, evaluation.text(), f"model in {options.output}")


def _evaluation(fitted: FittedHead, data: ImageData) -> Evaluation:
    """Judge a head by the features of the held-out pictures, which are kept, too."""
    judged = to_judge(data, None, trained_pictures(data))
    labels = judged.images.labels
    logits = fitted.logits(fitted.read(judged.images))
    if data.is_multi_label:
        return _evaluation_of_several(fitted, judged, probabilities(logits, "sigmoid"))
    found = probabilities(logits, "softmax")
    none = None if fitted.rejection is None else found.shape[1] - 1
    correct = found[np.arange(len(labels)), labels]
    rank = (found > correct[:, None]).sum(axis=1)
    return Evaluation(
        part=judged.name,
        num_images=len(labels),
        accuracy=float(np.mean(rank == 0)),
        loss=float(-np.log(np.maximum(correct, 1e-12)).mean()),
        calibration_error=expected_calibration_error(found.max(axis=1), rank == 0),
        rejected=None if none is None else float(np.mean(found.argmax(axis=1) == none)),
        top5_accuracy=float(np.mean(rank < 5)) if data.num_classes > 5 else None,
        num_trained_on=judged.num_trained_on,
        num_new=judged.num_new,
    )


def _evaluation_of_several(
    fitted: FittedHead, judged: Judged, found: np.ndarray
) -> Evaluation:
    """Judge probabilities, (N, classes), of images that may have several labels."""
    names, labels = fitted.model.class_names or (), judged.images.labels
    limits = fitted.model.thresholds
    scores, accuracy, loss = label_scores(names, labels, found, limits)
    missing = [row.class_name for row in scores.classes if not row.num_images]
    return Evaluation(
        part=judged.name,
        num_images=len(labels),
        accuracy=accuracy,
        loss=loss,
        calibration_error=expected_calibration_error(found.ravel(), labels.ravel()),
        num_trained_on=judged.num_trained_on,
        num_new=judged.num_new,
        classes_without_images=tuple(missing),
        labels=scores,
    )
