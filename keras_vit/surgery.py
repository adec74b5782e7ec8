"""Copies of a trained model with something changed; the model stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from keras_vit.checkpoints.resample import Resampling
from keras_vit.config import ViTConfig
from keras_vit.config.options import check_names
from keras_vit.freezing import copy_trainable, freeze_all_but_head, train_all
from keras_vit.freezing import freeze_until as freeze_first_layers
from keras_vit.keras_internals import (
    all_layers,
    initialize,
    rematerialization_of,
    unallocated,
)
from keras_vit.lora import LoRA, add_factors, copy_factors, has_lora, weights_and_values
from keras_vit.model import ViT
from keras_vit.model_copy import rebuilt, write_weights
from keras_vit.model_facts import FACTS, copy_facts
from keras_vit.weight_fitting import (
    CLASSIFIERS,
    check_distances,
    fitted,
    fitted_preprocessing,
    is_fitted,
    new_parts,
    trained_config,
)

Same = Literal["same"]
Rematerialization = Literal["full", "activations"]

_OPTIONS = (*FACTS, "name", "trainable")
_REMATERIALIZATION = ("full", "activations", None, "same")


def changed(
    model: keras.Model,
    *,
    dtype: str | keras.DTypePolicy | None = None,
    rematerialization: Rematerialization | Same | None = "same",
    quantization: str | None = None,
    lora: LoRA | Same | None = "same",
    train_only: Literal["all", "head"] | None = None,
    freeze_until: str | None = None,
    **options: Any,
) -> Any:
    """Return a copy of a model with something changed; the model stays as it is.

    The copy has weights of its own, with the values of the model's, and is not
    compiled. What is not named stays: which layers train, too, apart from the layers
    of new weights, and from models whose LoRA factors go, which train as a whole.

    Args:
        model: a `ViT`, or another functional Keras model, which takes no `options`.
        dtype: dtype policy of all layers, such as "mixed_bfloat16". Default None: as it
            is.
        rematerialization: "full" to compute each block again in the backward pass,
            "activations" for the activations alone, None for nothing. Default "same".
        quantization: of `keras.Model.quantize`, such as "int8"; comes before `lora`.
            Default None: as it is.
        lora: low-rank factors that train instead of the model; None for none. Factors
            that the model has are added to its kernels then. Default "same".
        train_only: "all" lets all layers train, "head" the last one alone, a linear
            probe. Default None: as it is.
        freeze_until: name of the last layer that does not train, for example "block_8"
            or "patch_encoder", beside what stood frozen. Default None: as it is.
        **options: each field of `ViTConfig`, such as `dropout_rate=0.1` or
            `num_classes=10`; `preprocessing`, `class_names`, `thresholds`, `name` and
            `trainable`.
            Positions, patch kernel and channels are fitted to other sizes (see
            `resize`); a classifier, pooling, token or norm that is not that of the
            model begins anew.

    Raises:
        TypeError: if an option does not exist, or the model is no ViT and gets one.
        ValueError: if an option is out of range, names no layer, or needs weights that
            the model does not have.

    Example:
        >>> model = keras_vit.ViT.from_variant("test", num_classes=10)
        >>> copy = keras_vit.changed(model, dropout_rate=0.1, freeze_until="block_0")
        >>> [layer.name for layer in copy.layers if layer.trainable_weights]
        ['block_1', 'norm', 'head']
    """
    if dtype is not None:
        _check_dtype(model, dtype)
    with _rematerialization_scope(model, rematerialization):
        if isinstance(model, ViT):
            if dtype is not None:
                options["dtype"] = dtype
            copy: Any = _changed_vit(model, options, keeps_lora=lora == "same")
        else:
            copy = _copied(model, options, keeps_lora=lora == "same")
            if dtype is not None:
                _set_dtype(copy, dtype)
    if quantization is not None:
        copy.quantize(quantization)
    if isinstance(lora, LoRA):
        add_factors(copy, lora)
    if train_only == "all":
        train_all(copy)
    elif train_only == "head":
        freeze_all_but_head(copy)
    elif train_only is not None:
        raise ValueError(
            f"train_only must be 'all', 'head' or None, received {train_only=!r}. Use "
            "freeze_until for other layers, or lora."
        )
    if freeze_until is not None:
        freeze_first_layers(copy, freeze_until)
    return copy


def resize(
    model: ViT,
    *,
    image_size: int | tuple[int, int] | Same | None = "same",
    patch_size: int | tuple[int, int] | Same = "same",
    interpolation: str | None = None,
    antialias: bool | None = None,
) -> ViT:
    """Return a copy of a model for images or patches of another size.

    Learned positions are resampled to the new grid of patches, and the patch kernel by
    FlexiViT's pseudo-inverse; all else is copied. Preprocessing and class names come
    along. `changed` does the same, with the kernel of the model, which is that of the
    checkpoint it was loaded from: `model.config.resampling`.

    Args:
        model: stays as it is.
        image_size: pixels, one number or (height, width); None for images of any size,
            whose positions are resampled inside the model, by the same kernel.
            Default "same".
        patch_size: pixels, one number or (height, width). Default "same".
        interpolation: "bicubic" or "bilinear", which becomes that of the copy. Default
            None: that of the model.
        antialias: whether the kernel grows when a grid shrinks; becomes that of the
            copy. Default None: as in the model.

    Raises:
        TypeError: if `model` is no ViT, or a size is no whole number.
        ValueError: if a size or `interpolation` is out of range, or the weights to
            resample are int8 or have LoRA factors.

    Example:
        >>> model = keras_vit.ViT.from_variant("test", image_size=32)
        >>> keras_vit.resize(model, image_size=(48, 64)).input_shape
        (None, 48, 64, 3)

    Reference: arXiv:2010.11929, section 3.2 (positions); arXiv:2212.08013, equation 3
    (patches).
    """
    _check_vit(model)
    sizes = {"image_size": image_size, "patch_size": patch_size}
    changes = {name: size for name, size in sizes.items() if size != "same"}
    given = {"interpolation": interpolation, "antialias": antialias}
    given = {name: value for name, value in given.items() if value is not None}
    if given:
        own = Resampling.named(model.config.resampling)
        plain = {"align_corners": False, "is_cut_from_square": False}
        changes["resampling"] = replace(own, **plain, **given).name
    with _rematerialization_scope(model, "same"):
        return _changed_vit(model, changes)


def replace_head(
    model: ViT, num_classes: int | None, *, class_names: Sequence[str] | None = None
) -> ViT:
    """Return a copy of a model with a new classifier, which starts at zero.

    Args:
        model: stays as it is.
        num_classes: width of the new classifier, which is new also if the model has one
            of this width; None for none, a backbone.
        class_names: one name per class. Default None.

    Raises:
        TypeError: if `model` is no ViT, or `num_classes` is no whole number.
        ValueError: if a number is out of range.

    Example:
        >>> model = keras_vit.ViT.from_variant("test", num_classes=1000)
        >>> keras_vit.replace_head(model, 10).output_shape
        (None, 10)
    """
    _check_vit(model)
    changes = {"num_classes": num_classes, "class_names": class_names}
    changes["rejection_dim"] = None
    with _rematerialization_scope(model, "same"):
        return _changed_vit(model, changes, new_classifier=True)


def _check_vit(model: Any) -> None:
    if not isinstance(model, ViT):
        raise TypeError(
            f"model must be a keras_vit.ViT, received {type(model).__name__}. Pass the "
            "ViT inside: outer_model.get_layer(name_of_the_vit)."
        )


def _check_dtype(model: keras.Model, dtype: Any) -> None:
    """Refuse a dtype of weights that are int8, or that cannot be cast to it."""
    policy: Any = keras.dtype_policies.get(dtype)
    for layer in _layers_with_dtype(model):
        own = layer.dtype_policy
        casts = not isinstance(model, ViT)
        if (
            own.quantization_mode
            or policy.quantization_mode
            or (casts and own.variable_dtype != policy.variable_dtype)
        ):
            raise ValueError(
                "dtype changes weights of floating point, and in a model that is no "
                f"ViT the computation alone; received dtype={policy.name!r} for layer "
                f"{layer.name!r} with {own.name!r}. Build or load the model with "
                f"dtype={policy.name!r}, or pass quantization."
            )


def _layers_with_dtype(model: keras.Model) -> list[Any]:
    layers = all_layers(model)[1:]
    return [x for x in layers if not isinstance(x, keras.layers.InputLayer)]


def _set_dtype(copy: Any, dtype: Any) -> None:
    """Give all layers of a new copy a dtype policy."""
    for layer in [*_layers_with_dtype(copy), copy]:
        layer.dtype_policy = dtype


def _rematerialization_scope(model: keras.Model, mode: str | None) -> keras.RematScope:
    """Return the scope in which the copy of a model is made.

    Raises:
        ValueError: if `mode` is unknown.
    """
    if mode not in _REMATERIALIZATION:
        raise ValueError(
            f"rematerialization must be one of {list(_REMATERIALIZATION)}, received "
            f"rematerialization={mode!r}. Build the model inside keras.RematScope(...) "
            "for the other modes."
        )
    if mode == "same":
        return rematerialization_of(model)
    if mode == "full":
        names = {layer.name for layer in all_layers(model)}
        blocks = sorted(name for name in names if name.startswith("block_"))
        return keras.RematScope("list_of_layers", layer_names=blocks)
    return keras.RematScope(mode)  # pyright: ignore[reportArgumentType]


def _copied(model: Any, options: dict[str, Any], *, keeps_lora: bool) -> Any:
    """Copy a functional model that is no ViT."""
    if options:
        raise TypeError(
            f"{sorted(options)} change a keras_vit.ViT, received "
            f"{type(model).__name__}. Set the rates of your own layers yourself."
        )
    copy: Any = rebuilt(model)
    copy_facts(model, copy)
    if keeps_lora:
        copy_factors(model, copy)
    write_weights(model, copy)
    if keeps_lora or not has_lora(model):
        copy_trainable(model, copy)
    return copy


def _changed_vit(
    model: ViT,
    options: dict[str, Any],
    *,
    keeps_lora: bool = True,
    new_classifier: bool = False,
) -> ViT:
    """Build a ViT of another config with the weights of a model.

    Args:
        model: gives what `options` do not name.
        options: fields of the config, and further arguments of `ViT`.
        keeps_lora: whether the copy has the LoRA factors of the model, or their sum.
        new_classifier: whether the classifier begins anew.
    """
    check_names(ViTConfig, options, "dtype", *_OPTIONS)
    further = {n: options[n] for n in ("dtype", *_OPTIONS) if n in options}
    changes = {n: value for n, value in options.items() if n not in further}
    old, new = model.config, trained_config(model.config, changes)
    check_distances(old, new)
    parts = new_parts(old, new) + (CLASSIFIERS if new_classifier else ())
    has_old_classes = not any(part.startswith("head/logits") for part in parts)
    settings = {
        **model.get_config(),
        **asdict(new),
        "preprocessing": fitted_preprocessing(model.preprocessing, new),
        "class_names": _class_names(model, new) if has_old_classes else None,
        "thresholds": model.thresholds if has_old_classes else None,
        "trainable": True,
        **further,
    }
    with unallocated():
        copy = ViT.from_config(settings)
    values: dict[str, Any] = {}
    resampling = Resampling.named(new.resampling)
    for weight, value in weights_and_values(model, merges=not keeps_lora):
        path = weight.path
        if is_fitted(path, old, new) and not path.startswith(parts):
            value = fitted(path, _floats(path, value), old, new, resampling)
        if not path.startswith(parts):
            values[path] = value
    _check_weights(copy, values, parts)
    initialize(copy, values)
    if keeps_lora:
        copy_factors(model, copy)
    if "trainable" not in further and (keeps_lora or not has_lora(model)):
        copy_trainable(model, copy, parts)
    return copy


def _class_names(model: ViT, new: ViTConfig) -> tuple[str, ...] | None:
    """Return those of a copy, without that of an output that it does not have."""
    names = model.class_names
    is_fewer = new.rejection_dim is None and model.config.rejection_dim is not None
    return names[:-1] if names and is_fewer else names


def _check_weights(copy: ViT, values: dict[str, Any], parts: tuple[str, ...]) -> None:
    """Refuse values that are not those of all weights which are not new."""
    weights = {w.path: w for w in copy.weights if not w.path.startswith(parts)}
    wrong = set(weights) ^ set(values)
    for path in set(weights) & set(values):
        if tuple(weights[path].shape) != tuple(values[path].shape):
            wrong.add(path)
    if wrong:
        raise ValueError(
            "A copy takes over the weights of its model, which need another value or "
            f"shape here, received {sorted(wrong)[:4]}. Change only what these do not "
            "depend on, or build a new model with keras_vit.ViT(...)."
        )


def _floats(path: str, value: Any) -> np.ndarray:
    dtype = keras.backend.standardize_dtype(value.dtype)
    if "float" not in dtype:
        raise ValueError(
            f"Resampling needs weights of floating point, received {path!r} of type "
            f"{dtype}. Resize the model first and quantize it then."
        )
    return ops.convert_to_numpy(ops.cast(value, "float32"))
