"""What speaks for a class: attention weights or tokens, times their gradients.

B batch, h heads, T tokens, N patches, D hidden, K outputs.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vit.config import ViTConfig
from keras_vit.explaining.token_reading import readers_after
from keras_vit.features import attends, replayed
from keras_vit.layers.base.attention_scores import AttentionScores
from keras_vit.surgery import changed

# Bytes of attention weights per call; with their gradients it is several times that.
_MOST_BYTES = 2**28


@dataclass(frozen=True, kw_only=True)
class GradientModel:
    """A model with zeros added to something inside it, and what to do with gradients.

    The gradient with respect to something inside a model is that with respect to an
    input which is added to it: a function of inputs, on each backend.

    Args:
        model: from a list, images and what is added, to a dictionary: "outputs", the
            logits, and more.
        shapes: from the number of tokens to the shapes of what is added, without B.
        finish: from what `model` returns and the gradients of the scores with respect
            to what was added to the map, (B, T).
    """

    model: keras.Model
    shapes: Callable[[int], list[tuple[int, ...]]]
    finish: Callable[[dict[str, Any], list[Any]], Any]


class GradientReader:
    """Gives outputs and maps of images; compiled once for each shape of images.

    Args:
        given: the model.
        num_tokens: from (height, width) of images to T.
        has_no: whether a single logit stands for two classes, no and yes.
        limit: logit above which a single one says yes. Default 0.
    """

    def __init__(
        self,
        given: GradientModel,
        num_tokens: Callable[[tuple[int, int]], int],
        has_no: bool,
        limit: float = 0.0,
    ) -> None:
        self._limit = limit
        self._given, self._num_tokens, self._has_no = given, num_tokens, has_no
        # The module imports its backend, so only that of the active one is imported.
        name = f"keras_vit.explaining.gradients_{keras.backend.backend()}"
        compiled = importlib.import_module(name).compiled
        self._step = compiled(given.model, self._zeros, self._direction, given.finish)

    def __call__(
        self, images: np.ndarray, target: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return logits, (B, K), and maps, (B, T), for one class or the likeliest."""
        shapes = self._shapes(images)
        one = 4 * sum(math.prod(shape) for shape in shapes)
        count = max(1, min(len(images), _MOST_BYTES // one))
        rows = []
        for start in range(0, len(images), count):
            some = images[start : start + count]
            targets = np.full(len(some), -1 if target is None else target, "int32")
            found = self._step(*map(ops.convert_to_tensor, (some, targets)))
            rows.append([ops.convert_to_numpy(x).astype("float32") for x in found])
        outputs, maps = (np.concatenate(parts) for parts in zip(*rows, strict=True))
        return outputs, maps

    def _shapes(self, images: Any) -> list[tuple[int, ...]]:
        height, width = images.shape[1:3]
        return self._given.shapes(self._num_tokens((int(height), int(width))))

    def _zeros(self, images: Any) -> list[Any]:
        shapes = self._shapes(images)
        return [ops.zeros((images.shape[0], *shape), "float32") for shape in shapes]

    def _direction(self, outputs: Any, targets: Any) -> Any:
        """Return 1 where the logit is that of the target, (B, K); -1 for no."""
        count = outputs.shape[-1]
        is_given = targets >= 0
        if count == 1:
            likely = outputs[:, 0] > self._limit
            is_yes = ops.where(is_given, targets == 1, likely)
            signs = ops.where(ops.logical_or(is_yes, not self._has_no), 1.0, -1.0)
            return ops.cast(signs[:, None], outputs.dtype)
        likely = ops.cast(ops.argmax(outputs, axis=-1), "int32")
        return ops.one_hot(
            ops.where(is_given, targets, likely), count, -1, outputs.dtype
        )


def relevance_model(model: Any) -> GradientModel:
    """Return the model of Chefer's rules for self-attention, of one class.

    Each attention weight counts as much as it speaks for the class: weight times
    gradient of the logit, where that is above 0, on average over the heads: A' =
    mean_h(relu(dA * A)). Relevance of tokens starts as identity and goes through the
    blocks as R <- R + A' R; the map is the row of R that the vector of the image reads.
    It is computed from the last block to the first, so that one row is enough. Where
    the pooling reads by attention, its A' is that row; where tokens are averaged, it
    is the mean of their rows.

    Reference: Chefer, Gur and Wolf, arXiv:2103.15679, equations 5 and 6, and section
    3.1 for a query that reads from other tokens.
    """
    config: ViTConfig = model.config
    plain = _with_logits(model)
    blocks = [f"block_{block}" for block in range(config.num_layers)]
    heads = config.num_heads * (2 if config.block == "twin" else 1)
    tokens = config.num_tokens if config.image_size else None
    added = {name: (heads, tokens, tokens) for name in blocks}
    unread = 0 if config.pool_prefix else config.num_prefix_tokens
    if config.pooling in ("attention", "query"):
        seen = None if tokens is None else tokens - unread
        added["pooling"] = (config.num_pooling_heads, 1, seen)
    inputs = {n: keras.Input(shape, name=f"{n}_added") for n, shape in added.items()}
    weights: dict[str, Any] = {}

    def call(layer: Any, x: Any, **options: Any) -> Any:
        if layer.name not in blocks and not attends(layer):
            return layer(x, **options)
        scored = AttentionScores(layer, name=f"{layer.name}_attention_scores")
        offset = {"attention_offset": inputs[layer.name]}
        x, weights[layer.name] = scored(x, **options, **offset)
        return x

    outputs = replayed(plain, 0, call)

    def shapes(count: int) -> list[tuple[int, ...]]:
        found = [(heads, count, count)] * len(blocks)
        pooled = (config.num_pooling_heads, 1, count - unread)
        return [*found, pooled] if "pooling" in added else found

    def finish(found: dict[str, Any], gradients: list[Any]) -> Any:
        for_class = {
            name: ops.mean(ops.relu(_wide(found[name]) * _wide(gradient)), axis=1)
            for name, gradient in zip(added, gradients, strict=True)
        }
        read: Any = None
        for block in reversed(range(config.num_layers)):
            step = for_class[blocks[block]]
            readers = readers_after(config, step, block, for_class.get("pooling"))
            if readers is not None:
                read = readers if read is None else read + readers
            read = read + ops.matmul(read, step)
        return read[:, 0]

    whole = keras.Model(
        [plain.inputs[0], *inputs.values()], {"outputs": outputs, **weights}
    )
    return GradientModel(model=whole, shapes=shapes, finish=finish)


def grad_cam_model(model: Any, block: int) -> GradientModel:
    """Return the model of Grad-CAM on the tokens that a block reads.

    The channels of the patches are added, each times the mean over the patches of the
    gradient of the logit; what is below 0 counts as 0. The tokens are those before the
    block: after the last one no gradient reaches the patches of a model that reads its
    class token.

    Reference: Selvaraju and others, arXiv:1610.02391, equations 1 and 2.

    Args:
        model: a ViT with classes.
        block: its number, from 0.
    """
    config: ViTConfig = model.config
    plain = _with_logits(model)
    width = config.hidden_dim
    count = config.num_tokens if config.image_size else None
    added = keras.Input((count, width), name="tokens_added")
    first = config.num_prefix_tokens
    tokens: dict[str, Any] = {}

    def call(layer: Any, x: Any, **options: Any) -> Any:
        if layer.name != f"block_{block}":
            return layer(x, **options)
        tokens["tokens"] = x
        return layer(keras.layers.Add(name="plus_added")([x, added]), **options)

    outputs = replayed(plain, block, call)

    def finish(found: dict[str, Any], gradients: list[Any]) -> Any:
        importance = ops.mean(_wide(gradients[0])[:, first:], axis=1, keepdims=True)
        return ops.relu(ops.sum(importance * _wide(found["tokens"]), axis=-1))

    whole = keras.Model([plain.inputs[0], added], {"outputs": outputs, **tokens})
    return GradientModel(
        model=whole, shapes=lambda count: [(count, width)], finish=finish
    )


def _with_logits(model: Any) -> Any:
    """Return the model itself, or a copy of it that ends with logits.

    Gradients of probabilities vanish where the model is sure.
    """
    if model.config.classifier_activation is None:
        return model
    return changed(model, classifier_activation=None)


def _wide(x: Any) -> Any:
    return ops.cast(x, "float32")
