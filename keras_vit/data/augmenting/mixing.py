"""MixUp and CutMix: training images and labels mixed in pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from keras_vit.data.augmenting.keras_steps import (
    apply_to_batch,
    check_keras_cv,
    to_configs,
)
from keras_vit.data.checks import check_value

MixingMode = Literal["batch", "elem"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MixingDraw:
    """What decides one mixed batch.

    Args:
        shares: of the image itself, the rest is its partner's, float32 (B,).
        boxes: rows and columns that come from the partner, int64 (B, 4): top, bottom,
            left, right; empty where the images are blended instead.
    """

    shares: np.ndarray
    boxes: np.ndarray

    def part(self, images: slice) -> MixingDraw:
        """Return what is drawn for some of the images."""
        return MixingDraw(shares=self.shares[images], boxes=self.boxes[images])


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixing:
    """Blend images in pairs (MixUp) or paste a rectangle of the partner (CutMix).

    Labels become probabilities with the same shares. The arguments mean what they do in
    `timm.data.Mixup`; timm pairs an image with the one that is as far from the other
    end of the batch, here neighbours are pairs, so that a batch is the same however
    many processes share it.

    Args:
        mixup_alpha: of MixUp's Beta distribution, at least 0; 0 is no MixUp.
            Default 0.8.
        cutmix_alpha: the same for CutMix. Default 1.
        probability: that a batch or image is mixed, [0, 1]. Default 1.
        switch_probability: that it is CutMix where both are on, [0, 1]. Default 0.5.
        mode: "batch" (default) draws once per batch, "elem" for each image.
        label_smoothing: share of the probability spread over all classes, [0, 1).
            Default 0: the loss may do it; doing it here gives the same labels.
        extra: Keras or KerasCV (extra `cv`) layers that mix a batch, such as
            `keras.layers.CutMix()` or `keras_cv.layers.Mosaic()`; applied after the
            others, to the images that one process has. Default ().

    Raises:
        TypeError: if a step of `extra` is not a layer.
        ValueError: if an option is out of its range, or nothing is on.

    Example:
        ```python
        mixing = keras_vit.Mixing(mixup_alpha=0.2, cutmix_alpha=1.0)
        recipe = keras_vit.Recipe(mixing=mixing)
        recipe.mixing.probability  # 1.0
        ```

    Reference: arXiv:1710.09412; arXiv:1905.04899; timm.data.mixup.Mixup.
    """

    mixup_alpha: float = 0.8
    cutmix_alpha: float = 1.0
    probability: float = 1.0
    switch_probability: float = 0.5
    mode: MixingMode = "batch"
    label_smoothing: float = 0.0
    extra: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "extra", to_configs(self.extra, "extra"))
        for name in ("mixup_alpha", "cutmix_alpha"):
            value = getattr(self, name)
            check_value(value >= 0, name, value, "at least 0")
        for name in ("probability", "switch_probability"):
            value = getattr(self, name)
            check_value(0 <= value <= 1, name, value, "in [0, 1]")
        smoothing, modes = self.label_smoothing, list(get_args(MixingMode))
        rule = "at least 0 and below 1"
        check_value(0 <= smoothing < 1, "label_smoothing", smoothing, rule)
        check_value(self.mode in modes, "mode", self.mode, f"one of {modes}")
        if not (self.mixup_alpha or self.cutmix_alpha or self.extra):
            raise ValueError(
                "Mixing needs mixup_alpha or cutmix_alpha above 0, or a layer in "
                "extra, received none. Use mixing=None to mix nothing."
            )

    def check(self) -> None:
        """Raise an ImportError if KerasCV is needed and not installed."""
        check_keras_cv(self.extra)

    def __call__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        num_classes: int,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw how a whole batch is mixed, and mix it; see `apply`."""
        draw = self.draw(len(images), images.shape[1:3], rng)
        return self.apply(images, labels, draw, num_classes=num_classes, rng=rng)

    def draw(
        self, batch_size: int, image_size: tuple[int, int], rng: np.random.Generator
    ) -> MixingDraw:
        """Draw shares and rectangles for a batch.

        Args:
            batch_size: images, of all processes together.
            image_size: pixels, (height, width).
            rng: decides everything.
        """
        count = batch_size if self.mode == "elem" else 1
        shares = np.ones(count)
        boxes = np.zeros((count, 4), "int64")
        if self.mixup_alpha or self.cutmix_alpha:
            mixed = rng.random(count) < self.probability
            cut = rng.random(count) < self.switch_probability
            if not (self.mixup_alpha and self.cutmix_alpha):
                cut = np.full(count, self.cutmix_alpha > 0)
            alphas = np.where(cut, self.cutmix_alpha, self.mixup_alpha)
            shares = np.where(mixed, rng.beta(alphas, alphas), 1.0)
            rows = rng.integers(image_size[0], size=count)
            columns = rng.integers(image_size[1], size=count)
            for i in np.flatnonzero(mixed & cut):
                centre = int(rows[i]), int(columns[i])
                boxes[i], shares[i] = cut_box(shares[i], centre, image_size)
        return MixingDraw(
            shares=np.broadcast_to(shares.astype("float32"), (batch_size,)),
            boxes=np.broadcast_to(boxes, (batch_size, 4)),
        )

    def apply(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        draw: MixingDraw,
        *,
        num_classes: int,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mix a batch.

        Args:
            images: float32 (B, H, W, C); changed in place.
            labels: class numbers (B,), or probabilities (B, classes).
            draw: from `draw`, the rows of these images.
            num_classes: length of the labels.
            rng: decides what the layers in `extra` draw.

        Returns:
            Images, and probabilities float32 (B, classes).
        """
        partners = pairs(len(images))
        labels = probabilities(labels, num_classes, self.label_smoothing)
        images = mix_images(images, partners, draw)
        shares = draw.shares[:, None]
        labels = labels * shares + labels[partners] * (1 - shares)
        for config in self.extra:
            images, labels = apply_to_batch(config, images, labels, rng)
        return images, labels


def cut_box(
    share: float, centre: tuple[int, int], image_size: tuple[int, int]
) -> tuple[tuple[int, int, int, int], float]:
    """Return the rectangle that CutMix pastes, and the share that is left.

    Args:
        share: of the image itself that is asked for, [0, 1].
        centre: row and column around which the rectangle is; what stands over the
            border is cut off, so that the share grows.
        image_size: pixels, (height, width).

    Reference: timm.data.mixup.rand_bbox.
    """
    edges: list[int] = []
    for middle, size in zip(centre, image_size, strict=True):
        cut = int(size * np.sqrt(1 - share))
        edges += [max(middle - cut // 2, 0), min(middle + (cut + 1) // 2, size)]
    top, bottom, left, right = edges
    area = (bottom - top) * (right - left)
    return (top, bottom, left, right), 1 - area / (image_size[0] * image_size[1])


def pairs(count: int) -> np.ndarray:
    """Return the partner of each image: its neighbour, the last odd one's the first."""
    partners = np.arange(count) ^ 1
    if count % 2:
        partners[-1] = 0
    return partners


def mix_images(
    images: np.ndarray, partners: np.ndarray, draw: MixingDraw
) -> np.ndarray:
    """Mix each image with its partner, as both were before; in place.

    Args:
        images: float32 (B, H, W, C).
        partners: number of each image's partner, (B,).
        draw: shares and rectangles.
    """
    changed = np.flatnonzero(draw.shares != 1)
    # What is overwritten before its partner has read it.
    read_later = {int(partners[i]) for i in changed if partners[i] < i}
    kept = {i: images[i].copy() for i in read_later if draw.shares[i] != 1}
    for i in changed:
        partner = int(partners[i])
        other = kept[partner] if partner in kept else images[partner]
        top, bottom, left, right = draw.boxes[i]
        if bottom > top:
            images[i, top:bottom, left:right] = other[top:bottom, left:right]
        else:
            images[i] *= draw.shares[i]
            images[i] += other * (1 - draw.shares[i])
    return images


def probabilities(
    labels: np.ndarray, num_classes: int, smoothing: float = 0.0
) -> np.ndarray:
    """Return labels as probabilities, float32 (B, classes).

    Args:
        labels: class numbers (B,), or probabilities.
        num_classes: length of a row.
        smoothing: share spread evenly over all classes.
    """
    if labels.ndim == 1:
        rows = np.zeros((len(labels), num_classes), "float32")
        rows[np.arange(len(labels)), labels] = 1.0
        labels = rows
    return labels * np.float32(1 - smoothing) + np.float32(smoothing / num_classes)
