"""The methods of `explain`: what each needs, and what reads its maps.

B batch; R, C patches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import keras
import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.explaining.gradient_reading import (
    GradientModel,
    GradientReader,
    grad_cam_model,
    relevance_model,
)
from keras_vit.explaining.grids import grid_of, in_grid, num_tokens_of, patch_size_of
from keras_vit.explaining.kept import kept
from keras_vit.explaining.needs import (
    Asked,
    block_of,
    is_backbone,
    needs_attention_pooling,
    needs_block,
    needs_classes,
    needs_head,
    needs_point,
    needs_positive_weights,
    needs_vit,
    needs_vit_with_pooling,
)
from keras_vit.explaining.occlusion import occlusion
from keras_vit.explaining.patch_features import (
    components,
    norms,
    patch_model,
    similarities,
)
from keras_vit.explaining.seen_part import patch_at
from keras_vit.explaining.targets import class_of, num_classes_of, target_of
from keras_vit.explaining.token_reading import (
    attention_model,
    pooling_model,
    rollout_model,
)
from keras_vit.inference.predictor import Predictor
from keras_vit.model import ViT
from keras_vit.output_activation import output_activation

MethodName = Literal[
    "rollout",
    "attention",
    "pooling",
    "relevance",
    "grad_cam",
    "occlusion",
    "token_norms",
    "components",
    "similarity",
]
# From pictures (H, W, C) as they were given and images (B, height, width, C) as the
# model takes them, to the outputs of the model and what is known of each.
Reader: TypeAlias = Callable[
    [Sequence[np.ndarray], np.ndarray], tuple[np.ndarray, Sequence[np.ndarray]]
]
_WINDOWS = 32  # pictures with a hidden window per call


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to see what a model looks at.

    Args:
        needs: what raises an error unless the model and the options fit; in this order.
        open: what makes its reader.
        legend: what the lowest and the highest mean.
        options: of `explain` that it reads, besides those that all do.
        is_of_class: whether a map is for one class.
        finish: makes maps of what is known of all pictures together. Default None: each
            is known as its map, (R, C).
    """

    needs: Sequence[Callable[[Asked], None]]
    open: Callable[[Asked, Predictor], Reader]
    legend: tuple[str, str]
    options: tuple[str, ...] = ()
    is_of_class: bool = False
    finish: Callable[[Asked, list[np.ndarray]], list[np.ndarray]] | None = None


def default_method(model: Any, target: Any = None) -> MethodName:
    """Return the method that says most (docs/explain.md) of what can be said.

    Occlusion is for models that are no ViT: it takes a forward pass for each patch.
    Relevance is worse than a random order where an attention pooling stands last, and
    so is only for who asks for a class there.
    """
    if not isinstance(model, ViT):
        return "occlusion"
    config = model.config
    attends_last = config.pooling in ("attention", "query")
    has_rollout = config.attention == "softmax"
    is_general = target is None and attends_last and has_rollout
    return "rollout" if is_backbone(model) or is_general else "relevance"


def check_asked(asked: Asked) -> None:
    """Raise an error unless the method is defined for the model and the options."""
    if asked.method not in get_args(MethodName):
        raise ValueError(
            f"method must be one of {list(get_args(MethodName))}, received "
            f"method={asked.method!r}."
        )
    method = METHODS[asked.method]
    for need in method.needs:
        need(asked)
    if asked.target is not None and not method.is_of_class:
        names = [name for name, other in METHODS.items() if other.is_of_class]
        raise ValueError(
            f"target is a class, which the methods {names} look at, received "
            f"target={asked.target!r} with method={asked.method!r}. Leave it out."
        )
    for name, value in asked.changed_options().items():
        if name not in method.options:
            readers = [n for n, other in METHODS.items() if name in other.options]
            raise ValueError(
                f"{name} is an option of the methods {readers}, received "
                f"{name}={value!r} with method={asked.method!r}. Leave it out."
            )


def _of_tokens(make: Callable[[Asked], keras.Model]) -> Any:
    """Return what opens a model that gives a value for each token."""

    def open(asked: Asked, predictor: Predictor) -> Reader:
        run = _runs(asked, lambda: make(asked))

        def read(given: Any, taken: np.ndarray) -> tuple[np.ndarray, Any]:
            outputs, values = run(taken)
            size = taken.shape[1:3]
            return outputs, [in_grid(asked.model, row, size) for row in values]

        return read

    return open


