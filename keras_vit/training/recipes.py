"""The named recipes, each with the table that it reproduces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from keras_vit.data.augmentation import Augmentation
from keras_vit.data.mixing import Mixing
from keras_vit.data.rand_augment import RandAugment
from keras_vit.training.recipe import Recipe

RECIPES: Mapping[str, Recipe] = {
    "small_data": Recipe(
        source="keras_vit: from random weights on a few thousand images; "
        "benchmarks/digits.py measures it",
        epochs=150,
        learning_rate=2e-3,
        weight_decay=0.1,
        label_smoothing=0.05,
        augmentation=Augmentation(rotation=15.0, shear=10.0, translation=0.1, zoom=0.1),
    ),
    "photos": Recipe(
        source="the crop and flip of arXiv:2106.10270, section 3.3, with AdamW",
        epochs=90,
        batch_size=128,
        augmentation=Augmentation(crop_area=(0.25, 1.0), horizontal_flip=True),
    ),
    "fine_tune": Recipe(
        source="arXiv:2010.11929, appendix B.1.1 and table 4 (ImageNet: 20000 steps of "
        "512 images, 384 pixels, the learning rate searched in 0.003 to 0.06); warm-up "
        "of 500 steps as in google-research/vision_transformer, configs/common.py",
        epochs=8,
        batch_size=512,
        learning_rate=0.01,
        warmup_epochs=0.2,
        optimizer_name="sgd",
        momentum=0.9,
        weight_decay=0.0,
        label_smoothing=0.0,
        gradient_clip_norm=1.0,
        augmentation=Augmentation(crop_area=(0.05, 1.0), horizontal_flip=True),
    ),
    "augreg": Recipe(
        source="arXiv:2106.10270, sections 3.2 and 3.3, the setting light2 with "
        "dropout on ImageNet-1k (300 epochs, 10000 steps of warm-up)",
        epochs=300,
        batch_size=4096,
        learning_rate=1e-3,
        warmup_epochs=32,
        weight_decay=0.1,
        label_smoothing=0.0,
        gradient_clip_norm=1.0,
        dropout_rate=0.1,
        stochastic_depth_rate=0.1,
        augmentation=Augmentation(
            crop_area=(0.05, 1.0),
            horizontal_flip=True,
            rand_augment=RandAugment(
                magnitude=10.0, magnitude_std=0.0, probability=1.0
            ),
        ),
        mixing=Mixing(mixup_alpha=0.2, cutmix_alpha=0.0),
    ),
    "big_vision_s16": Recipe(
        source="arXiv:2205.01580, section 2 and appendix A (S/16, 90 epochs, 10000 "
        "steps of warm-up); its weight decay 1e-4 is not multiplied by the learning "
        "rate of 1e-3, which makes 0.1 here; model with positions='sincos' and "
        "pooling='mean'",
        epochs=90,
        batch_size=1024,
        learning_rate=1e-3,
        warmup_epochs=8,
        weight_decay=0.1,
        label_smoothing=0.0,
        gradient_clip_norm=1.0,
        augmentation=Augmentation(
            crop_area=(0.05, 1.0),
            horizontal_flip=True,
            rand_augment=RandAugment(
                magnitude=10.0, magnitude_std=0.0, probability=1.0
            ),
        ),
        mixing=Mixing(mixup_alpha=0.2, cutmix_alpha=0.0),
    ),
    "deit": Recipe(
        source="arXiv:2012.12877, table 9 (column DeiT-B); the learning rate is 5e-4 "
        "per 512 images, and ends at 1e-5 as in the published main.py",
        epochs=300,
        batch_size=1024,
        learning_rate=1e-3,
        final_learning_rate=1e-5,
        warmup_epochs=5,
        weight_decay=0.05,
        label_smoothing=0.1,
        gradient_clip_norm=None,
        stochastic_depth_rate=0.1,
        augmentation=Augmentation(
            crop_area=(0.08, 1.0),
            horizontal_flip=True,
            rand_augment=RandAugment(magnitude=9.0, magnitude_std=0.5),
            random_erasing=0.25,
        ),
        mixing=Mixing(mixup_alpha=0.8, cutmix_alpha=1.0, switch_probability=0.5),
        repeated_augmentation=3,
    ),
    "deit3": Recipe(
        source="arXiv:2204.07118, table 1 (ImageNet-1k); stochastic depth as of ViT-B; "
        "the labels of mixed images become 0 or 1 as in the published engine.py",
        epochs=800,
        batch_size=2048,
        learning_rate=3e-3,
        warmup_epochs=5,
        optimizer_name="lamb",
        weight_decay=0.02,
        label_smoothing=0.0,
        gradient_clip_norm=1.0,
        loss_name="binary_cross_entropy",
        stochastic_depth_rate=0.2,
        augmentation=Augmentation(
            crop_area=(0.08, 1.0),
            horizontal_flip=True,
            three_augment=True,
            color_jitter=(0.3, 0.3, 0.3),
        ),
        mixing=Mixing(mixup_alpha=0.8, cutmix_alpha=1.0, switch_probability=0.5),
        repeated_augmentation=3,
    ),
    "full_fine_tune": Recipe(
        source="arXiv:2111.06377, table 9 (ViT-B: AdamW, layer-wise decay 0.75, 1e-3 "
        "per 256 images), for a small set: 64 images, 30 epochs, no mixing",
        epochs=30,
        batch_size=64,
        learning_rate=2.5e-4,
        warmup_epochs=3,
        weight_decay=0.05,
        layer_decay=0.75,
        label_smoothing=0.1,
        stochastic_depth_rate=0.1,
        augmentation=Augmentation(crop_area=(0.25, 1.0), horizontal_flip=True),
    ),
    "linear_probe": Recipe(
        source="arXiv:2104.14294, section 4.1, and its eval_linear.py (SGD, no weight "
        "decay, cosine, 100 epochs, crops and flips), with the learning rate of a "
        "classifier that starts at zero",
        epochs=100,
        batch_size=256,
        learning_rate=0.1,
        warmup_epochs=0,
        optimizer_name="sgd",
        momentum=0.9,
        weight_decay=0.0,
        label_smoothing=0.0,
        gradient_clip_norm=None,
        train_only="head",
        augmentation=Augmentation(crop_area=(0.08, 1.0), horizontal_flip=True),
    ),
    "lora": Recipe(
        source="arXiv:2106.09685, sections 4 and 5 (both matrices of the attention, "
        "AdamW), for a small set: 64 images, 30 epochs",
        epochs=30,
        batch_size=64,
        learning_rate=1e-3,
        warmup_epochs=3,
        weight_decay=0.0,
        label_smoothing=0.1,
        train_only="lora",
        lora_rank=8,
        augmentation=Augmentation(crop_area=(0.25, 1.0), horizontal_flip=True),
    ),
}


def get_recipe(name: str, **changes: Any) -> Recipe:
    """Return the recipe called `name` with some fields changed.

    Raises:
        ValueError: if there is no such recipe; the message lists them.
        TypeError: if a field does not exist; the message lists them.
    """
    if name not in RECIPES:
        raise ValueError(
            f"recipe must be one of {list(RECIPES)}, received recipe={name!r}. Build "
            "any other with keras_vit.Recipe(...)."
        )
    valid = [field.name for field in fields(Recipe)]
    unknown = sorted(set(changes) - set(valid))
    if unknown:
        raise TypeError(
            f"Unknown recipe option(s) {unknown}. The options are {valid}. Check the "
            "spelling."
        )
    return replace(RECIPES[name], **changes)
