"""Which layers of a new copy train."""

from __future__ import annotations

from typing import Any

import keras

from keras_vit.keras_internals import layer_paths


def freeze_until(model: keras.Model, name: str) -> None:
    """Stop the training of the first layers; what stood frozen stays so.

    Raises:
        ValueError: if there is no such layer; the message lists them.
    """
    for layer in first_layers(model, name):
        layer.trainable = False


def first_layers(model: keras.Model, until: str) -> list[Any]:
    """Return the layers of a model up to the one of this name.

    Raises:
        ValueError: if there is no such layer; the message lists them.
    """
    names = [layer.name for layer in model.layers]
    if until not in names:
        raise ValueError(
            f"until must name a layer of the model, received until={until!r}. Its "
            f"layers are {names}."
        )
    return model.layers[: names.index(until) + 1]


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


def train_all(model: keras.Model) -> None:
    """Let all layers train."""
    for layer in model.layers:
        layer.trainable = True


def copy_trainable(
    model: keras.Model, copy: keras.Model, new_parts: tuple[str, ...] = ()
) -> None:
    """Freeze in a copy what is frozen in a model.

    Args:
        model: stays as it is.
        copy: all of it trains; has the same layers, apart from those of new parts.
        new_parts: beginnings of the paths of new weights. Their layers train.
    """
    if not new_parts:
        copy.trainable = model.trainable
    new = {part.partition("/")[0] for part in new_parts}
    layers = layer_paths(model)
    # Outer layers come first, because they decide for those in them, too.
    for path, layer in layer_paths(copy).items():
        if path in layers and path.partition("/")[0] not in new:
            layer.trainable = layers[path].trainable
            # A weight that is frozen alone: both layers list theirs in one order.
            pairs: Any = zip(layers[path].weights, layer.weights, strict=False)
            for theirs, ours in pairs:
                if not theirs.trainable:
                    ours.trainable = False
