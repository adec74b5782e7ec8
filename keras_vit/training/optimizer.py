"""AdamW that decays matrices only."""

from __future__ import annotations

from typing import Any

import keras

# On torch `keras.optimizers.AdamW(...)` makes an object of a subclass that updates all
# weights at once; one of our own class would fall back to a loop over the weights.
_AdamW = type(keras.optimizers.AdamW())


@keras.saving.register_keras_serializable(package="keras_vit")
class AdamW(_AdamW):
    """`keras.optimizers.AdamW` with weight decay on the kernels alone.

    Biases, normalizations, tokens and positions are left out by a rule, not by a list,
    so the rule also holds after saving and loading; `exclude_from_weight_decay` of the
    parent is forgotten there (Keras 3.15). Same arguments as the parent.

    Reference: arXiv:1711.05101; arXiv:2106.10270, section 3.2; the list of timm's
    `no_weight_decay` and its rule that one-dimensional weights do not decay.
    """

    def build(self, var_list: list[Any]) -> None:
        self.exclude_from_weight_decay(
            var_list=[variable for variable in var_list if not decays(variable)]
        )
        super().build(var_list)


def decays(variable: Any) -> bool:
    """Return whether weight decay applies: to kernels, the matrices of a model."""
    return variable.name == "kernel" and len(variable.shape) >= 2
