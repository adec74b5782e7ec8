"""Write a model in a foreign format: into a folder that appears when it is complete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keras_vit.checkpoints.entries import store
from keras_vit.checkpoints.huggingface_preprocessing import huggingface_preprocessing
from keras_vit.checkpoints.huggingface_writing import (
    huggingface_arrays,
    huggingface_config,
)
from keras_vit.checkpoints.npz import npz_arrays
from keras_vit.checkpoints.npz_file import write_npz as write_npz_file
from keras_vit.checkpoints.safetensors import write_safetensors
from keras_vit.checkpoints.timm import timm_entries
from keras_vit.checkpoints.timm_writing import timm_model, timm_pretrained_cfg


def write_timm(model: Any, folder: Path) -> None:
    """Write `config.json` and `model.safetensors` as timm reads them.

    `timm.create_model("local-dir:FOLDER", pretrained=True)` builds the model.
    """
    config = model.config
    found = timm_model(config)
    arrays = store(model, timm_entries(config, found.names))
    facts: dict[str, Any] = {
        "architecture": found.architecture,
        "num_classes": config.num_classes or 0,
        "num_features": config.hidden_dim,
        "pretrained_cfg": timm_pretrained_cfg(config, model.preprocessing),
        "model_args": found.model_args,
    }
    if model.class_names is not None:
        facts["label_names"] = list(model.class_names)
    write_safetensors(folder / "model.safetensors", arrays, {"format": "pt"})
    write_json(folder / "config.json", facts)


def write_huggingface(model: Any, folder: Path) -> None:
    """Write `config.json`, `model.safetensors` and `preprocessor_config.json`.

    The model type is the first of transformers that can express the config;
    `AutoModelForImageClassification.from_pretrained(FOLDER)` builds the model.
    """
    arrays = huggingface_arrays(model)
    config = huggingface_config(model.config, class_names=model.class_names)
    write_safetensors(folder / "model.safetensors", arrays, {"format": "pt"})
    write_json(folder / "config.json", config)
    if model.preprocessing is not None:
        preprocessing = huggingface_preprocessing(model.preprocessing)
        write_json(folder / "preprocessor_config.json", preprocessing)


def write_npz(model: Any, folder: Path) -> None:
    """Write `model.npz` in the naming of vision_transformer, or of big_vision."""
    write_npz_file(folder / "model.npz", npz_arrays(model))


def write_json(path: Path, value: Any) -> None:
    """Write one JSON object; the caller's folder is not yet in place."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
