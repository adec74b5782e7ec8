"""Folders as libraries write them, and what is no checkpoint with its way out."""

from __future__ import annotations

import contextlib
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import keras_vit
from keras_vit.checkpoints.files.weight_files import choose_weights
from keras_vit.checkpoints.open import open_checkpoint
from tests.contract import example, to_numpy
from tests.peers import import_timm, timm_model, write_timm

TINY = {"embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 3, "img_size": 32}


@pytest.fixture(scope="module")
def timm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("timm") / "model"
    write_timm(timm_model("vit_base_patch16_224", **TINY), folder)
    return folder


@pytest.fixture(scope="module")
def transformers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import_timm()  # Which makes torchvision importable.
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = ViTConfig(**sizes, intermediate_size=64, image_size=32, num_labels=3)
    torch.manual_seed(0)
    model = ViTForImageClassification(config)
    folder = tmp_path_factory.mktemp("transformers") / "model"
    model.save_pretrained(folder)
    return folder


def only(folder: Path) -> dict[str, Any]:
    """Take the weights out of a folder and return them."""
    arrays = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    return arrays


def saved(name: str) -> Callable[[Path, dict[str, Any]], None]:
    def write(folder: Path, arrays: dict[str, Any]) -> None:
        import torch

        if name.endswith(".safetensors"):
            save_file(arrays, folder / name)
        else:
            torch.save(arrays, folder / name)

    return write


def sharded(index: str, shard: str) -> Callable[[Path, dict[str, Any]], None]:
    def write(folder: Path, arrays: dict[str, Any]) -> None:
        places = {}
        for i in (0, 1):
            part = dict(list(arrays.items())[i::2])
            saved(shard.format(i + 1))(folder, part)
            places |= dict.fromkeys(part, shard.format(i + 1))
        (folder / index).write_text(json.dumps({"weight_map": places}))

    return write


def beside(*others: str) -> Callable[[Path, dict[str, Any]], None]:
    def write(folder: Path, arrays: dict[str, Any]) -> None:
        import torch

        for other in others:
            torch.save({"lr": 0.1}, folder / other)
        saved("weights.pth")(folder, arrays)

    return write


def in_module(prefix: str) -> Callable[[Path, dict[str, Any]], None]:
    def write(folder: Path, arrays: dict[str, Any]) -> None:
        arrays = {prefix + name: value for name, value in arrays.items()}
        saved("pytorch_model.bin")(folder, {"state_dict": arrays, "epoch": 3})

    return write


FOLDERS = {
    "bin": saved("pytorch_model.bin"),
    "sharded bin": sharded(
        "pytorch_model.bin.index.json", "pytorch_model-0000{}-of-00002.bin"
    ),
    "sharded safetensors": sharded(
        "model.safetensors.index.json", "model-0000{}-of-00002.safetensors"
    ),
    "variant": saved("model.fp16.safetensors"),
    "variant bin": saved("pytorch_model.non_ema.bin"),
    "sharded variant": sharded(
        "model.safetensors.index.fp16.json", "model.fp16-0000{}-of-00002.safetensors"
    ),
    "sharded variant bin": sharded(
        "pytorch_model.bin.index.fp16.json", "pytorch_model.fp16-0000{}-of-00002.bin"
    ),
    "any safetensors": saved("weights.safetensors"),
    "any pth": saved("vit_best.pth"),
    "any pth.tar": saved("model_best.pth.tar"),
    "any ckpt": saved("last.ckpt"),
    "model.pth": saved("model.pth"),
    "pytorch_model.pth": saved("pytorch_model.pth"),
    "open_clip": saved("open_clip_pytorch_model.bin"),
    "of a run": beside("training_args.bin", "optimizer.pt", "scheduler.pt"),
    "compiled": in_module("_orig_mod."),
    "lightning": in_module("model."),
    "lightning compiled": in_module("net._orig_mod."),
}


@pytest.mark.parametrize("kind", FOLDERS)
@pytest.mark.parametrize("library", ["timm_folder", "transformers_folder"])
def test_what_libraries_open_is_opened(library, kind, request, tmp_path):
    original = request.getfixturevalue(library)
    folder = Path(shutil.copytree(original, tmp_path / "copy"))
    FOLDERS[kind](folder, only(folder))
    images = example((1, 32, 32, 3))
    expected = to_numpy(keras_vit.load(original)(images))
    np.testing.assert_array_equal(to_numpy(keras_vit.load(folder)(images)), expected)


def test_the_order_of_files_is_that_of_the_libraries():
    names = ["model.safetensors", "pytorch_model.bin", "a.safetensors", "b.pth"]
    assert choose_weights(names, "folder") == "model.safetensors"
    assert choose_weights(names[1:], "folder") == "pytorch_model.bin"
    assert choose_weights(names[2:], "folder") == "a.safetensors"
    assert choose_weights(["optimizer.bin", "adapter_model.bin"], "folder") is None
    with pytest.warns(UserWarning, match="several files of weights.*'a.pth' is read"):
        assert choose_weights(["b.pth", "a.pth"], "folder") == "a.pth"
    for names in (
        ["model.fp16.safetensors", "model.bf16.safetensors"],
        ["model-00001-of-00002.safetensors"],
    ):
        with pytest.raises(ValueError, match="variants|without their index"):
            choose_weights(names, "folder")


def touched(*names: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            is_config = name.endswith("config.json")
            text = json.dumps({"model_type": "vit"}) if is_config else ""
            (folder / name).write_text(text)
        return folder

    return make


def file(name: str) -> Callable[[Path], Path]:
    return lambda folder: touched(name)(folder) / name


def own_weights(folder: Path) -> Path:
    path = folder / "model.weights.h5"
    keras_vit.ViT.from_variant("test").save_weights(path)
    return path


def float8(folder: Path) -> Path:
    import torch

    arrays = {"cls_token": torch.zeros(1, 1, 4).to(torch.float8_e4m3fn)}
    save_file(arrays, folder / "model.safetensors")
    return folder / "model.safetensors"


def holding(name: str, text: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return make


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 346284714\n"

REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "adapter": (
        touched("adapter_config.json", "adapter_model.safetensors"),
        r"holds an adapter \(LoRA\).*merge_and_unload\(\)",
    ),
    "adapter beside a config": (
        touched("adapter_config.json", "adapter_model.safetensors", "config.json"),
        "holds an adapter",
    ),
    "trainer": (
        touched("checkpoint-50/config.json", "checkpoint-500/config.json", "x.json"),
        r"2 in folders of it: \['checkpoint-50', 'checkpoint-500'\].*checkpoint-500'",
    ),
    "own runs": (touched("a/model.keras"), r"Pass one of them, such as '.*/a'"),
    "own weights": (own_weights, r"use model.load_weights\('.*model.weights.h5'\)"),
    "weights.h5 in a folder": (touched("vit.weights.h5"), "load_weights"),
    "tf_model.h5": (touched("config.json", "tf_model.h5"), "TensorFlow.*save_pretra"),
    "tf_model.h5 file": (file("tf_model.h5"), "TensorFlow"),
    "flax": (touched("config.json", "flax_model.msgpack"), "Flax.*from_flax"),
    "h5": (file("model.h5"), r"HDF5.*model.save\('model.keras'\)"),
    "tensorflow": (touched("model.ckpt.index", "model.ckpt.data-0"), "of TensorFlow"),
    "gguf": (file("model.gguf"), "quantized weights of llama.cpp"),
    "exported": (file("model.tflite"), "exported model.*keras_vit.predict"),
    "onnx folder": (touched("model.onnx"), "exported model"),
    "dcp": (touched("__0_0.distcp", ".metadata"), "dcp_to_torch_save"),
    "float8": (float8, "'cls_token' of type F8_E4M3, quantized weights.*bfloat16"),
    "lfs": (holding("model.safetensors", POINTER), "pointer of Git LFS.*lfs pull"),
    "lfs pickle": (holding("vit.pth", POINTER), "pointer of Git LFS"),
    "web page": (holding("vit.pth", "<!DOCTYPE html><html>"), "a web page"),
    "quantized": (
        lambda folder: _quantized(folder),
        "quantization_config.*dequantize",
    ),
    "empty": (lambda folder: folder, "no config.json and no weights"),
}


def _quantized(folder: Path) -> Path:
    config = {"model_type": "vit", "quantization_config": {"quant_method": "bnb"}}
    (folder / "config.json").write_text(json.dumps(config))
    save_file({}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("library", ["timm_folder", "transformers_folder"])
def test_a_config_with_other_values_is_refused(library, request, tmp_path):
    folder = Path(shutil.copytree(request.getfixturevalue(library), tmp_path / "copy"))
    good = json.loads((folder / "config.json").read_text())
    places = [(good, key) for key in good]
    for inner in ("model_args", "pretrained_cfg"):
        places += [(good[inner], key) for key in good.get(inner, {})]
    for place, key in places:
        kept = place[key]
        for value in (None, [], {}, "x", -1, 0, 1e30, [1, 2, 3], True, {"a": 1}):
            place[key] = value
            (folder / "config.json").write_text(json.dumps(good))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with contextlib.suppress(ValueError, FileNotFoundError):
                    open_checkpoint(folder)
        place[key] = kept


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_checkpoint_is_named_with_its_way_out(kind, tmp_path):
    make, message = REFUSED[kind]
    (tmp_path / "made").mkdir()
    path = make(tmp_path / "made")
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        keras_vit.load(path)
    assert "architecture=" not in str(caught.value)
