"""A layer together with its attention weights. B batch, h heads, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras

from keras_vit.layers.base.layer import (
    CompositeLayer,
    Shape,
    Tensor,
    scores_options,
)


@keras.saving.register_keras_serializable(package="keras_vit")
class AttentionScores(CompositeLayer):
    """Run a block or a pooling that attends, and return its attention weights, too.

    In a functional model Keras 3.15 takes no second call of a layer that has more
    outputs than the first, so the layer of a model stands in here for the second call.

    Args:
        layer: block or pooling whose call takes `return_attention_scores`; it is used
            as it is, with its weights.

    Call arguments:
        tokens: the sequence, (B, T, D).
        rotation: passed on to a block that takes it. Default None.
        attention_offset: passed on, added to the attention weights. Default None.
        training: whether dropout is active.

    Output shape: that of the layer, and the weights, (B, h, T, T) for a block.

    Example:
        ```python
        block = keras_vit.ViT.from_variant("test").get_layer("block_0")
        attending = keras_vit.layers.AttentionScores(block)
        tokens, weights = attending(keras.ops.ones((1, 17, 32)))
        tuple(weights.shape)  # (1, 2, 17, 17)
        ```
    """

    handed = ("layer",)

    def __init__(self, layer: keras.layers.Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.sublayers():
            self.layer = layer

    def build(self, input_shape: Shape) -> None:
        if not self.layer.built:
            self.layer.build(input_shape)

    def call(
        self,
        tokens: Tensor,
        rotation: Tensor | None = None,
        attention_offset: Tensor | None = None,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        options = scores_options(True, attention_offset)
        if rotation is not None:
            options["rotation"] = rotation
        return self.layer(tokens, training=training, **options)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        return keras.Operation.compute_output_spec(self, *args, **kwargs)
