"""How batches are made of labelled images: said once, for every kind of set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from keras_vit.data.augmenting.augmentation import Augmentation
from keras_vit.data.augmenting.mixing import Mixing
from keras_vit.data.checks import check_count, check_value
from keras_vit.preprocessing import Preprocessing

ClassBalance = Literal["sampling", "weights"]


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """How batches are made of labelled images.

    What is for training only has no effect on the batches of an evaluation: there,
    `augmentation`, `mixing` and `class_balance` become None, whatever was given.

    Args:
        preprocessing: what each picture goes through.
        batch_size: images per batch, of all processes together, at least 1. Default 64.
        training: whether to shuffle, augment, mix and drop an incomplete last batch. A
            set smaller than one batch is one batch. Default False.
        augmentation: random changes while training. Default: none.
        mixing: MixUp and CutMix while training; labels become probabilities, float32
            (B, `num_classes`). Default None.
        repeated_augmentation: how often each image of an epoch is in it while training,
            changed differently each time; the epoch stays as long. Default 1.
        class_balance: while training, "sampling" draws each class equally often: rare
            images several times and common ones not at all; "weights" weighs each
            image in the loss by N / (classes * images of its class). Default None.
        seed: of order, augmentation and mixing, at least 0. Default 0.
        shard: (index, count): this process is number `index` of `count` and gets that
            part of each batch; the batch is the same for any count. Default (0, 1).
        pad: whether the last batch of an evaluation is filled up, so that all have the
            same size. Always with several processes. Default False.
        cache: False reads each picture anew; a folder keeps them decoded there; True
            keeps them in memory, resized. Default None: in memory if they fit into 256
            MiB. With random crops, training keeps pictures in a folder only.
        workers: threads that prepare batches ahead. Default: one per core but one, at
            least 2, at most 8.

    Raises:
        ImportError: if a layer of KerasCV is asked for and not installed.
        ValueError: if an option is out of its range or does not fit another one.
    """

    preprocessing: Preprocessing
    batch_size: int = 64
    training: bool = False
    augmentation: Augmentation | None = None
    mixing: Mixing | None = None
    repeated_augmentation: int = 1
    class_balance: ClassBalance | None = None
    seed: int = 0
    shard: tuple[int, int] = (0, 1)
    pad: bool = False
    cache: bool | str | Path | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        self._check_ranges()
        if self.training:
            augmentation = self.augmentation or Augmentation()
            augmentation.check(self.preprocessing)
            if self.mixing is not None:
                self.mixing.check()
            self._set(augmentation=augmentation, pad=False)
        else:
            self._set(
                augmentation=None,
                mixing=None,
                repeated_augmentation=1,
                class_balance=None,
                pad=self.pad or self.shard[1] > 1,
            )

    @property
    def has_weights(self) -> bool:
        """Whether these options make weights; images may have some of their own."""
        return self.pad or self.class_balance == "weights"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape of one image of a batch, (H, W, C)."""
        return (*self.preprocessing.image_size, self.preprocessing.channels)

    def batch_specs(
        self, batch_size: int, num_classes: int, has_weights: bool | None = None
    ) -> list[tuple[tuple[int | None, ...], str]]:
        """Return shape and type of each part of a batch of this process.

        Args:
            batch_size: images of a full batch of this process.
            num_classes: length of labels that are probabilities.
            has_weights: whether there is a third part. Default: what these options say.
        """
        # Without padding, the last batch of an evaluation may be smaller.
        count = batch_size if self.training or self.pad else None
        specs: list[tuple[tuple[int | None, ...], str]] = [
            ((count, *self.image_shape), "float32"),
            ((count,), "int64"),
        ]
        if self.mixing is not None:
            specs[1] = ((count, num_classes), "float32")
        if self.has_weights if has_weights is None else has_weights:
            specs.append(((count,), "float32"))
        return specs

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check_ranges(self) -> None:
        check_value(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        index, count = self.shard
        rule = "(index, count) with 0 <= index < count"
        check_value(0 <= index < count, "shard", tuple(self.shard), rule)
        if self.batch_size % count:
            near = max(count, self.batch_size // count * count)
            raise ValueError(
                "batch_size is the batch of all processes together and must be a "
                f"multiple of their number, received batch_size={self.batch_size} for "
                f"{count} processes. Use {near}."
            )
        repeats = self.repeated_augmentation
        check_count("repeated_augmentation", repeats, 1)
        balance, valid = self.class_balance, get_args(ClassBalance)
        rule = f"one of {list(valid)} or None"
        check_value(balance in (None, *valid), "class_balance", balance, rule)
        if balance == "sampling" and repeats > 1:
            raise ValueError(
                "class_balance='sampling' repeats rare images itself, received "
                f"repeated_augmentation={repeats}. Leave one of them out."
            )
