"""Two classifiers, one per token. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import CompositeLayer, Dense, Shape, Tensor, check_rank
from keras_vit.layers.mlp import get_activation


@keras.saving.register_keras_serializable(package="keras_vit")
class DistilledHead(CompositeLayer):
    """Average the logits of the class token and of the distillation token.

    Args:
        num_classes: number of classes, at least 1.
        activation: of the average; the name of a Keras activation such as "softmax".
            Default None: logits.

    Input shape: (B, T, D), the class token first, the distillation token second.
    Output shape: (B, num_classes).

    Raises:
        ValueError: if the input is not of rank 3 or has one token.

    Example:
        ```python
        head = keras_vit.layers.DistilledHead(num_classes=10)
        tuple(head(keras.ops.ones((2, 198, 64))).shape)  # (2, 10)
        ```

    Reference: arXiv:2012.12877, section 4 (classification with our approach). Both
    classifiers start at zero, as that of `MLPHead`.
    """

    def __init__(
        self, num_classes: int, activation: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.activation = activation
        self._activate = get_activation(activation) if activation else None
        with self.sublayers() as named:
            self.logits = Dense(
                num_classes, kernel_initializer="zeros", **named("logits")
            )
            self.distillation_logits = Dense(
                num_classes, kernel_initializer="zeros", **named("distillation_logits")
            )

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, T, D)")
        if input_shape[1] == 1:
            raise ValueError(
                "DistilledHead reads two tokens, received shape "
                f"{tuple(input_shape)}. Use MLPHead for one token."
            )
        self.logits.build((None, input_shape[-1]))
        self.distillation_logits.build((None, input_shape[-1]))

    def both(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of the class token and those of the distillation token."""
        width = tokens.shape[-1]
        first = self.logits(ops.reshape(tokens[:, :1], (-1, width)))
        second = self.distillation_logits(ops.reshape(tokens[:, 1:2], (-1, width)))
        return first, second  # (B, num_classes) each

    def call(self, tokens: Tensor) -> Tensor:
        first, second = self.both(tokens)
        x = (first + second) / 2  # (B, num_classes)
        return x if self._activate is None else self._activate(x)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.num_classes)
