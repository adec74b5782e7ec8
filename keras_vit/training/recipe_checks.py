"""What the fields of a recipe may be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from numbers import Real
from typing import Any, get_args

from keras_vit.data.augmenting.augmentation import Augmentation
from keras_vit.data.augmenting.mixing import Mixing
from keras_vit.training.loss import LossName
from keras_vit.training.schedule import Curve
from keras_vit.training.step import check_accumulation

# Whole numbers of at least this.
_COUNTS = {"epochs": 1, "batch_size": 1, "lora_rank": 1, "repeated_augmentation": 1}
# (lowest, whether that is allowed, highest, whether that is allowed, whether None is)
_INFINITY = float("inf")
_RANGES = {
    "learning_rate": (0, False, _INFINITY, False, False),
    "final_learning_rate": (0, True, _INFINITY, False, False),
    "warmup_epochs": (0, True, _INFINITY, False, False),
    "cooldown_epochs": (0, True, _INFINITY, False, False),
    "weight_decay": (0, True, _INFINITY, False, False),
    "gradient_clip_norm": (0, False, _INFINITY, False, True),
    "beta_2": (0, True, 1, False, False),
    "momentum": (0, True, 1, False, False),
    "layer_decay": (0, False, 1, True, True),
    "ema_decay": (0, True, 1, False, True),
    "label_smoothing": (0, True, 1, False, False),
    "stochastic_depth_rate": (0, True, 1, False, True),
    "dropout_rate": (0, True, 1, False, True),
    "attention_dropout_rate": (0, True, 1, False, True),
    "patch_dropout_rate": (0, True, 1, False, True),
    "distillation_alpha": (0, True, 1, True, False),
    "distillation_temperature": (0, False, _INFINITY, False, False),
}
# (type, whether None is allowed)
_PARTS = {"augmentation": (Augmentation, False), "mixing": (Mixing, True)}
_CHOICES = {
    "schedule_name": get_args(Curve),
    "optimizer_name": ("adamw", "sgd", "adafactor", "lamb"),
    "loss_name": get_args(LossName),
    "stochastic_depth_curve": ("linear", "constant", None),
    "train_only": ("all", "head", "lora"),
    "distillation": ("hard", "soft", None),
    "rematerialization": ("full", "activations", None),
    "class_balance": ("weights", "sampling", None),
}


def check_recipe(recipe: Any) -> None:
    """Raise an error if a field is out of its range or contradicts another.

    Raises:
        TypeError: if augmentation or mixing is something else.
        ValueError: with what is required and what was received.
    """
    for name, (kind, with_none) in _PARTS.items():
        value = getattr(recipe, name)
        if not isinstance(value, kind) and not (with_none and value is None):
            raise TypeError(
                f"{name} must be a keras_vit.{kind.__name__}"
                f"{' or None' if with_none else ''}, received {name}={value!r}. "
                f"Build one, or take that of a recipe: RECIPES['deit'].{name}."
            )
    for name, low in _COUNTS.items():
        _check_count(name, getattr(recipe, name), low)
    _check_count("seed", recipe.seed, 0)
    if recipe.patience is not None:
        _check_count("patience", recipe.patience, 1)
    for name, limits in _RANGES.items():
        _check_range(name, getattr(recipe, name), limits)
    for name, valid in _CHOICES.items():
        if getattr(recipe, name) not in valid:
            raise ValueError(
                f"{name} must be one of {list(valid)}, received "
                f"{name}={getattr(recipe, name)!r}. Check the spelling."
            )
    if recipe.warmup_epochs >= recipe.epochs:
        raise ValueError(
            "warmup_epochs must be at least 0 and below epochs, received "
            f"warmup_epochs={recipe.warmup_epochs!r}, epochs={recipe.epochs}. "
            "Train longer or warm up for less."
        )
    if recipe.warmup_epochs + recipe.cooldown_epochs > recipe.epochs:
        raise ValueError(
            "warmup_epochs and cooldown_epochs must fit into epochs, received "
            f"warmup_epochs={recipe.warmup_epochs!r}, cooldown_epochs="
            f"{recipe.cooldown_epochs!r}, epochs={recipe.epochs}. Train longer."
        )
    if recipe.final_learning_rate > recipe.learning_rate:
        raise ValueError(
            "final_learning_rate must be at most learning_rate, received "
            f"final_learning_rate={recipe.final_learning_rate!r}, learning_rate="
            f"{recipe.learning_rate!r}. Lower it."
        )
    check_accumulation(recipe.accumulation_steps, recipe.batch_size)
    if recipe.freeze_until is not None and recipe.train_only != "all":
        raise ValueError(
            "freeze_until goes with train_only='all', received freeze_until="
            f"{recipe.freeze_until!r}, train_only={recipe.train_only!r}. Use one."
        )
    firsts = [first for first, _ in recipe.image_sizes]
    if firsts and firsts[-1] >= recipe.epochs:
        raise ValueError(
            "Each phase of image_sizes must begin before the last epoch, received "
            f"image_sizes={recipe.image_sizes}, epochs={recipe.epochs}. Train longer, "
            "or begin it earlier."
        )


def check_options(what: str, kind: type, names: Iterable[str]) -> None:
    """Raise a TypeError that lists the fields of a dataclass unless all names are."""
    valid = [field.name for field in fields(kind)]
    unknown = sorted(set(names) - set(valid))
    if unknown:
        raise TypeError(
            f"Unknown {what} option(s) {unknown}. The options are {valid}. Check the "
            "spelling."
        )


def image_phases(image_sizes: Any) -> tuple[tuple[int, int], ...]:
    """Return the (first epoch, pixels) of each phase, also from lists.

    Raises:
        ValueError: if they are something else.
    """
    try:
        phases = tuple((int(first), int(size)) for first, size in image_sizes)
    except (TypeError, ValueError):
        phases = ((-1, 0),)
    firsts = [first for first, _ in phases]
    is_growing = firsts == sorted(set(firsts)) and firsts[:1] in ([], [0])
    if not is_growing or any(size < 1 for _, size in phases):
        raise ValueError(
            "image_sizes must hold (first epoch, pixels), growing from epoch 0, "
            f"received image_sizes={image_sizes!r}. For example "
            "((0, 160), (60, 224))."
        )
    return phases


def check_trainable_outputs(model: Any) -> None:
    """Refuse a model that knows distances between features that training changes.

    Raises:
        ValueError: if it has an output for pictures of none of its classes.
    """
    if getattr(getattr(model, "config", None), "rejection_dim", None) is not None:
        raise ValueError(
            'Training changes the features between which "none of these" knows '
            "distances. Take this output away, keras_vit.changed(model, rejection_dim="
            "None), train, and fit it again: keras_vit.calibrate(model, data, "
            "none_of_these=0.05)."
        )


def _check_count(name: str, value: Any, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(
            f"{name} must be a whole number of at least {low}, received "
            f"{name}={value!r}."
        )


def _check_range(
    name: str, value: Any, limits: tuple[float, bool, float, bool, bool]
) -> None:
    low, with_low, high, with_high, with_none = limits
    if value is None and with_none:
        return
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
        at_end = (with_low and number == low) or (with_high and number == high)
        if low < number < high or at_end:
            return
    below = ""
    if high != _INFINITY:
        below = f" and {'at most' if with_high else 'below'} {high}"
    raise ValueError(
        f"{name} must be {'at least' if with_low else 'above'} {low}{below}"
        f"{' or None' if with_none else ''}, received {name}={value!r}."
    )
