"""Open the `.npz` files of Google's JAX code: vision_transformer and big_vision."""

from __future__ import annotations

from pathlib import Path

from keras_vit.checkpoints.checkpoint import Checkpoint
from keras_vit.checkpoints.files.npz import NpzFile
from keras_vit.checkpoints.google.config import npz_config, npz_naming
from keras_vit.checkpoints.google.entries import npz_entries
from keras_vit.checkpoints.resample import Resampling
from keras_vit.preprocessing import Preprocessing


def open_npz(path: str | Path) -> Checkpoint:
    """Describe a checkpoint of Google's code.

    Args:
        path: the file.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is damaged or holds no plain ViT.
    """
    arrays = NpzFile(path)
    try:
        naming = npz_naming(arrays.shapes)
        config = npz_config(naming, arrays.shapes)
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: {error}") from error
    return Checkpoint(
        source=str(path),
        config=config,
        arrays=arrays,
        entries=lambda config: npz_entries(config, naming),
        # The evaluation of both code bases: the whole image, values in [-1, 1].
        preprocessing=Preprocessing(
            image_size=config.image_size,  # pyright: ignore[reportArgumentType]
            channels=config.channels,
            resize="squash",
            interpolation="bilinear",
        ),
        is_ignored=lambda name: not name.startswith(naming.prefix),
        resampling=Resampling("bilinear", antialias=naming.is_linear),
    )
