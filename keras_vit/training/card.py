"""The model card: what a trained model is, how it was made and what it can do."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import keras

from keras_vit.data.image_data import ImageData
from keras_vit.files import replacing
from keras_vit.intervals import wilson_interval
from keras_vit.training.progress import macs_per_image
from keras_vit.training.recipe import Recipe
from keras_vit.training.train import TrainingResult

FILE_NAME = "README.md"
# By whether an image has one label.
# Of a model with an output for pictures of none of its classes.
_LIMIT_OF_REJECTING = """. Of a
picture that is far from those of all classes the model says "none of these"; it was
shown none such."""
_LIMITS = {
    True: ", and the model\nalways names one of its classes, also for a picture of "
    "none of them.",
    False: ".",
}


def write_card(
    folder: str | Path,
    *,
    model: keras.Model,
    data: ImageData,
    recipe: Recipe,
    result: TrainingResult,
    evaluation: Any,
    command: str,
) -> None:
    """Write `README.md`: data, recipe, command, seed, accuracy and limits.

    Args:
        folder: the output folder of `train`.
        model: the trained model.
        data: what it was trained on.
        recipe: how.
        result: what `train` returned.
        evaluation: the `keras_vit.Evaluation` of the held-out part.
        command: the command line that makes this folder again.
    """
    _write(
        folder,
        model=model,
        data=data,
        evaluation=evaluation,
        rows={
            "best epoch": f"{result.best_epoch} of {len(result.history)}",
            "seed": str(recipe.seed),
        },
        how=f"Recipe: `{_expression(recipe)}`.\nSource of the recipe: "
        f"{recipe.source or 'none given'}.",
        command=command,
    )


def write_head_card(
    folder: str | Path,
    *,
    model: keras.Model,
    data: ImageData,
    weights: str,
    report: Any,
    evaluation: Any,
    command: str,
) -> None:
    """Write `README.md` of a model whose head was fitted on frozen features.

    Args:
        folder: the output folder of `fit_head`.
        model: the classifier.
        data: what its head was fitted on.
        weights: name of the checkpoint below the head.
        report: the `keras_vit.HeadReport`.
        evaluation: the `keras_vit.Evaluation` of the held-out part.
        command: the command line that makes this folder again.
    """
    best = report.best
    _write(
        folder,
        model=model,
        data=data,
        evaluation=evaluation,
        rows={
            "weights": f"{weights}, frozen",
            "head": f"logistic regression on {best.features}, {best.width} features in "
            f"{report.dtype}, penalty {best.strength:g}",
        },
        how=f"```\n{report.text()}\n```",
        command=command,
    )


def _write(
    folder: str | Path,
    *,
    model: keras.Model,
    data: ImageData,
    evaluation: Any,
    rows: dict[str, str],
    how: str,
    command: str,
) -> None:
    count = macs_per_image(model)
    macs = f",\n{count:,} multiply-accumulates per image" if count else ""
    low, high = wilson_interval(evaluation.accuracy, evaluation.num_images)
    parts = ", ".join(f"{len(part)} {name}" for name, part in data.parts.items())
    rows, limit = {**_several(evaluation), **rows}, _LIMITS[evaluation.labels is None]
    if evaluation.rejected is not None:
        limit = _LIMIT_OF_REJECTING
    more = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    text = f"""# {Path(folder).name}

A Vision Transformer for {data.num_classes} classes: \
{model.count_params():,} parameters{macs}.

| | |
|---|---|
| data | {data.name}: {parts} images, stratified |
| classes | {_names(data.class_names)} |
| input | {_size(model.preprocessing)} |
| accuracy | **{evaluation.accuracy:.4f}** on {evaluation.num_images} \
{evaluation.part} images (95 % interval {low:.4f} to {high:.4f}) |
{more}
| made with | Keras {keras.__version__}, {keras.backend.backend()} |

Made by:

```
{command}
```

{how}

## Limits

The accuracy is that of one training run, on images that come from the same source as
the training images. It says nothing about pictures of another kind{limit}
"""
    with replacing(Path(folder) / FILE_NAME) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _several(evaluation: Any) -> dict[str, str]:
    """Return what there is to say where an image may have several labels."""
    labels = evaluation.labels
    if labels is None:
        return {}
    first = labels.classes[:20]
    limits = [f"{row.class_name} from {row.threshold:.4f} on" for row in first]
    return {
        "several labels": "accuracy is the share of images whose labels are all right; "
        f"{labels.text()}",
        "yes": ", ".join(limits) + (", …" if labels.classes[20:] else ""),
    }


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names[:20]) + (f", … ({len(names)})" if len(names) > 20 else "")


def _size(preprocessing: Any) -> str:
    height, width = preprocessing.image_size
    kind = {1: "grey", 3: "RGB", 4: "RGBA"}.get(preprocessing.channels, "")
    return (
        f"{kind} pictures of any size, resized to {height} x {width} pixels "
        f"({preprocessing.resize}, {preprocessing.interpolation}); mean "
        f"{preprocessing.mean}, std {preprocessing.std}"
    )


def _expression(value: Any) -> str:
    """Return the expression that makes a recipe or a part of one, without defaults."""
    if not is_dataclass(value) or isinstance(value, type):
        return repr(value)
    default = type(value)()
    names = [field.name for field in fields(value) if field.name != "source"]
    given = {name: getattr(value, name) for name in names}
    options = ", ".join(
        f"{name}={_expression(option)}"
        for name, option in given.items()
        if option != getattr(default, name)
    )
    return f"{type(value).__name__}({options})"
