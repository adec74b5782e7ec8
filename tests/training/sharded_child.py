"""Checkpoints of a model that is cut over 4 forced devices, as JSON on standard output.

python sharded_child.py FOLDER
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_vit
from keras_vit.training import sharded_checkpoint
from keras_vit.training.checkpoint import (
    Position,
    load_checkpoint,
    read_header,
    save_checkpoint,
)


@contextmanager
def cut(model_devices: int | None) -> Iterator[tuple[Any, Any]]:
    """Give devices and a compiled model with new weights, which both differ."""
    kind = "single" if model_devices is None else "model_parallel"
    with keras_vit.distribute(kind, model_devices=model_devices) as devices:
        keras.utils.set_random_seed(model_devices or 0)
        model = keras_vit.ViT.from_variant("test", num_classes=3, dropout_rate=0.1)
        trained = keras_vit.training.TrainingModel(model)
        optimizer = keras_vit.training.AdamW(1e-3, use_ema=True)
        trained.compile(
            optimizer, keras_vit.training.CrossEntropy(), metrics=["accuracy"]
        )
        optimizer.build(trained.trainable_variables)
        yield devices, trained


def values(model: Any) -> list[Any]:
    variables = [*model.variables, *model.optimizer.variables]
    return [np.asarray(variable.value) for variable in variables]


def same(one: list[Any], other: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def damage(folder: Path) -> None:
    """Change one bit of the largest file of the newest checkpoint."""
    files = (folder / "checkpoint.orbax").rglob("*")
    path = max((f for f in files if f.is_file()), key=lambda f: f.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def main(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = {}
    with cut(2) as (_, model):
        save_checkpoint(folder, model, position=Position(0, 1), facts={"a": 1})
        expected = values(model)
        for variable in model.trainable_variables:
            variable.assign(variable.value + 1)
        save_checkpoint(folder, model, position=Position(0, 2), facts={"a": 1})
        results["names"] = sorted(path.name for path in folder.iterdir())
        newest = values(model)
    for name, model_devices in (("same", 2), ("other", 4), ("one", None)):
        with cut(model_devices) as (_, model):
            position = load_checkpoint(folder, model, facts={"a": 1})
            results[f"{name} mesh"] = [position.batch, same(values(model), newest)]
    with cut(2) as (_, model):
        damage(folder)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            position = load_checkpoint(folder, model, facts={"a": 1})
        results["damaged"] = [position.batch, same(values(model), expected)]
        results["warned"] = [str(w.message) for w in caught]
        sharded_checkpoint._has_orbax = lambda: False
        try:
            read_header(folder)
        except ImportError as error:
            results["without"] = str(error)
        save_checkpoint(folder, model, position=Position(0, 3), facts={"a": 1})
        results["names without"] = sorted(path.name for path in folder.iterdir())
        (folder / "checkpoint.previous.orbax").rename(folder / "away")
        position = load_checkpoint(folder, model, facts={"a": 1})
        results["gathered"] = [position.batch, same(values(model), expected)]
    return results


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