def _of_patches(use_norm: bool, change: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Return what opens a model that gives a vector for each patch."""

    def open(asked: Asked, predictor: Predictor) -> Reader:
        block = block_of(asked)
        run = _runs(asked, lambda: patch_model(asked.model, block, use_norm))

        def read(given: Any, taken: np.ndarray) -> tuple[np.ndarray, Any]:
            outputs, vectors = run(taken)
            return outputs, [change(one) for one in vectors]

        return read

    return open


def _runs(asked: Asked, make: Callable[[], keras.Model]) -> Callable[..., Any]:
    """Return what calls a model, which is made where it is not kept."""
    key = (asked.method, asked.block, asked.head)
    model = kept(asked.model, key, make)

    def run(taken: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found: Any = model.predict_on_batch(taken)
        outputs, values = (
            keras.ops.convert_to_numpy(keras.ops.cast(found[name], "float32"))
            for name in ("outputs", "map")
        )
        return outputs, values

    return _filled(run)


def _filled(run: Callable[..., Any]) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Return what calls a function with as many images each time, the last time too.

    A model is compiled for each number of images.
    """
    most = 0

    def call(taken: np.ndarray, *rest: Any) -> tuple[np.ndarray, np.ndarray]:
        nonlocal most
        count = len(taken)
        most = max(most, count)
        filled = np.concatenate([taken, taken[-1:].repeat(most - count, axis=0)])
        outputs, values = run(filled, *rest)
        return outputs[:count], values[:count]

    return call


def _open_similarity(asked: Asked, predictor: Predictor) -> Reader:
    run = _runs(asked, lambda: patch_model(asked.model, block_of(asked), True))
    preprocessing = predictor.preprocessing

    def vector_in(pixels: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        patch = patch_size_of(asked.model, preprocessing.image_size)
        place = patch_at(
            asked.point, pixels.shape[:2], preprocessing, patch, vectors.shape[:2]
        )
        return vectors[place]

    wanted = None
    if asked.of is not None:
        pixels = preprocessing.to_array(asked.of)
        _, vectors = run(preprocessing.to_values(pixels)[None])
        wanted = vector_in(pixels, vectors[0])

    def read(given: Sequence[np.ndarray], taken: np.ndarray) -> tuple[np.ndarray, Any]:
        outputs, vectors = run(taken)
        return outputs, [
            similarities(one, vector_in(pixels, one) if wanted is None else wanted)
            for pixels, one in zip(given, vectors, strict=True)
        ]

    return read


def _limit(predictor: Predictor) -> float:
    """Return the logit from which on a single one says yes."""
    if predictor.thresholds is None:
        return 0.0
    share = min(max(float(predictor.thresholds[0]), 1e-7), 1 - 1e-7)
    return math.log(share / (1 - share))


def _of_gradients(make: Callable[[Asked], GradientModel]) -> Any:
    """Return what opens a model that gives a value for each token, of one class."""

    def open(asked: Asked, predictor: Predictor) -> Reader:
        count = int(asked.model.output_shape[-1])
        target = target_of(predictor, asked.target, count)
        config: ViTConfig = asked.model.config
        has_no = num_classes_of(predictor, count) > count

        limit = _limit(predictor) if has_no else 0.0

        def new() -> GradientReader:
            return GradientReader(
                make(asked), lambda size: num_tokens_of(config, size), has_no, limit
            )

        key = (asked.method, asked.block, has_no, limit)
        # With an activation it stands on a copy of the model as it is now.
        is_copy = config.classifier_activation is not None
        run = _filled(new() if is_copy else kept(asked.model, key, new))
        activate = keras.activations.get(output_activation(asked.model))

        def read(given: Any, taken: np.ndarray) -> tuple[np.ndarray, Any]:
            logits, values = run(taken, target)
            outputs = keras.ops.convert_to_numpy(
                activate(keras.ops.convert_to_tensor(logits))
            )
            size = taken.shape[1:3]
            return outputs, [in_grid(asked.model, row, size) for row in values]

        return read

    return open


def _open_occlusion(asked: Asked, predictor: Predictor) -> Reader:
    def read(given: Any, taken: np.ndarray) -> tuple[np.ndarray, Any]:
        outputs = np.asarray(predictor.run(taken))
        if outputs.ndim != 2:
            raise ValueError(
                "Occlusion looks at the probability of a class, received a model with "
                f"outputs of shape {(None, *outputs.shape[1:])}. Pass a classifier."
            )
        size = taken.shape[1:3]
        patch, grid = patch_size_of(asked.model, size), grid_of(asked.model, size)
        maps = []
        for image, row in zip(taken, outputs, strict=True):
            number = class_of(predictor, asked.target, row)

            def score(images: np.ndarray, number: int = number) -> np.ndarray:
                found = np.asarray(predictor.run(images))
                return predictor.probabilities(found)[:, number]

            maps.append(occlusion(score, image, grid, patch, asked.window, _WINDOWS))
        return outputs, maps

    return read


_READS = ("reads least", "reads most")
_SPEAKS = ("speaks least", "speaks most")
METHODS: dict[str, Method] = {
    "rollout": Method(
        needs=(needs_vit_with_pooling, needs_positive_weights),
        open=_of_tokens(lambda asked: rollout_model(asked.model)),
        legend=_READS,
    ),
    "attention": Method(
        needs=(needs_vit_with_pooling, needs_block, needs_head),
        open=_of_tokens(
            lambda asked: attention_model(asked.model, block_of(asked), asked.head)
        ),
        legend=_READS,
        options=("block", "head"),
    ),
    "pooling": Method(
        needs=(needs_vit_with_pooling, needs_attention_pooling),
        open=_of_tokens(lambda asked: pooling_model(asked.model)),
        legend=_READS,
    ),
    "relevance": Method(
        needs=(needs_vit_with_pooling, needs_classes),
        open=_of_gradients(lambda asked: relevance_model(asked.model)),
        legend=_SPEAKS,
        is_of_class=True,
    ),
    "grad_cam": Method(
        needs=(needs_vit_with_pooling, needs_classes, needs_block),
        open=_of_gradients(lambda asked: grad_cam_model(asked.model, block_of(asked))),
        legend=_SPEAKS,
        options=("block",),
        is_of_class=True,
    ),
    "occlusion": Method(
        needs=(needs_classes,),
        open=_open_occlusion,
        legend=("matters least", "matters most"),
        options=("window",),
        is_of_class=True,
    ),
    "token_norms": Method(
        needs=(needs_vit, needs_block),
        open=_of_patches(False, norms),
        legend=("shortest", "longest"),
        options=("block",),
    ),
    "components": Method(
        needs=(needs_vit, needs_block),
        open=_of_patches(True, lambda vectors: vectors),
        legend=("", ""),
        options=("block", "joint", "foreground"),
        finish=lambda asked, found: components(
            found, joint=asked.joint, foreground=asked.foreground
        ),
    ),
    "similarity": Method(
        needs=(needs_vit, needs_block, needs_point),
        open=_open_similarity,
        legend=("least alike", "most alike"),
        options=("block", "point", "of"),
    ),
}
