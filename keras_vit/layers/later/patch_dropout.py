"""Train on a random share of the patches. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import Shape, Tensor, check_rank, check_rate
from keras_vit.own_arguments import own_arguments


@keras.saving.register_keras_serializable(package="keras_vit")
class PatchDropout(keras.layers.Layer):
    """Keep a random share of the patch tokens of each image while training.

    The others are removed, not zeroed, so that a step gets cheaper. The tokens before
    the patches stay. At inference, and with rate 0, this layer returns its input. It
    stands after the positions, because the order of the patches is lost.

    Args:
        rate: share of the patches that is removed, [0, 1); at least one stays.
        num_prefix_tokens: number of tokens before the patches. Default 1.
        seed: of the choice. Default None: drawn from Keras's global seed.

    Call arguments:
        tokens: the sequence.
        training: whether patches are removed.

    Input shape: (B, T, D).
    Output shape: (B, T, D); in training T is smaller.

    Raises:
        ValueError: if `rate` is out of range.

    Example:
        ```python
        dropout = keras_vit.layers.PatchDropout(rate=0.75)
        tokens = keras.ops.ones((2, 197, 64))
        tuple(dropout(tokens, training=True).shape)  # (2, 50, 64)
        tuple(dropout(tokens).shape)  # (2, 197, 64)
        ```

    Reference: arXiv:2208.07220; timm's PatchDropout.
    """

    def __init__(
        self,
        rate: float,
        num_prefix_tokens: int = 1,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_rate("rate", rate)
        self.rate = rate
        self.num_prefix_tokens = num_prefix_tokens
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, T, D)")

    def call(self, tokens: Tensor, training: bool | None = None) -> Tensor:
        if not training or not self.rate:
            return tokens
        prefix = self.num_prefix_tokens
        patches = tokens[:, prefix:]  # (B, N, D)
        shape: Any = ops.shape(patches)
        noise = keras.random.uniform(shape[:2], seed=self.seed_generator)
        order = ops.argsort(noise, axis=1)[:, : self._num_kept(shape[1])]
        kept = ops.take_along_axis(patches, order[:, :, None], axis=1)
        return ops.concatenate([tokens[:, :prefix], kept], axis=1)  # (B, fewer, D)

    def _num_kept(self, num_patches: Any) -> Any:
        if isinstance(num_patches, int):
            return max(1, int(num_patches * (1 - self.rate)))
        kept = ops.cast(num_patches, "float32") * (1 - self.rate)
        return ops.maximum(1, ops.cast(kept, "int32"))

    def rematerialized_call(
        self, layer_call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Callable[..., Any]:
        return layer_call  # A second choice would be another one, and costs nothing.

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **own_arguments(self)}
