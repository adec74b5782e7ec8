"""From one pooled token to class logits. Shapes: B batch, D hidden."""

from __future__ import annotations

from typing import Any

import keras

from keras_vit.layers.base.layer import (
    CompositeLayer,
    Dense,
    Shape,
    Tensor,
    build_each,
    check_rank,
)
from keras_vit.layers.mlp import get_activation


@keras.saving.register_keras_serializable(package="keras_vit")
class MLPHead(CompositeLayer):
    """Map a pooled token to class logits, through a tanh layer if asked for.

    The classifier starts at zero, so an untrained model gives zero logits and the loss
    starts at log(num_classes), as in the paper's code.

    Args:
        num_classes: number of classes, at least 1. None leaves the classifier out and
            returns the representation.
        representation_size: width of the tanh layer before the classifier, at least 1.
            None (default) leaves it out. The paper uses it in pre-training.
        activation: of the classifier; the name of a Keras activation such as "softmax".
            Default None: logits.
        use_bias: whether the classifier has a bias. Default True.

    Input shape: (B, D).
    Output shape: (B, num_classes), or (B, representation_size) if `num_classes` is
        None.

    Raises:
        ValueError: if both sizes are None, or the input is not of rank 2.

    Example:
        ```python
        head = keras_vit.layers.MLPHead(num_classes=10)
        tuple(head(keras.ops.ones((2, 64))).shape)  # (2, 10)
        ```

    Reference: arXiv:2010.11929, section 3.1 (classification head); google-research/
    vision_transformer, vit_jax/models_vit.py: `pre_logits` LeCun normal, `head` zero.
    """

    def __init__(
        self,
        num_classes: int | None,
        representation_size: int | None = None,
        activation: str | None = None,
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if num_classes is None and representation_size is None:
            raise ValueError(
                "MLPHead needs num_classes or representation_size, received None for "
                "both. Pass one of them, or leave the head out."
            )
        self.num_classes = num_classes
        self.representation_size = representation_size
        self.activation = activation
        self.use_bias = use_bias
        with self.sublayers() as named:
            self.representation = self.logits = None
            if representation_size is not None:
                options = {"activation": "tanh", "kernel_initializer": "lecun_normal"}
                self.representation = Dense(
                    representation_size, **options, **named("representation")
                )
            if num_classes is not None:
                function = activation and get_activation(activation)
                self.logits = Dense(
                    num_classes, function, use_bias, "zeros", **named("logits")
                )

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, D)")
        build_each(input_shape, self.representation)
        width = self.representation_size or input_shape[-1]
        build_each((input_shape[0], width), self.logits)

    def call(self, token: Tensor) -> Tensor:
        if self.representation is not None:
            token = self.representation(token)  # (B, representation_size)
        if self.logits is not None:
            token = self.logits(token)  # (B, num_classes)
        return token

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.num_classes or self.representation_size)
