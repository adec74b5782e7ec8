"""What a user writes, for a type checker in its strict mode; nothing of it is run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import keras_vit
from keras_vit import training
from keras_vit.layers import (
    MLP,
    MLPHead,
    PatchEncoder,
    Patches,
    SelfAttention,
    TransformerBlock,
)


def photographs() -> None:
    data = keras_vit.load_data("photos/", validation_fraction=0.2, seed=1)
    names: tuple[str, ...] = tuple(data.class_names)
    backbone = keras_vit.load("facebook/dinov2-small", image_size="preprocessing")
    model = keras_vit.fit_head(backbone, data, output=Path("saved_models/photos"))
    found = keras_vit.evaluate(model, data)
    accuracy: float | None = found.accuracy
    text: str = found.text()
    found.report("errors.html")
    for answers in keras_vit.predict(model, ["cat.jpg"], top=3):
        for answer in answers:
            line = f"{answer.class_name} {answer.probability:.2f}"
            print(line, names, accuracy, text)
    explanation = keras_vit.explain(model, ["cat.jpg"])[0]
    explanation.save("cat_map.png")
    values: np.ndarray = explanation.values
    print(values.shape)
    report = keras_vit.export(model, "photos.tflite", quantization="dynamic_int8")
    print(report.changes)
    embedded: np.ndarray = keras_vit.embed(model, ["cat.jpg"])
    print(embedded.shape)


def shorter_forms() -> tuple[int, int]:
    """What takes one number keeps two, and says so."""
    one = keras_vit.Preprocessing(image_size=224, mean=0.5, std=[0.2, 0.2, 0.3])
    two = keras_vit.Preprocessing(image_size=(224, 160), mean=(0.4, 0.5, 0.6))
    kept: tuple[int, int] = one.image_size
    mean: tuple[float, ...] = two.mean
    config = keras_vit.ViTConfig(image_size=224, patch_size=16, num_classes=None)
    size: tuple[int, int] | None = config.image_size
    augmentation = keras_vit.Augmentation(
        crop_area=(0.25, 1.0), rand_augment=True, color_jitter=0.3
    )
    recipe = keras_vit.Recipe(epochs=3, augmentation=augmentation)
    print(mean, size, recipe.augmentation.rand_augment)
    return kept


def lists() -> None:
    data = keras_vit.load_data("train.csv", columns={"path": "id", "label": "species"})
    tags = {"label": ["cat", "dog"], "group": None}
    several = keras_vit.load_data("columns.csv", columns=tags, multi_label=True)
    print(len(data.train), several.class_names)


def own_layers() -> tuple[Patches, PatchEncoder, TransformerBlock, MLPHead]:
    attention = SelfAttention(hidden_dim=64, num_heads=4)
    block = TransformerBlock(attention=attention, mlp=MLP(64, mlp_dim=128))
    return Patches(8), PatchEncoder(hidden_dim=64), block, MLPHead(num_classes=10)


def own_training(model: keras_vit.ViT, data: keras_vit.ImageData) -> None:
    recipe = keras_vit.training.get_recipe("small_data", epochs=3)
    result = keras_vit.train(model, data, recipe, output="runs/small")
    print(result)
    trained = training.TrainingModel(model, accumulation_steps=2)
    trained.compile(training.AdamW(1e-3), training.CrossEntropy())
    small = keras_vit.ViT(image_size=32, patch_size=8, num_classes=3)
    keras_vit.save(small, "small.keras")
    config: keras_vit.ViTConfig = small.config
    dim: int = config.hidden_dim
    print(dim, small.preprocessing)
