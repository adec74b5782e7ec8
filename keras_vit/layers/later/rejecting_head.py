"""A head that may say "none of these". B batch, D features, R directions, K classes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import (
    CompositeLayer,
    Dense,
    Shape,
    Tensor,
    build_each,
    check_count,
    check_rank,
    wide_dtype,
)
from keras_vit.layers.mlp import get_activation

# Farther away all are equally strange; so no precision overflows.
_FARTHEST = 10.0


@keras.saving.register_keras_serializable(package="keras_vit")
class RejectingHead(CompositeLayer):
    """Classify as `MLPHead`, with one output more for pictures of none of the classes.

    The distance d of the features to the nearest mean of a class is measured in
    directions in which the features of all classes spread alike: it is a Mahalanobis
    distance, in units of that from which on pictures are rejected. The last logit is
    that of the most likely class plus `steepness` * (d² - 1). So "none of these" is the
    most likely answer exactly if d > 1, and the probabilities of the classes among each
    other are those without it.

    The directions, means and steepness do not train: `fit_head` and `calibrate` fit
    them. At first all distances are zero, and nothing is rejected.

    Args:
        num_outputs: one more than there are classes, at least 2.
        rejection_dim: R, the number of directions, at least 1.
        representation_size: as in `MLPHead`.
        activation: of all outputs, such as "softmax". Default None: logits.
        use_bias: whether the classifier has a bias. Default True.

    Input shape: (B, D).
    Output shape: (B, num_outputs), "none of these" last.

    Raises:
        ValueError: if a number is out of range, or the input is not of rank 2.

    Example:
        ```python
        head = keras_vit.layers.RejectingHead(num_outputs=11, rejection_dim=9)
        tuple(head(keras.ops.ones((2, 64))).shape)  # (2, 11)
        ```

    Reference: arXiv:1807.03888, section 2.1 (the distance).
    """

    def __init__(
        self,
        num_outputs: int,
        rejection_dim: int,
        representation_size: int | None = None,
        activation: str | None = None,
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_count("num_outputs", num_outputs, 2)
        check_count("rejection_dim", rejection_dim, 1)
        self.num_outputs = num_outputs
        self.rejection_dim = rejection_dim
        self.representation_size = representation_size
        self.activation = activation
        self.use_bias = use_bias
        self._activate = get_activation(activation) if activation else None
        with self.sublayers() as named:
            self.representation = None
            if representation_size is not None:
                options = {"activation": "tanh", "kernel_initializer": "lecun_normal"}
                self.representation = Dense(
                    representation_size, **options, **named("representation")
                )
            self.logits = Dense(
                num_outputs - 1, None, use_bias, "zeros", **named("logits")
            )

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, D)")
        build_each(input_shape, self.representation)
        width = self.representation_size or input_shape[-1]
        build_each((input_shape[0], width), self.logits)
        directions, classes = self.rejection_dim, self.num_outputs - 1
        shapes = {
            "rejection_kernel": (width, directions),
            "rejection_bias": (directions,),
            "rejection_means": (directions, classes),
            "rejection_steepness": (1,),
        }
        for name, shape in shapes.items():
            initializer = "ones" if name.endswith("steepness") else "zeros"
            weight = self.add_weight(
                shape=shape, initializer=initializer, trainable=False, name=name
            )
            setattr(self, name, weight)

    def squared_distance(self, features: Tensor) -> Tensor:
        """Return d² to the nearest class, (B, 1), of what the classifier sees, (B, D).

        Pictures are rejected where it is above 1.
        """
        dtype = wide_dtype(self)
        kernel, bias, means = (
            ops.cast(weight, dtype)
            for weight in (
                self.rejection_kernel,
                self.rejection_bias,
                self.rejection_means,
            )
        )
        x = ops.matmul(ops.cast(features, dtype), kernel) + bias  # (B, R)
        # |x - m|² = |x|² - (2 x m - |m|²) without an array of rank 3.
        near = ops.matmul(x, 2.0 * means) - ops.sum(means * means, axis=0)  # (B, K)
        length = ops.sum(x * x, axis=-1, keepdims=True)
        return length - ops.max(near, axis=-1, keepdims=True)

    def call(self, token: Tensor) -> Tensor:
        if self.representation is not None:
            token = self.representation(token)  # (B, representation_size)
        logits = self.logits(token)  # (B, K)
        squared = ops.minimum(self.squared_distance(token), _FARTHEST)
        steepness = ops.cast(self.rejection_steepness, squared.dtype)
        strange = ops.cast(steepness * (squared - 1.0), logits.dtype)
        none = ops.max(logits, axis=-1, keepdims=True) + strange
        x = ops.concatenate([logits, none], axis=-1)  # (B, K + 1)
        return x if self._activate is None else self._activate(x)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.num_outputs)
