"""Cut images into flat patches. Shapes: B batch, H W C image, P patch, N patches."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.config.options import Pair
from keras_vit.layers.base.layer import Shape, Tensor, check_rank


@keras.saving.register_keras_serializable(package="keras_vit")
class Patches(keras.layers.Layer):
    """Cut images into a row-major sequence of flat, non-overlapping patches.

    A patch keeps its pixels in the order row, column, channel, so a convolution kernel
    of shape (P, P, C, D) and a dense kernel of shape (P * P * C, D) hold the same
    numbers in the same order. Pixels at the bottom and right border that do not fill a
    patch are dropped.

    Args:
        patch_size: pixels, one number or (height, width), each at least 1.

    Input shape: (B, H, W, C); H and W at least one patch.
    Output shape: (B, N, P * P * C), N = (H // P) * (W // P).

    Raises:
        TypeError: if `patch_size` is no number of pixels.
        ValueError: if it is below 1, or the images are not of rank 4 or smaller than a
            patch.

    Example:
        ```python
        images = keras.ops.ones((2, 224, 224, 3))
        patches = keras_vit.layers.Patches(patch_size=16)(images)
        tuple(patches.shape)  # (2, 196, 768)
        ```

    Reference: arXiv:2010.11929, section 3.1: x_p, the sequence of flattened patches.
    """

    def __init__(self, patch_size: int | tuple[int, int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patch_size = Pair()("patch_size", patch_size)

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, H, W, C)")
        self._check_size(input_shape)

    def _check_size(self, input_shape: Shape) -> None:
        sizes = zip(input_shape[1:3], self.patch_size, strict=True)
        if any(size is not None and size < patch for size, patch in sizes):
            raise ValueError(
                "Images must be at least one patch large, received shape "
                f"{tuple(input_shape)} and patch_size={self.patch_size} (height, "
                "width) in pixels. Use larger images or a smaller patch_size."
            )

    def call(self, images: Tensor) -> Tensor:
        self._check_size(images.shape)  # Again: built for any size, it learns it here.
        height, width = self.patch_size
        _, image_height, image_width, channels = ops.shape(images)
        rows, columns = image_height // height, image_width // width
        if images.shape[1] != rows * height or images.shape[2] != columns * width:
            images = images[:, : rows * height, : columns * width]
        # Three steps that never exceed rank 4, because mobile runtimes stop there. This
        # with a matrix product trains faster than a strided convolution and runs faster
        # in LiteRT; the forward pass is equal within the noise of a busy machine, see
        # benchmarks/patch_embedding.py.
        x = ops.reshape(images, (-1, height, columns, width * channels))
        x = ops.transpose(x, (0, 2, 1, 3))  # (B * H/P, W/P, P, P * C)
        return ops.reshape(x, (-1, rows * columns, height * width * channels))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, rows, columns, channels = input_shape
        num_patches, (height, width) = None, self.patch_size
        if rows is not None and columns is not None:
            num_patches = (rows // height) * (columns // width)
        patch_dim = None if channels is None else height * width * channels
        return (batch, num_patches, patch_dim)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "patch_size": self.patch_size}
