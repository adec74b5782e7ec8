"""The named recipes, each with the table that it reproduces.

`docs/recipes.md` shows them side by side, and says what no recipe can set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from keras_vit.data.augmenting.augmentation import Augmentation
from keras_vit.data.augmenting.mixing import Mixing
from keras_vit.data.augmenting.rand_augment import RandAugment
from keras_vit.training.recipe import Recipe
from keras_vit.training.recipe_checks import check_options

# Crop and flip, as torchvision and timm draw them by default, and as Google does.
_CROP_AND_FLIP = Augmentation(crop_area=(0.08, 1.0), horizontal_flip=True)
_GOOGLE_CROP_AND_FLIP = replace(_CROP_AND_FLIP, crop_area=(0.05, 1.0))
# timm's rand-m9-mstd0.5-inc1, MixUp 0.8 or CutMix 1.0, as in DeiT's main.py.
_TIMM_RAND_AUGMENT = replace(_CROP_AND_FLIP, rand_augment=RandAugment())
_MIXUP_OR_CUTMIX = Mixing(mixup_alpha=0.8, cutmix_alpha=1.0, switch_probability=0.5)
# DeiT III, with either crop.
_THREE_AUGMENT = replace(_CROP_AND_FLIP, three_augment=True, color_jitter=(0.3,) * 3)
_THREE_AUGMENT_SIMPLE_CROP = replace(_THREE_AUGMENT, crop_area=None, crop_padding=4)


def _google_rand_augment(magnitude: float) -> Augmentation:
    """Return crop, flip and `randaug(2, magnitude)` of google-research/big_vision."""
    rand_augment = RandAugment.big_vision(magnitude)
    return replace(_GOOGLE_CROP_AND_FLIP, rand_augment=rand_augment)


def _google_mixup(alpha: float) -> Mixing:
    return Mixing(mixup_alpha=alpha, cutmix_alpha=0.0)


# What the rows of one paper have in common.
_BIG_VISION: dict[str, Any] = {
    "learning_rate": 1e-3,
    "weight_decay": 0.1,
    "label_smoothing": 0.0,
    "gradient_clip_norm": 1.0,
}
_DEIT3: dict[str, Any] = {
    "batch_size": 2048,
    "final_learning_rate": 1e-5,
    "warmup_epochs": 5,
    "optimizer_name": "lamb",
    "gradient_clip_norm": 1.0,
    "stochastic_depth_curve": "constant",
}
_DEIT3_21K: dict[str, Any] = {
    **_DEIT3,
    "weight_decay": 0.02,
    "label_smoothing": 0.1,
    "augmentation": _THREE_AUGMENT_SIMPLE_CROP,
    "mixing": Mixing(mixup_alpha=0.0, cutmix_alpha=1.0),
}

# The head is right already: no smoothing, which it was not fitted with, and crops that
# leave most of a picture.
_AFTER_THE_HEAD: dict[str, Any] = {
    "epochs": 10,
    "batch_size": 32,
    "warmup_epochs": 1,
    "label_smoothing": 0.0,
    "gradient_clip_norm": 1.0,
    "augmentation": replace(_CROP_AND_FLIP, crop_area=(0.5, 1.0)),
}

# What trains on from a head that was fitted first.
AFTER_A_HEAD = ("photos_pretrained", "photos_lora")

RECIPES: Mapping[str, Recipe] = {
    "small_data": Recipe(
        source="keras_vit: from random weights on a few thousand images; "
        "benchmarks/digits.py measures it",
        epochs=200,
        learning_rate=2e-3,
        weight_decay=0.1,
        label_smoothing=0.05,
        augmentation=Augmentation(rotation=15.0, shear=10.0, translation=0.1, zoom=0.1),
    ),
    "photos": Recipe(
        source="keras_vit: a start for folders of photos, from random or trained "
        "weights; crops of at least a quarter and flips; no paper's table",
        epochs=90,
        batch_size=128,
        augmentation=replace(_CROP_AND_FLIP, crop_area=(0.25, 1.0)),
    ),
    "photos_pretrained": Recipe(
        source="keras_vit: all weights of a pretrained model, from a head that was "
        "fitted to its features (arXiv:2202.10054: first the head, then all), with a "
        "lower rate for each layer below it (arXiv:2106.08254; 0.75 as in "
        "arXiv:2111.06377, table 9) and few epochs; no paper's table",
        **_AFTER_THE_HEAD,
        learning_rate=1e-4,
        weight_decay=0.05,
        layer_decay=0.75,
    ),
    "photos_lora": Recipe(
        source="keras_vit: the same with low-rank factors (arXiv:2106.09685) on "
        "queries, keys and values, rank 8 as in arXiv:2206.04673, whose rate of 1e-3 "
        "is for 100 epochs; no paper's table",
        **_AFTER_THE_HEAD,
        learning_rate=5e-4,
        weight_decay=0.0,
        train_only="lora",
        lora_rank=8,
        lora_layers=("attention/qkv",),
    ),
    "fine_tune": Recipe(
        source="arXiv:2010.11929, appendix B.1.1 and table 4 (ImageNet: 20000 steps of "
        "512 images of 384 pixels); of the rates searched there, and the 500 steps of "
        "warm-up, those of google-research/vision_transformer, configs/common.py; its "
        "crop and flip, input_pipeline.py",
        epochs=8,
        batch_size=512,
        learning_rate=0.03,
        warmup_epochs=0.2,
        optimizer_name="sgd",
        momentum=0.9,
        weight_decay=0.0,
        label_smoothing=0.0,
        gradient_clip_norm=1.0,
        augmentation=_GOOGLE_CROP_AND_FLIP,
    ),
    "augreg": Recipe(
        source="arXiv:2106.10270, sections 3.2 and 3.3 and figure 4: B/16 from random "
        "weights on ImageNet-1k, setting medium2, with dropout and stochastic depth "
        "0.1; the rest as google-research/big_vision, configs/vit_i1k.py (10000 steps "
        "of warm-up; weight decay 1e-4 that the learning rate of 1e-3 does not "
        "multiply is 0.1 here; the head's bias starts at -6.9, and the model has "
        "representation_size=hidden_dim)",
        epochs=300,
        batch_size=4096,
        warmup_epochs=32,
        loss_name="sigmoid_cross_entropy",
        dropout_rate=0.1,
        stochastic_depth_rate=0.1,
        augmentation=_google_rand_augment(15.0),
        mixing=_google_mixup(0.5),
        **_BIG_VISION,
    ),
    "big_vision_s16": Recipe(
        source="arXiv:2205.01580, section 2 and appendix A: S/16, 90 epochs of "
        "ImageNet-1k, as google-research/big_vision, configs/vit_s16_i1k.py (10000 "
        "steps of warm-up; weight decay as for augreg); model with positions="
        "'sincos', pooling='mean' and representation_size=hidden_dim",
        epochs=90,
        batch_size=1024,
        warmup_epochs=8,
        augmentation=_google_rand_augment(10.0),
        mixing=_google_mixup(0.2),
        **_BIG_VISION,
    ),
    "deit": Recipe(
        source="arXiv:2012.12877, table 9 (DeiT-B, 300 epochs of ImageNet-1k) and "
        "main.py of facebookresearch/deit: 5e-4 per 512 images, down to 1e-5",
        epochs=300,
        batch_size=1024,
        learning_rate=1e-3,
        final_learning_rate=1e-5,
        warmup_epochs=5,
        weight_decay=0.05,
        label_smoothing=0.1,
        gradient_clip_norm=None,
        stochastic_depth_rate=0.1,
        augmentation=replace(_TIMM_RAND_AUGMENT, random_erasing=0.25),
        mixing=_MIXUP_OR_CUTMIX,
        repeated_augmentation=3,
    ),
    "deit3": Recipe(
        source="arXiv:2204.07118, table 1 (ImageNet-1k), with the numbers of the "
        "command for ViT-B in README_revenge.md of facebookresearch/deit (800 epochs "
        "at 192 pixels); gradients clipped by its optimizer, FusedLAMB; labels of "
        "mixed images become 0 or 1, engine.py; model with layer_scale=1e-4",
        epochs=800,
        learning_rate=3e-3,
        weight_decay=0.05,
        label_smoothing=0.0,
        loss_name="binary_cross_entropy",
        stochastic_depth_rate=0.2,
        augmentation=_THREE_AUGMENT,
        mixing=_MIXUP_OR_CUTMIX,
        repeated_augmentation=3,
        **_DEIT3,
    ),
    "deit3_21k": Recipe(
        source="arXiv:2204.07118, table 1 (ImageNet-21k), with the numbers of the "
        "command for ViT-B in README_revenge.md of facebookresearch/deit (224 "
        "pixels); model with layer_scale=1e-4",
        epochs=240,
        learning_rate=1e-3,
        stochastic_depth_rate=0.1,
        **_DEIT3_21K,
    ),
    "deit3_fine_tune": Recipe(
        source="arXiv:2204.07118, table 1 (fine-tuning on ImageNet-1k after "
        "ImageNet-21k), with the numbers of the command for ViT-B in "
        "README_revenge.md of facebookresearch/deit (224 pixels)",
        epochs=50,
        learning_rate=3e-4,
        stochastic_depth_rate=0.15,
        **_DEIT3_21K,
    ),
    "full_fine_tune": Recipe(
        source="arXiv:2111.06377, table 9 (ViT-B, ImageNet-1k; 1e-3 per 256 images), "
        "and main_finetune.py of facebookresearch/mae for the end of the learning "
        "rate, 1e-6; its FINETUNE.md has 5e-4, layer decay 0.65 and erasing 0.25 for "
        "the published weights",
        epochs=100,
        batch_size=1024,
        learning_rate=4e-3,
        final_learning_rate=1e-6,
        warmup_epochs=5,
        weight_decay=0.05,
        layer_decay=0.75,
        label_smoothing=0.1,
        gradient_clip_norm=None,
        stochastic_depth_rate=0.1,
        augmentation=_TIMM_RAND_AUGMENT,
        mixing=_MIXUP_OR_CUTMIX,
    ),
    "linear_probe": Recipe(
        source="eval_linear.py of facebookresearch/dino (arXiv:2104.14294), on 8 "
        "devices of 128 images: 1e-3 per 256 images; it says to search the learning "
        "rate for each checkpoint, and sees the last 4 class tokens, not one",
        epochs=100,
        batch_size=1024,
        learning_rate=4e-3,
        warmup_epochs=0,
        optimizer_name="sgd",
        momentum=0.9,
        weight_decay=0.0,
        label_smoothing=0.0,
        gradient_clip_norm=None,
        train_only="head",
        augmentation=_CROP_AND_FLIP,
    ),
    "lora": Recipe(
        source="arXiv:2206.04673 (NOAH), LoRA of arXiv:2106.09685 on VTAB-1k, B/16 of "
        "ImageNet-21k: configs/LoRA/VTAB and supernet_train_prompt.py of "
        "ZhangYuanhan-AI/NOAH (rank 8 on queries, keys and values, factor 1; images "
        "squashed to size, no augmentation)",
        epochs=100,
        batch_size=64,
        learning_rate=1e-3,
        final_learning_rate=1e-5,
        warmup_epochs=10,
        weight_decay=1e-4,
        label_smoothing=0.0,
        gradient_clip_norm=None,
        stochastic_depth_rate=0.1,
        train_only="lora",
        lora_rank=8,
        lora_layers=("attention/qkv",),
    ),
}
"""The named recipes; `docs/recipes.md` says what each is for.

Example:
    ```python
    list(keras_vit.RECIPES)[:3]  # ['small_data', 'photos', 'photos_pretrained']
    recipe = keras_vit.RECIPES["photos"]
    recipe.epochs, recipe.with_epochs(20).epochs  # (90, 20)
    ```
"""


def get_recipe(name: str, **changes: Any) -> Recipe:
    """Return the recipe called `name` with some fields changed.

    Args:
        name: a key of `RECIPES`.
        **changes: fields of `Recipe`, such as `epochs=30`.

    Raises:
        ValueError: if there is no such recipe; the message lists them.
        TypeError: if a field does not exist; the message lists them.

    Example:
        ```python
        recipe = keras_vit.training.get_recipe("photos", epochs=30, batch_size=64)
        recipe.epochs, recipe.optimizer_name  # (30, 'adamw')
        ```
    """
    if name not in RECIPES:
        raise ValueError(
            f"recipe must be one of {list(RECIPES)}, received recipe={name!r}. Build "
            "any other with keras_vit.Recipe(...)."
        )
    check_options("recipe", Recipe, changes)
    return replace(RECIPES[name], **changes)
