"""What the outputs of a model are."""

from __future__ import annotations

from typing import Any

import keras


def output_activation(model: keras.Model) -> str | None:
    """Return the name of the activation that a model ends with; None for logits.

    Our own models say it in their config; of others the last layer is asked.
    """
    config: Any = getattr(model, "config", None)
    if hasattr(config, "classifier_activation"):
        found: Any = config.classifier_activation
    else:
        found = getattr(model.layers[-1], "activation", None)
    name = getattr(found, "__name__", found)
    return None if name == "linear" else name
