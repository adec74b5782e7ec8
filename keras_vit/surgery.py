"""Give a trained model another image size, patch size or head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from keras_vit.checkpoints.resample import resample_patch_kernel, resample_positions
from keras_vit.config import ViTConfig
from keras_vit.model import ViT
from keras_vit.preprocessing import Preprocessing

_TABLE = "patch_encoder/position_embedding/table"
_KERNEL = "patch_encoder/projection/kernel"
_CLASSIFIERS = ("head/logits/", "head/distillation_logits/")

Convert = Callable[[np.ndarray], np.ndarray]


def resize(
    model: ViT,
    *,
    image_size: int | tuple[int, int] | Literal["same"] | None = "same",
    patch_size: int | tuple[int, int] | Literal["same"] = "same",
    interpolation: str = "bicubic",
    antialias: bool = True,
) -> ViT:
    """Return a copy of a model for images or patches of another size.

    Learned positions are resampled to the new grid of patches, and the patch kernel by
    FlexiViT's pseudo-inverse; all else is copied. Preprocessing and class names come
    along.

    Args:
        model: stays as it is.
        image_size: pixels, one number or (height, width); None for images of any size,
            whose positions are resampled inside the model, by the default kernel.
            Default "same".
        patch_size: pixels, one number or (height, width). Default "same".
        interpolation: "bicubic" (default) or "bilinear".
        antialias: whether the kernel grows when a grid shrinks. Default True.

    Raises:
        TypeError: if `model` is no ViT, or a size is no whole number.
        ValueError: if a size or `interpolation` is out of range, or the model has
            weights that its configuration does not: int8 or LoRA.

    Example:
        >>> model = keras_vit.ViT.from_variant("test", image_size=32)
        >>> keras_vit.resize(model, image_size=(48, 64)).input_shape
        (None, 48, 64, 3)

    Reference: arXiv:2010.11929, section 3.2 (positions); arXiv:2212.08013, equation 3
    (patches).
    """
    old = _config(model)
    sizes = {"image_size": image_size, "patch_size": patch_size}
    changes = {name: size for name, size in sizes.items() if size != "same"}
    new = old.changed(**changes)
    kind = (interpolation, antialias)
    converters: dict[str, Convert] = {
        _TABLE: lambda x: resample_positions(x, old.table_grid, new.table_grid, *kind),
        _KERNEL: lambda x: resample_patch_kernel(
            x, old.patch_size, new.patch_size, *kind
        ),
    }
    if new.num_position_rows == 0 or new.table_grid == old.table_grid:
        del converters[_TABLE]
    if new.patch_size == old.patch_size:
        del converters[_KERNEL]
    preprocessing = _resized(model.preprocessing, new)
    return _copy(model, new, preprocessing, model.class_names, converters)


def replace_head(
    model: ViT,
    num_classes: int | None,
    *,
    class_names: Sequence[str] | None = None,
) -> ViT:
    """Return a copy of a model with a new classifier, which starts at zero.

    Args:
        model: stays as it is.
        num_classes: width of the new classifier; None for none, a backbone.
        class_names: one name per class. Default None.

    Raises:
        TypeError: if `model` is no ViT, or `num_classes` is no whole number.
        ValueError: if a number is out of range, or the model has weights that its
            configuration does not: LoRA.

    Example:
        >>> model = keras_vit.ViT.from_variant("test", num_classes=1000)
        >>> keras_vit.replace_head(model, 10).output_shape
        (None, 10)
    """
    old = _config(model)
    new = replace(
        old,
        num_classes=num_classes,
        classifier_activation=num_classes and old.classifier_activation,
    )
    return _copy(model, new, model.preprocessing, class_names, {}, _CLASSIFIERS)


def _config(model: ViT) -> ViTConfig:
    if not isinstance(model, ViT):
        raise TypeError(
            f"model must be a keras_vit.ViT, received {type(model).__name__}. Pass the "
            "ViT inside: outer_model.get_layer(name_of_the_vit)."
        )
    return model.config


def _resized(
    preprocessing: Preprocessing | None, config: ViTConfig
) -> Preprocessing | None:
    if preprocessing is None or config.image_size is None:
        return preprocessing
    return replace(preprocessing, image_size=config.image_size)


def _copy(
    model: ViT,
    config: ViTConfig,
    preprocessing: Preprocessing | None,
    class_names: Sequence[str] | None,
    converters: dict[str, Convert],
    new_parts: tuple[str, ...] = (),
) -> ViT:
    """Build a model of another config with the weights of an old one.

    Args:
        model: gives dtype policies, name, weights and which layers train.
        config: of the new model.
        preprocessing: of the new model.
        class_names: of the new model.
        converters: from path of a weight to what fits it to the new model.
        new_parts: beginnings of the paths of weights that are not copied.
    """
    options = {
        **model.get_config(),
        **asdict(config),
        "preprocessing": preprocessing,
        "class_names": class_names,
    }
    if new_parts:
        options["trainable"] = True  # A new head is there to be trained.
    copy = ViT.from_config(options)
    _copy_weights(model, copy, converters, new_parts)
    frozen = {layer.name for layer in model.layers if not layer.trainable}
    frozen -= {part.partition("/")[0] for part in new_parts}
    for layer in copy.layers:
        if layer.name in frozen:
            layer.trainable = False
    return copy


def _copy_weights(
    model: ViT, copy: ViT, converters: dict[str, Convert], new_parts: tuple[str, ...]
) -> None:
    old, new = (
        {w.path: w for w in m.weights if not w.path.startswith(new_parts)}
        for m in (model, copy)
    )
    unmatched = sorted(set(old) ^ set(new))
    if unmatched:
        raise ValueError(
            "The weights must be those that the configuration of the model describes, "
            f"received {unmatched[:4]} beside them. Merge LoRA weights first."
        )
    for path, weight in new.items():
        if path in converters:
            weight.assign(converters[path](_floats(old[path])))
        else:
            # A copy: JAX gives the memory of a weight away in training.
            weight.assign(ops.copy(old[path].value))


def _floats(weight: Any) -> np.ndarray:
    dtype = keras.backend.standardize_dtype(weight.dtype)
    if "float" not in dtype:
        raise ValueError(
            f"Resampling needs weights of floating point, received {weight.path!r} of "
            f"type {dtype}. Resize the model first and quantize it then."
        )
    return ops.convert_to_numpy(ops.cast(weight.value, "float32"))
