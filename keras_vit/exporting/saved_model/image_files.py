"""JPEG and PNG files become preprocessed images, in TensorFlow's ops.

What `keras_vit.Preprocessing` does with files, so that a server needs no other code.

Shapes: B batch, H W C image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_vit.exporting.image_preprocessing import ImagePreprocessing
from keras_vit.preprocessing import Preprocessing

# Where red, green, blue and alpha stand if a file has 1, 2, 3 or 4 channels and one
# that is opaque is put behind them.
_RGBA = ((0, 0, 0, 1), (0, 0, 0, 1), (0, 1, 2, 3), (0, 1, 2, 3))
# Pillow's weights of red, green and blue in grey, in units of 2 ** -16.
_GREY = (19595, 38470, 7471)
# The entry of EXIF that holds the orientation, up to its number: tag 0x112, one short.
# Big-endian and little-endian. Reference: Exif 2.3, 4.6.2 and 4.6.4.
_ORIENTATION = (b"\x01\x12\x00\x03\x00\x00\x00\x01\x00", b"\x12\x01\x03\x00\x01\0\0\0")
# EXIF is at the front of a file, in a segment of at most so many bytes.
_HEAD = 2**16
# What makes a picture upright, by its orientation.
_TRANSPOSED, _LEFT_RIGHT, _UP_DOWN = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)


def image_reader(preprocessing: Preprocessing) -> Callable[[Any], Any]:
    """Return the function from image files, strings (B,), to images (B, H, W, C).

    Args:
        preprocessing: of the model.
    """
    import tensorflow as tf

    resize = ImagePreprocessing(preprocessing, dtype="float32", name="resize")
    channels = preprocessing.channels

    def read(image_bytes: Any) -> Any:
        pixels = tf.io.decode_image(image_bytes, expand_animations=False)
        pixels = _with_channels(pixels, channels, preprocessing.transparency)
        pixels = _upright(pixels, image_bytes)
        pixels.set_shape((None, None, channels))
        return resize(pixels[None])[0]

    spec = tf.TensorSpec((*preprocessing.image_size, channels), tf.float32)
    return lambda files: tf.map_fn(read, files, fn_output_signature=spec)


def _with_channels(pixels: Any, channels: int, transparency: str) -> Any:
    """Return pixels, bytes (H, W, 1 to 4), as integers (H, W, channels)."""
    import tensorflow as tf

    opaque = tf.fill((*tf.unstack(tf.shape(pixels))[:2], 1), tf.constant(255, tf.uint8))
    padded = tf.cast(tf.concat([pixels, opaque], axis=-1), tf.int32)
    order = tf.gather(tf.constant(_RGBA), tf.shape(pixels)[-1] - 1)
    rgba = tf.gather(padded, order, axis=-1)
    if channels == 4:
        return rgba
    color, alpha = rgba[..., :3], rgba[..., 3:]
    if transparency == "white":
        color = (color * alpha + 255 * (255 - alpha) + 127) // 255
    if channels == 3:
        return color
    grey = tf.reduce_sum(color * tf.constant(_GREY), axis=-1, keepdims=True)
    return (grey + 2**15) // 2**16


def _upright(pixels: Any, image_bytes: Any) -> Any:
    """Turn a picture, (H, W, C), as its camera says it is to be seen."""
    import tensorflow as tf

    number = _orientation(image_bytes)

    def one_of(numbers: tuple[int, ...]) -> Any:
        return tf.reduce_any(tf.equal(number, tf.constant(numbers)))

    transposed = tf.cond(
        one_of(_TRANSPOSED), lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels
    )
    flipped = tf.cond(
        one_of(_LEFT_RIGHT), lambda: transposed[:, ::-1], lambda: transposed
    )
    return tf.cond(one_of(_UP_DOWN), lambda: flipped[::-1], lambda: flipped)


def _orientation(image_bytes: Any) -> Any:
    """Return the orientation of a file as EXIF counts, 1 where it says nothing."""
    import tensorflow as tf

    head = tf.io.decode_raw(tf.strings.substr(image_bytes, 0, _HEAD), tf.uint8)
    number = tf.constant(1)
    for entry in _ORIENTATION:
        count = tf.maximum(tf.size(head) - len(entry), 0)
        equal = [head[i : i + count] == byte for i, byte in enumerate(entry)]
        here = tf.reduce_all(tf.stack(equal), axis=0)  # (count,)
        place = tf.concat([tf.where(here)[:, 0], [-1]], axis=0)[0]
        found = tf.cast(head[place + len(entry)], tf.int32)
        number = tf.where(place < 0, number, found)
    return number
