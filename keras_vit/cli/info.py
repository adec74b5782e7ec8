"""The command that describes a model."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras

from keras_vit.cli.arguments import MODEL_HELP, Commands, add_command, print_found
from keras_vit.exporting.litert.audit import audit
from keras_vit.inference.predictor import find_model
from keras_vit.keras_file import load_keras
from keras_vit.metadata import read_metadata
from keras_vit.training.progress import macs_per_image


def add_info(commands: Commands) -> None:
    """Add `keras-vit info` to the commands."""
    parser = add_command(
        commands, run_info, "info", "describe a model", "saved_models/digits"
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)


def run_info(options: Namespace) -> None:
    """Print what a model file says about itself."""
    path = find_model(options.model)
    audited = audit(path) if path.suffix == ".tflite" else None
    facts = _facts(path)
    if audited is not None:
        facts["ops"] = {op.name: op.count for op in audited.ops}
        facts["xnnpack_partitions"] = audited.xnnpack_partitions
        facts["dynamic_shapes"] = audited.dynamic_shapes
    lines = [f"{name:19}{_text(value)}" for name, value in facts.items()]
    if audited is not None:
        facts["audit"] = asdict(audited)["ops"]
        lines += ["", audited.table()]
    print_found(options, facts, *lines)


def _facts(path: Path) -> dict[str, Any]:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    num_bytes = sum(file.stat().st_size for file in files)
    is_keras = path.suffix == ".keras"
    facts = _keras_facts(load_keras(path)) if is_keras else _file_facts(path)
    return {"path": str(path), "bytes": num_bytes, **facts}


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k}={v}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value[:20])) + (", …" if len(value) > 20 else "")
    return f"{value:,}" if isinstance(value, int) else str(value)


def _file_facts(path: Path) -> dict[str, Any]:
    try:
        metadata = read_metadata(path)
    except ValueError:
        if path.suffix != ".tflite":
            raise
        return {"metadata": "none of keras_vit"}  # the ops can be told all the same
    about = metadata.get("about", {})  # files of before have none
    made_by = about.get("provenance", {})
    oldest = metadata.get("min_runtime_version")
    keys = ("input", "output", "preprocessing", "class_names", "config")
    return {
        **{key: text for key, text in about.items() if key != "provenance"},
        **({"made by": made_by} if made_by else {}),
        **{key: metadata[key] for key in keys},
        **({"needs": f"runtime {oldest}"} if oldest else {}),
    }


def _keras_facts(model: keras.Model) -> dict[str, Any]:
    config = getattr(model, "config", None)
    preprocessing = getattr(model, "preprocessing", None)
    thresholds = getattr(model, "thresholds", None)
    return {
        "parameters": model.count_params(),
        "macs": macs_per_image(model),
        "input_shape": list(model.input_shape),
        "output_shape": list(model.output_shape),
        "dtype": model.dtype_policy.name,
        "class_names": list(getattr(model, "class_names", None) or []),
        **({"thresholds": list(thresholds)} if thresholds else {}),
        "preprocessing": preprocessing and asdict(preprocessing),
        "config": config and asdict(config),
    }
