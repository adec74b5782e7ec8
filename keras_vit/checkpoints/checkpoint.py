"""What a foreign checkpoint holds, whatever its format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from keras_vit.checkpoints.entries import Arrays, Entry
from keras_vit.checkpoints.resample import Resampling
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
        preprocessing: what its images go through, for the size of the config; None if
            the format does not say.
        own_preprocessing: the same at the size that its files state for it, which may
            be another than that of the config; None if they state none.
        class_names: one per class, or None.
        is_ignored: tells names of arrays that are left out on purpose.
        resampling: how its authors fit positions and patches to another size.
        image_size: pixels to build the model for unless asked otherwise. Default None:
            those of the config, which positions belong to.
        pad_images: whether its model fills up patches at the border of images. That of
            the config is what the positions were made for.
        stated: what the files say of their arrays: "all"; "architecture", which leaves
            open what size the positions belong to; or "nothing", so that options of
            the user describe what is there.
    """

    source: str
    config: ViTConfig
    arrays: Arrays
    entries: Callable[[ViTConfig], list[Entry]]
    preprocessing: Preprocessing | None = None
    own_preprocessing: Preprocessing | None = None
    class_names: tuple[str, ...] | None = None
    is_ignored: Callable[[str], bool] = field(default=lambda name: False)
    resampling: Resampling = Resampling()
    image_size: tuple[int, int] | None = None
    pad_images: bool = False
    stated: Literal["all", "architecture", "nothing"] = "all"
