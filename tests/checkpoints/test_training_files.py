"""Files that training code leaves behind, written by the libraries themselves."""

from __future__ import annotations

import argparse
import pathlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_vit
from keras_vit.checkpoints.files.wrappers import preferred, without_marks
from tests.contract import example, to_numpy
from tests.peers import import_timm, timm_call, timm_model

NAME = "vit_base_patch16_224"
TINY = {"embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 5, "img_size": 32}
OURS = {"hidden_dim": 32, "num_layers": 2, "num_heads": 2, "mlp_dim": 128}
SAID = "ignore:.*(arrays outside of it|sets of weights):UserWarning"


def model(seed: int = 0) -> Any:
    return timm_model(NAME, seed=seed, **TINY)


def load(file: Path, **options: Any) -> keras_vit.ViT:
    options = {"architecture": NAME, "image_size": 32, **OURS, **options}
    return keras_vit.load(file, **options)


def assert_same(ours: keras_vit.ViT, theirs: Any) -> None:
    images = example((2, *ours.input_shape[1:]))
    expected = timm_call(theirs, images)
    error = abs(to_numpy(ours(images)) - expected).max() / abs(expected).max()
    assert error < 1e-5


def prefixed(state: dict[str, Any], *prefixes: str) -> dict[str, Any]:
    return {p + name: value for p in prefixes for name, value in state.items()}


# What each kind of code writes: from the model and another one to the file's content.


def lightning(state: Any, other: Any) -> Any:
    return {
        "epoch": 3,
        "global_step": 40,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": prefixed(state, "model."),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val'}": {"best_model_score": 0.5}},
        "optimizer_states": [{"state": {0: {"exp_avg": other["pos_embed"]}}}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"path": pathlib.PurePosixPath("/data"), "lr": 1e-3},
    }


def lightning_with_average(state: Any, other: Any) -> Any:
    both = prefixed(other, "model.") | prefixed(state, "ema_model.module.")
    return {"state_dict": both | {"ema_model.n_averaged": other["cls_token"].sum()}}


def plain(key: str) -> Callable[[Any, Any], Any]:
    def write(state: Any, other: Any) -> Any:
        return {"epoch": 3, key: state, "loss": state["head.bias"].sum()}

    return write


def under(*prefixes: str) -> Callable[[Any, Any], Any]:
    return lambda state, other: prefixed(state, "".join(prefixes))


def teacher(state: Any, other: Any) -> Any:
    return {"student": prefixed(other, "module."), "teacher": state, "epoch": 1}


def numpy_numbers(state: Any, other: Any) -> Any:
    numbers = {"metric": np.float64(0.7), "best": np.float32(1), "n": np.int64(3)}
    return {"state_dict": state, **numbers}


def compiled_parts(state: Any, other: Any) -> Any:
    return {
        name.replace("blocks.0.", "blocks.0._orig_mod.").replace(
            "blocks.1.attn.", "blocks.1.attn._checkpoint_wrapped_module."
        ): value
        for name, value in state.items()
    }


WRITTEN: dict[str, Callable[[Any, Any], Any]] = {
    "lightning": lightning,
    "lightning with an average": lightning_with_average,
    **{key: plain(key) for key in ("model_state_dict", "state_dict", "model", "net")},
    **{key: plain(key) for key in ("weights", "params", "network", "model_state")},
    "an unknown key": plain("mein_modell"),
    "two levels": lambda s, o: {"checkpoint": {"model": s}, "epoch": 1},
    "params_ema": lambda s, o: {"params": o, "params_ema": s},
    "model and model_ema": lambda s, o: {"model": o, "model_ema": s},
    "state_dict and ema": lambda s, o: {"state_dict": o, "ema": {"module": s}},
    "swa": lambda s, o: {"state_dict": o, "swa_state_dict": s},
    "teacher and student": teacher,
    "teacher and student in one": lambda s, o: (
        prefixed(o, "student.") | prefixed(s, "teacher.")
    ),
    "numbers of numpy": numpy_numbers,
    "compiled": under("_orig_mod."),
    "compiled and distributed": under("module._orig_mod."),
    "distributed and compiled": under("_orig_mod.module."),
    "fsdp": under("_fsdp_wrapped_module."),
    "compiled parts": compiled_parts,
    "lightning compiled": under("model._orig_mod."),
    "own attribute": under("my_net.vit."),
    "sequential": under("0."),
    "deepspeed": lambda s, o: {"module": s, "optimizer": {"state": {}}, "dp": 4},
}


