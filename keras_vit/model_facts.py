"""What goes with the weights of a model: what images need, what the outputs mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

from keras_vit.config import VARIANTS
from keras_vit.pages.in_notebook import InNotebook, plain_facts
from keras_vit.preprocessing import Preprocessing

# Attributes of a `ViT`, which `train` sets on any Keras model, too.
FACTS = ("preprocessing", "class_names", "thresholds")
_SIZES = ("patch_size", "hidden_dim", "num_layers", "num_heads", "mlp_dim")
_MOST_NAMED = 20  # classes in a notebook


class ModelFacts(InNotebook):
    """The facts of a `ViT`: attributes that are checked, and a part of its config."""

    config: Any
    # Those that a model takes as arguments. Others are set on the finished one.
    _ARGUMENTS: ClassVar = ("preprocessing", "class_names")
    _preprocessing: Preprocessing | None = None
    _class_names: tuple[str, ...] | None = None
    _thresholds: tuple[float, ...] | None = None

    @property
    def preprocessing(self) -> Preprocessing | None:
        """What images go through before this model; saved with it."""
        return self._preprocessing

    @preprocessing.setter
    def preprocessing(self, value: Preprocessing | dict[str, Any] | None) -> None:
        if isinstance(value, dict):
            value = Preprocessing(**value)
        if value is not None:
            made = (*value.image_size, value.channels)
            size = self.config.image_size or value.image_size
            needed = (*size, self.config.channels)
            if made != needed:
                raise ValueError(
                    "preprocessing must make images of the size that the model takes, "
                    f"{needed} (height, width, channels), received one that makes "
                    f"{made}. Use dataclasses.replace to change its image_size."
                )
        self._preprocessing = value

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """One name per class, in the order of the logits; saved with the model."""
        return self._class_names

    @class_names.setter
    def class_names(self, names: Sequence[str] | None) -> None:
        if names is not None:
            names = tuple(str(name) for name in names)
            classes = self.config.num_classes
            if len(names) not in (classes, 2 if classes == 1 else classes):
                raise ValueError(
                    "class_names must hold one name per class, received "
                    f"{len(names)} names for num_classes={self.config.num_classes}."
                )
        self._class_names = names

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """One for each output: the probability from which its answer is yes.

        With them each output is a yes or no of its own, a sigmoid, and an image has any
        number of classes. Saved with the model. Default None: one class per image, or
        0.5 where `classifier_activation` is "sigmoid".
        """
        return self._thresholds

    @thresholds.setter
    def thresholds(self, values: Sequence[float] | None) -> None:
        self._thresholds = checked_thresholds(values, self.config.num_classes)

    def __repr__(self) -> str:
        model: Any = self
        if not hasattr(model, "config"):  # A traceback from inside `__init__`.
            return f"<{type(self).__name__}, not built>"
        sizes, count = _sizes(self.config), model.count_params()
        return f"<ViT {model.name!r}: {sizes}, {count:,} parameters>"

    def _notebook(self) -> Iterator[str]:
        model: Any = self
        config, size = self.config, self.config.image_size
        rows = [
            ("name", model.name),
            ("sizes", _sizes(config)),
            ("parameters", f"{model.count_params():,}"),
            ("images", f"{_pixels(size)}, {config.channels} channels"),
            ("preprocessing", _prepared(self.preprocessing)),
            ("dtype", model.dtype_policy.name),
            ("classes", _classes(config.num_classes, self.class_names)),
        ]
        if size is not None:
            work = f"{config.macs / 1e9:.3g} billion multiply-accumulates an image"
            rows.insert(3, ("work", f"{work}, {2 * config.macs / 1e9:.3g} GFLOPs"))
        yield plain_facts(rows)

    def facts(self) -> dict[str, Any]:
        """Return them as JSON values; those that are no arguments if they are set."""
        preprocessing = self.preprocessing
        found: dict[str, Any] = {
            "preprocessing": preprocessing and asdict(preprocessing),
            "class_names": self.class_names,
        }
        if self.thresholds is not None:
            found["thresholds"] = self.thresholds
        return found

    @classmethod
    def with_facts(cls, config: dict[str, Any]) -> Any:
        """Build a model from its config, and set the facts that are no arguments."""
        later = [n for n in FACTS if n in config and n not in cls._ARGUMENTS]
        model = cls(**{n: value for n, value in config.items() if n not in later})
        for name in later:
            setattr(model, name, config[name])
        return model


def _sizes(config: Any) -> str:
    """Return the sizes of a model in words, by the name of a variant if it has one."""
    own = [getattr(config, name) for name in _SIZES]
    names = [
        name
        for name, variant in VARIANTS.items()
        if [getattr(variant.config, size) for size in _SIZES] == own
    ]
    rows, columns = config.patch_size
    listed = (
        f"{config.num_layers} blocks, hidden_dim {config.hidden_dim}, "
        f"{config.num_heads} heads, patches of {rows} x {columns}"
    )
    return f"{names[0]}, {listed}" if names else listed


def _pixels(size: tuple[int, int] | None) -> str:
    return "any size" if size is None else f"{size[0]} x {size[1]} pixels"


def _prepared(how: Preprocessing | None) -> str:
    if how is None:
        return "none is set"
    low, high = how.value_range
    mean, std = (", ".join(f"{one:.3g}" for one in v) for v in (how.mean, how.std))
    return (
        f"{_pixels(how.image_size)} by {how.resize!r} with {how.interpolation}, values "
        f"from {low:g} to {high:g}, mean ({mean}), std ({std})"
    )


def _classes(count: int | None, names: Sequence[str] | None) -> str:
    if count is None:
        return "none, a backbone"
    if names is None:
        return f"{count:,}, without names"
    more = len(names) - _MOST_NAMED
    listed = ", ".join(names[:_MOST_NAMED]) + (
        f" and {more:,} more" if more > 0 else ""
    )
    return f"{len(names):,}: {listed}"


def checked_thresholds(values: Any, num_outputs: int | None) -> Any:
    """Return thresholds as floats; None stays.

    Raises:
        ValueError: if they are not one number from 0 to 1 for each output.
    """
    if values is None:
        return None
    found = tuple(float(value) for value in values)
    if len(found) != num_outputs or not all(0.0 <= value <= 1.0 for value in found):
        raise ValueError(
            f"thresholds must hold a probability, from 0 to 1, for each of "
            f"{num_outputs} outputs, received {list(found)[:5]} ({len(found)}). Set "
            "None for a model that chooses one class per image."
        )
    return found


def copy_facts(model: Any, copy: Any) -> None:
    """Give a copy the facts that a model has and it lacks."""
    for name in FACTS:
        if getattr(model, name, None) is not None and (
            getattr(copy, name, None) is None
        ):
            setattr(copy, name, getattr(model, name))
