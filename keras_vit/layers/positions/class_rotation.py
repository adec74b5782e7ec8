"""A learned rotation of the class token. Shapes: T tokens, d width of a head."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import Shape, Tensor
from keras_vit.layers.positions.rotation import check_layout, rotation_table


@keras.saving.register_keras_serializable(package="keras_vit")
class ClassRotation(keras.layers.Layer):
    """Give the first token a learned rotation, the same in all heads and blocks.

    Layers of rotary positions leave it unrotated.

    Args:
        layout: "interleaved" (default) or "half", that of the table.

    Input shape: a table of rotations, (2, T, 1, d): cosines and sines.
    Output shape: (2, T, 1, d).

    Raises:
        ValueError: if the layout is unknown, or the input is no such table.

    Example:
        ```python
        rotary = keras_vit.layers.RotaryPositions(
            head_dim=16, patch_size=(16, 16), num_prefix_tokens=1
        )
        table = rotary(keras.ops.ones((1, 224, 224, 3)))
        tuple(keras_vit.layers.ClassRotation()(table).shape)  # (2, 197, 1, 16)
        ```

    Reference: transformers 5.23, models/mlcd/modeling_mlcd.py, `class_pos_emb`.
    """

    def __init__(self, layout: str = "interleaved", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_layout(layout)
        self.layout = layout

    def build(self, input_shape: Shape) -> None:
        shape: Any = tuple(input_shape)
        if len(shape) != 4 or shape[0] not in (2, None) or shape[2] != 1:
            raise ValueError(
                "ClassRotation needs a table of rotations, (2, T, 1, d), received "
                f"shape {shape}. Call it on the output of RotaryPositions."
            )
        normal = keras.initializers.RandomNormal(stddev=1.0)
        self.angles = self.add_weight((1, shape[3] // 2), normal, name="angles")

    def call(self, rotation: Tensor) -> Tensor:
        angles = ops.cast(self.angles, "float32")
        first = rotation_table(angles[:, None], self.layout)  # (2, 1, 1, d)
        first = ops.cast(first, self.compute_dtype)
        return ops.concatenate([first, rotation[:, 1:]], axis=1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layout": self.layout}