SUFFIXES = (".ckpt", ".pth.tar", ".pt", ".bin", ".th")
FILES = [
    *((kind, ".pth") for kind in WRITTEN),
    *(("lightning", suffix) for suffix in SUFFIXES),
]


@pytest.mark.filterwarnings(SAID)
@pytest.mark.parametrize(("kind", "suffix"), FILES)
def test_the_weights_of_the_model_are_found(kind, suffix, tmp_path):
    import torch

    theirs, other = model(0), model(1)
    content = WRITTEN[kind](theirs.state_dict(), other.state_dict())
    torch.save(content, tmp_path / f"file{suffix}")
    assert_same(load(tmp_path / f"file{suffix}"), theirs)


@pytest.mark.parametrize("ema", [False, True])
def test_what_checkpoint_saver_of_timm_writes(ema, tmp_path):
    import torch

    import_timm()
    from timm.utils import CheckpointSaver, ModelEmaV3

    theirs = model(0)
    average = ModelEmaV3(model(1)) if ema else None
    saver = CheckpointSaver(
        torch.nn.DataParallel(theirs) if ema else theirs,
        torch.optim.AdamW(theirs.parameters()),
        args=argparse.Namespace(model=NAME, lr=0.1, output=pathlib.Path("out")),
        model_ema=average,
        checkpoint_dir=str(tmp_path),
    )
    saver.save_checkpoint(0, metric=np.float64(70.0))
    file = tmp_path / "model_best.pth.tar"
    if not ema:
        assert_same(keras_vit.load(file, image_size=32, **OURS), theirs)
        return
    with pytest.warns(UserWarning, match=r"averaged ones .*'state_dict_ema' are read"):
        ours = load(file)
    assert_same(ours, average.module)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_wrappers_of_torch_write(tmp_path):
    import torch
    from torch.optim.swa_utils import AveragedModel

    theirs = model()
    for i, wrapped in enumerate(
        (
            torch.compile(theirs),
            torch.nn.DataParallel(theirs),
            torch.compile(torch.nn.DataParallel(theirs)),
            AveragedModel(theirs),
            AveragedModel(torch.nn.DataParallel(theirs)),
        )
    ):
        file = tmp_path / f"{i}.pth"
        torch.save(wrapped.state_dict(), file)
        assert_same(load(file), theirs)


def test_objects_beside_the_weights_are_neither_made_nor_run(tmp_path, monkeypatch):
    import torch

    name = "lightning_fabric.utilities.data"
    for part in ("lightning_fabric", "lightning_fabric.utilities", name):
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    made = type("AttributeDict", (dict,), {"__module__": name})
    sys.modules[name].AttributeDict = made  # pyright: ignore[reportAttributeAccessIssue]
    theirs = model()
    file = tmp_path / "lightning.ckpt"
    torch.save(
        {"hyper_parameters": made(lr=1), "state_dict": theirs.state_dict()}, file
    )
    monkeypatch.delitem(sys.modules, name)
    assert_same(load(file), theirs)


class Harmful:
    def __reduce__(self) -> Any:
        return (print, ("this must not run",))


