"""Small models of other libraries under the names that a page loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests import peers
from tests.npz_peers import make_arrays

HALF = {"image_mean": (0.5,) * 3, "image_std": (0.5,) * 3}


def prepare_peers(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the other libraries find their models, which they write here themselves."""
    stand_in_for_timm(patch, folder)
    stand_in_for_transformers(patch, folder)
    stand_in_for_keras_hub(patch)
    np.savez(folder / "ViT-B_16_imagenet21k+imagenet2012.npz", **make_arrays())
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 24, 32, 32, 3), dtype="uint8")
    labels = np.arange(24)[:, np.newaxis] % 3
    parts = tuple((part, labels) for part in pixels)
    patch.setattr(keras.datasets.cifar100, "load_data", lambda: parts)


def stand_in_for_timm(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let timm make the model without download, and write it as for the hub."""
    timm = peers.import_timm()
    create_model = timm.create_model

    def create(name: str, *, pretrained: bool) -> Any:
        assert pretrained
        model = create_model(name, pretrained=False, depth=2)
        peers.set_random_parameters(model)
        peers.write_timm(model, folder / name)
        return model

    patch.setattr(timm, "create_model", create)


def stand_in_for_transformers(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let transformers read a folder in place of the hub."""
    import transformers

    name = "google/vit-base-patch16-224"
    path = folder / name.replace("/", "_")
    config = transformers.ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=3,
        image_size=32,
        patch_size=8,
    )
    model = transformers.ViTForImageClassification(config)
    peers.set_random_parameters(model)
    model.save_pretrained(path)
    size = {"height": 32, "width": 32}
    transformers.ViTImageProcessor(size=size, **HALF).save_pretrained(path)
    for kind in ("AutoImageProcessor", "AutoModelForImageClassification"):
        auto = getattr(transformers, kind)
        read = auto.from_pretrained
        patch.setattr(auto, "from_pretrained", lambda _, read=read: read(path))


def stand_in_for_keras_hub(patch: pytest.MonkeyPatch) -> None:
    """Let KerasHub make the model in place of reading its preset."""
    import keras_hub

    hub = keras_hub.models
    converter = keras_hub.layers.ViTImageConverter(
        image_size=(32, 32), scale=1 / 127.5, offset=-1.0
    )
    backbone = hub.ViTBackbone(
        image_shape=(32, 32, 3),
        patch_size=(8, 8),
        num_layers=2,
        num_heads=2,
        hidden_dim=32,
        mlp_dim=64,
    )
    model = hub.ViTImageClassifier(
        backbone,
        num_classes=3,
        preprocessor=hub.ViTImageClassifierPreprocessor(image_converter=converter),
    )
    rng = np.random.default_rng(0)
    model.set_weights([0.2 * rng.normal(size=w.shape) for w in model.get_weights()])
    patch.setattr(hub.ViTImageClassifier, "from_preset", lambda _: model)
