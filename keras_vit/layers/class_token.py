"""The learned token before the patches. Shapes: B batch, N patches, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import Shape, Tensor, check_rank, pad


@keras.saving.register_keras_serializable(package="keras_vit")
class ClassToken(keras.layers.Layer):
    """Prepend one learned token to a sequence, the same for each image.

    Zero at the start, as in the paper's code.

    Input shape: (B, N, D).
    Output shape: (B, 1 + N, D).

    Raises:
        ValueError: if the input is not of rank 3.

    Example:
        ```python
        patches = keras.ops.ones((2, 196, 64))
        tokens = keras_vit.layers.ClassToken()(patches)
        tuple(tokens.shape)  # (2, 197, 64)
        ```

    Reference: arXiv:2010.11929, equation 1 (x_class); google-research/
    vision_transformer, vit_jax/models_vit.py, parameter `cls`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, N, D)")
        self.token = self.add_weight(
            shape=(1, 1, input_shape[-1]), initializer="zeros", name="token"
        )

    def call(self, patches: Tensor) -> Tensor:
        # Pad both and add: two ops that need no batch size. Repeating the token over
        # the batch and concatenating reads the shape at run time, which mobile runtimes
        # handle badly.
        # The cast is for rematerialization, which runs outside Keras's autocast.
        token = ops.cast(self.token, self.compute_dtype)
        token = pad(token, 1, 0, ops.shape(patches)[1])  # (1, 1 + N, D)
        return pad(patches, 1, 1) + token  # (B, 1 + N, D)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, length, width = input_shape
        return (batch, None if length is None else length + 1, width)

    def get_config(self) -> dict[str, Any]:
        return super().get_config()
