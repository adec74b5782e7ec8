"""What a foreign checkpoint holds, whatever its format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from keras_vit.checkpoints.entries import Arrays, Entry
from keras_vit.config import ViTConfig
from keras_vit.preprocessing import Preprocessing


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint that has been opened: its model is described, nothing is built.

    Args:
        source: where it came from, for messages.
        config: of the model that was saved.
        arrays: by their foreign names; read when they are asked for.
        entries: from a config to where the format keeps each weight.
        preprocessing: what its images go through; None if the format does not say.
        class_names: one per class, or None.
        is_ignored: tells names of arrays that are left out on purpose.
        interpolation: how its authors resample positions, see `resize_matrix`.
        antialias: whether the kernel grows when they shrink.
        is_cropped: whether they resample to a square first and cut it at the top left.
        image_size: pixels to build the model for unless asked otherwise. Default None:
            those of the config, which positions belong to.
    """

    source: str
    config: ViTConfig
    arrays: Arrays
    entries: Callable[[ViTConfig], list[Entry]]
    preprocessing: Preprocessing | None = None
    class_names: tuple[str, ...] | None = None
    is_ignored: Callable[[str], bool] = field(default=lambda name: False)
    interpolation: str = "bicubic"
    antialias: bool = True
    is_cropped: bool = False
    image_size: tuple[int, int] | None = None
