"""Which layers train."""

from __future__ import annotations

from typing import Any

import keras


def freeze(model: keras.Model, *, until: str) -> None:
    """Stop the training of the first layers of a model.

    What stood frozen stays so. Compile the model afterwards, because an optimizer is
    built for the weights that train.

    Args:
        model: functional, such as a `ViT`.
        until: name of the last layer that is frozen, for example "block_8" or
            "patch_encoder". "pooling" leaves the head of a `ViT` alone: a linear probe.

    Raises:
        ValueError: if there is no such layer; the message lists them.

    Example:
        >>> model = keras_vit.ViT.from_variant("test", num_classes=10)
        >>> keras_vit.training.freeze(model, until="block_0")
        >>> [layer.name for layer in model.layers if layer.trainable_weights]
        ['block_1', 'norm', 'head']
    """
    names = [layer.name for layer in model.layers]
    if until not in names:
        raise ValueError(
            f"until must name a layer of the model, received until={until!r}. Its "
            f"layers are {names}."
        )
    for layer in model.layers[: names.index(until) + 1]:
        layer.trainable = False


def freeze_all_but_head(model: keras.Model) -> None:
    """Stop the training of all layers but the classifier, the last one.

    Raises:
        ValueError: if the last layer has no weights.
    """
    *body, head = model.layers
    if not head.weights:
        raise ValueError(
            "A linear probe trains the last layer, received one without weights: "
            f"{head.name!r}. Build the model with num_classes."
        )
    for layer in body:
        layer.trainable = False


def unfreeze(model: keras.Model) -> None:
    """Let all layers of a model train again; compile it afterwards."""
    for layer in model.layers:
        layer.trainable = True
    weights: Any = model.weights
    for weight in weights:
        weight.trainable = True