def test_objects_of_unknown_code_are_refused_by_name(tmp_path, capsys):
    import torch

    file = tmp_path / "whole.pth"
    torch.save({"state_dict": model().state_dict(), "x": Harmful()}, file)
    with pytest.raises(ValueError, match=r"never unpickled: objects of \['.*print'\]"):
        load(file)
    torch.save(model(), file)
    with pytest.raises(ValueError, match=r"objects of \['timm\."):
        load(file)
    assert "this must not run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "content, message",
    [
        (lambda s, o: {"a": s, "b": o}, r"several sets of weights.*\['a', 'b'\]"),
        (lambda s, o: prefixed(s, "left.") | prefixed(o, "right."), "'left.', 'right."),
        (
            lambda s, o: {"epoch": 3, "loss": 0.1},
            r"received the keys \['epoch', 'loss'",
        ),
        (lambda s, o: prefixed(s, "module.") | s, "several called"),
    ],
)
def test_what_is_not_clear_is_refused_with_the_names(content, message, tmp_path):
    import torch

    file = tmp_path / "file.pth"
    torch.save(content(model().state_dict(), model(1).state_dict()), file)
    with pytest.raises(ValueError, match=message):
        load(file)


def test_tensors_that_numpy_has_no_type_for_are_named(tmp_path):
    import torch

    state = model().state_dict()
    state["norm.weight"] = state["norm.weight"].to(torch.float8_e4m3fn)
    torch.save(state, tmp_path / "file.pth")
    with pytest.raises(ValueError, match="'norm.weight' of type torch.float8_e4m3fn"):
        load(tmp_path / "file.pth")


def test_what_is_left_out_is_said(tmp_path):
    import torch

    state = model().state_dict()
    file = tmp_path / "file.pth"
    whole = prefixed(state, "net.") | {"neck.weight": state["head.weight"]}
    torch.save(whole, file)
    with pytest.warns(
        UserWarning, match=r"under 'net.'; 1 arrays outside.*neck.weight"
    ):
        load(file)
    backbone = {k: v for k, v in state.items() if not k.startswith("head.")}
    whole = prefixed(backbone, "backbone.") | {"fc.weight": state["head.weight"]}
    torch.save(whole, file)
    with pytest.warns(
        UserWarning, match=r"1 arrays outside of it are left out: fc.wei"
    ):
        assert load(file).output_shape == (None, 32)


def test_averages_come_first_and_the_last_step_before_students():
    with pytest.warns(UserWarning, match="2 sets of weights; the ones"):
        assert preferred(["student.", "model."], "file", "under") == "model."
    with pytest.warns(UserWarning, match="the averaged ones under 'ema.module.'"):
        assert preferred(["net.", "ema.module."], "file", "under") == "ema.module."
    assert preferred(["whatever."], "file", "under") == "whatever."


def test_counters_are_no_arrays():
    names = {"n_averaged": 1, "module.head.bias": 2, "_orig_mod.module.norm.bias": 3}
    assert without_marks(names, "file") == {"head.bias": 2, "norm.bias": 3}


# torchvision


@pytest.mark.parametrize("wrapped", [False, True])
def test_vits_of_torchvision_are_read(wrapped, tmp_path):
    import torch

    import_timm()
    from torchvision.models import VisionTransformer

    torch.manual_seed(0)
    theirs = VisionTransformer(32, 8, 2, 2, 32, 64, num_classes=5).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    state: dict[str, Any] = theirs.state_dict()
    if wrapped:
        state = {"state_dict": prefixed(state, "model.")}
    torch.save(state, tmp_path / "vit.pth")
    sizes = {**OURS, "mlp_dim": 64}
    ours = keras_vit.load(
        tmp_path / "vit.pth", architecture=NAME, image_size=32, **sizes
    )
    assert_same(ours, theirs)
    assert ours.preprocessing is None  # Nothing says it.
    with pytest.raises(ValueError, match=r"2 blocks of width 32 with patches of 8"):
        keras_vit.load(tmp_path / "vit.pth")


@pytest.mark.parametrize("size", ["b_16", "b_32", "l_16", "l_32", "h_14"])
def test_torchvisions_sizes_are_known(size):
    import torch

    import_timm()
    import torchvision

    from keras_vit.checkpoints.authors.open import own_architecture

    with torch.device("meta"):
        state = getattr(torchvision.models, f"vit_{size}")().state_dict()
    name = own_architecture(state)
    names = {"b": "base", "l": "large", "h": "huge"}
    assert name == f"vit_{names[size[0]]}_patch{size[2:]}_224"
