"""Fill up the patches at the border of images. B batch, H W C image, P patch."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import Shape, Tensor, check_rank
from keras_vit.own_arguments import own_arguments


@keras.saving.register_keras_serializable(package="keras_vit")
class ImagePadding(keras.layers.Layer):
    """Add zeros at the bottom and at the right, up to whole patches.

    Args:
        patch_size: pixels, (height, width).

    Input shape: (B, H, W, C).
    Output shape: (B, H rounded up to a multiple of P, W likewise, C).

    Raises:
        ValueError: if the input is not of rank 4.

    Example:
        ```python
        padding = keras_vit.layers.ImagePadding(patch_size=(16, 16))
        tuple(padding(keras.ops.ones((1, 225, 320, 3))).shape)  # (1, 240, 320, 3)
        ```

    Reference: timm, layers/patch_embed.py, `dynamic_img_pad`.
    """

    def __init__(self, patch_size: tuple[int, int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patch_size = (patch_size[0], patch_size[1])

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, H, W, C)")

    def call(self, images: Tensor) -> Tensor:
        shape: Any = ops.shape(images)
        # Of positive numbers alone: ONNX's graphs round the others towards zero.
        bottom, right = (
            (size + patch - 1) // patch * patch - size
            for size, patch in zip(shape[1:3], self.patch_size, strict=True)
        )
        if isinstance(bottom, int) and isinstance(right, int) and not bottom + right:
            return images
        return ops.pad(images, ((0, 0), (0, bottom), (0, right), (0, 0)))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, *sizes, channels = input_shape
        height, width = (
            None if size is None else size + -size % patch
            for size, patch in zip(sizes, self.patch_size, strict=True)
        )
        return (batch, height, width, channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **own_arguments(self)}
