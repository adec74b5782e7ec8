"""What methods need of a model and of options; each function refuses what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any

import numpy as np

from keras_vit.model import ViT


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What `explain` was asked for; its arguments say what each means."""

    model: Any
    method: str
    target: int | str | None = None
    block: int = -1
    head: int | None = None
    window: int = 2
    point: Any = None
    of: Any = None
    joint: bool = False
    foreground: bool = False

    def changed_options(self) -> dict[str, Any]:
        """Return the options of some methods that were given, by name."""
        found = {}
        for option in fields(self)[3:]:
            value, default = getattr(self, option.name), option.default
            is_same = isinstance(value, int) and value == default
            if value is not default and not is_same:
                found[option.name] = value
        return found


def is_backbone(model: Any) -> bool:
    """Return whether a model is a ViT without classes."""
    return isinstance(model, ViT) and model.config.num_classes is None


def block_of(asked: Asked) -> int:
    """Return the number of the block that was asked for, from 0."""
    return asked.block + asked.model.config.num_layers * (asked.block < 0)


def needs_vit(asked: Asked) -> None:
    """Refuse a model that has no patches that are known."""
    if not isinstance(asked.model, ViT):
        raise TypeError(
            f"The method {asked.method!r} reads attention and tokens, which a "
            f"keras_vit.ViT has, received {type(asked.model).__name__}. Take "
            "method='occlusion'."
        )


def check_vit(model: Any, function: str) -> None:
    """Refuse what is no ViT where a function is for nothing else."""
    if not isinstance(model, ViT):
        raise TypeError(
            f"{function} is for a keras_vit.ViT, received {type(model).__name__}. Load "
            "one: keras_vit.load(NAME)."
        )


def needs_vit_with_pooling(asked: Asked) -> None:
    """Refuse a model whose output is no vector of the picture."""
    needs_vit(asked)
    if asked.model.config.pooling is None:
        raise ValueError(
            "A map says what the vector of a picture reads, received a model with "
            "pooling=None. Choose one: keras_vit.changed(model, pooling='token')."
        )


def needs_attention_pooling(asked: Asked) -> None:
    """Refuse a model whose pooling does not attend."""
    pooling = asked.model.config.pooling
    if pooling not in ("attention", "query"):
        raise ValueError(
            "method='pooling' is for an attention pooling, received a model with "
            f"pooling={pooling!r}. Take method='rollout' or 'attention'."
        )


def needs_positive_weights(asked: Asked) -> None:
    """Refuse a model whose attention weights are no shares."""
    if asked.model.config.attention == "differential":
        raise ValueError(
            "Rollout is not defined for differential attention, whose weights may be "
            "below 0. Take method='relevance', 'attention' or 'occlusion'."
        )


def needs_classes(asked: Asked) -> None:
    """Refuse a ViT without a head."""
    if is_backbone(asked.model):
        raise ValueError(
            f"method={asked.method!r} is about a class, received a model without a "
            "head. Take method='rollout', or fit a head: keras_vit.fit_head."
        )


def needs_block(asked: Asked) -> None:
    """Refuse a block that the model has not."""
    count = asked.model.config.num_layers
    if not _is_whole(asked.block) or not -count <= asked.block < count:
        raise ValueError(
            f"block must be from {-count} to {count - 1}, the blocks of this model, "
            f"received block={asked.block!r}."
        )


def needs_head(asked: Asked) -> None:
    """Refuse a head that the attention has not."""
    config = asked.model.config
    # Two attentions side by side give their heads in a row.
    count = config.num_heads * (2 if config.block == "twin" else 1)
    head = asked.head
    if head is not None and not (_is_whole(head) and 0 <= head < count):
        raise ValueError(
            f"head must be from 0 to {count - 1}, the heads of this model, received "
            f"head={asked.head!r}."
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def needs_point(asked: Asked) -> None:
    """Refuse what is no point."""
    point = asked.point
    is_pair = np.shape(point) == (2,) and np.issubdtype(
        np.asarray(point).dtype, np.number
    )
    if not (is_pair and np.isfinite(point).all()):
        raise ValueError(
            "method='similarity' compares patches with the one at a point, "
            "point=(x, y) in pixels of the picture as it is given, received "
            f"point={point!r}."
        )
