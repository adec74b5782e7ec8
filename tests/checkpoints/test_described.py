"""Options that say what a file already is, and sizes that the file knows better."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_vit
from keras_vit.checkpoints.timm.config import config_from_timm
from tests.contract import example, to_numpy
from tests.peers import import_timm, timm_call, timm_model, write_timm

TINY = {"embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 5}
OURS = {"hidden_dim": 32, "num_layers": 2, "num_heads": 2, "mlp_dim": 128}
NAME = "vit_base_patch16_224"


def written(folder: Path, **options: Any) -> tuple[Path, Any]:
    """Write a file of a user's own run; return it and the model of timm."""
    import torch

    theirs = timm_model(NAME, **{**TINY, **options})
    torch.save(theirs.state_dict(), folder / "own.pth")
    return folder / "own.pth", theirs


def load(file: Path, **options: Any) -> keras_vit.ViT:
    return keras_vit.load(file, architecture=NAME, **{**OURS, **options})


def assert_same(ours: keras_vit.ViT, theirs: Any, shape: Any = None) -> None:
    images = example((2, *(shape or ours.input_shape[1:3]), ours.config.channels))
    expected = timm_call(theirs, images)
    error = abs(to_numpy(ours(images)) - expected).max() / abs(expected).max()
    assert error < 1e-5


# Options of timm, those of ours that say the same, and what the model is built for.
DESCRIBED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "registers": (
        {"reg_tokens": 4, "no_embed_class": True},
        {"num_registers": 4, "positions": "patches"},
    ),
    "registers with positions": ({"reg_tokens": 3}, {"num_registers": 3}),
    "mean, norm before": (
        {"global_pool": "avg", "fc_norm": False},
        {"pooling": "mean"},
    ),
    "mean without class token": (
        {"global_pool": "avg", "class_token": False},
        {"use_class_token": False},
    ),
    "attention": (
        {"global_pool": "map", "class_token": False},
        {"pooling": "attention", "use_class_token": False},
    ),
    "norm before blocks": (
        {"pre_norm": True},
        {"use_pre_norm": True, "use_patch_bias": False},
    ),
    "layer scale": ({"init_values": 1e-3}, {"layer_scale": 1e-3}),
    "no positions": ({"pos_embed": "none"}, {"positions": None}),
    "depth": ({"depth": 3}, {"num_layers": 3}),
    "gated": (
        {"mlp_layer": "SwiGLU", "mlp_ratio": 3.0},
        {"mlp": "gated", "mlp_dim": 96, "activation": "gelu"},
    ),
    "patches and channels": ({"patch_size": 8, "in_chans": 12, "img_size": 56}, {}),
    "rectangle": ({"img_size": (112, 448)}, {"image_size": (112, 448)}),
    "rectangle of other patches": (
        {"img_size": (56, 24), "patch_size": (8, 4)},
        {"image_size": (56, 24)},
    ),
}


@pytest.mark.filterwarnings("ignore:.*are taken as they are:UserWarning")
@pytest.mark.filterwarnings("ignore:.*are resampled to:UserWarning")
@pytest.mark.parametrize("kind", DESCRIBED)
def test_options_that_describe_the_file_read_all_of_it(kind, tmp_path):
    theirs_options, ours_options = DESCRIBED[kind]
    if theirs_options.get("mlp_layer"):
        from timm.layers import SwiGLU

        theirs_options = {**theirs_options, "mlp_layer": SwiGLU}
    file, theirs = written(tmp_path, **theirs_options)
    size = theirs.patch_embed.img_size
    ours = load(file, **{"image_size": size, **ours_options})
    assert_same(ours, theirs)


def test_registers_are_resampled_beside_their_positions(tmp_path):
    file, theirs = written(tmp_path, reg_tokens=4, no_embed_class=True)
    ours = load(file, num_registers=4, positions="patches", image_size=160)
    theirs.set_input_size(img_size=(160, 160))
    assert_same(ours, theirs)


@pytest.mark.parametrize(
    "options",
    [
        {"num_registers": 3, "positions": "patches"},
        {"num_registers": 4},
        {"num_registers": 4, "positions": "class"},
        {"positions": "patches"},
        {"num_registers": 4, "positions": "patches", "layer_scale": 1.0},
        {"num_registers": 4, "positions": "patches", "num_layers": 1},
    ],
)
def test_a_description_that_is_wrong_is_refused(options, tmp_path):
    file, _ = written(tmp_path, reg_tokens=4, no_embed_class=True)
    with pytest.raises(ValueError, match="does not match the model|positions"):
        load(file, **options)


def test_what_begins_anew_or_is_left_out_is_named(tmp_path):
    file, _ = written(tmp_path)
    with pytest.warns(UserWarning, match="1 weights begin anew: .*registers/tokens"):
        load(file, num_registers=2, positions="class")
    file, theirs = written(tmp_path, global_pool="map")
    with pytest.raises(ValueError, match="arrays are left over: attn_pool"):
        load(file, pooling="token")
    folder = folder_of(theirs, tmp_path / "folder")
    with pytest.warns(UserWarning, match=r"13 arrays of the file are left out: attn_p"):
        keras_vit.load(folder, pooling="token", num_classes=5)


def test_values_that_are_not_built_are_refused(tmp_path):
    folder = folder_of(timm_model(NAME, **TINY), tmp_path)
    for name, value in UNKNOWN.items():
        copy = folder_of(timm_model(NAME, **TINY), tmp_path / name, **{name: value})
        with pytest.raises(ValueError, match=f"{name}.*received"):
            keras_vit.load(copy)
    assert keras_vit.load(folder).count_params()


UNKNOWN = {
    "global_pool": "avgmax",
    "act_layer": "mish",
    "mlp_layer": "ConvMlp",
    "norm_layer": "batchnorm2d",
    "embed_norm_layer": "rmsnorm",
    "attn_layer": "linear",
    "block_fn": "CustomBlock",
    "pos_embed": "rel",
}


@pytest.mark.parametrize(
    "name, value",
    [
        *(("attn_type", "linear"), ("rope_type", "golden"), ("global_pool", ["avg"])),
        ("rope_grid_indexing", "yx"),
    ],
)
def test_unknown_values_of_eva_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be one of .* received {name}="):
        config_from_timm("eva02_tiny_patch14_224", **{name: value})


def test_a_gated_mlp_has_the_activation_that_is_given():
    config = config_from_timm("aimv2_large_patch14_224", act_layer="gelu")
    assert (config.mlp, config.activation) == ("gated", "gelu")
    assert config_from_timm("aimv2_large_patch14_224").activation == "silu"


# The size that positions belong to


def test_a_rectangle_that_fits_is_taken_as_it_is_and_said(tmp_path):
    file, theirs = written(tmp_path, img_size=(112, 448))
    with pytest.warns(UserWarning, match=r"wanted 7 x 28 and are taken as they are"):
        ours = load(file, image_size=(112, 448))
    assert_same(ours, theirs)
    square = load(file, image_size=(112, 448), position_grid=14)
    table = "patch_encoder/position_embedding/table"
    [a], [b] = (
        [to_numpy(w.value) for w in model.weights if w.path == table]
        for model in (ours, square)
    )
    assert abs(a - b).max() > 1e-2


@pytest.mark.parametrize("wanted", [(64, 96), 64, (224, 896), None])
def test_the_grid_of_the_file_is_said(wanted, tmp_path):
    file, theirs = written(tmp_path, img_size=(112, 448), dynamic_img_size=True)
    ours = load(file, image_size=wanted, position_grid=(7, 28))
    size = {None: (48, 80), 64: (64, 64)}.get(wanted, wanted)
    if wanted is not None:
        theirs.set_input_size(img_size=size)
    assert_same(ours, theirs, size)


def test_a_grid_that_nothing_says_is_asked_for(tmp_path):
    file, theirs = written(tmp_path, img_size=(96, 160))
    with pytest.raises(ValueError, match="60 patches are left, which is no square"):
        load(file)
    with pytest.raises(ValueError, match="position_grid must be.*60 in all"):
        load(file, position_grid=(6, 9))
    assert_same(load(file, image_size=(96, 160)), theirs)
    square, _ = written(tmp_path, img_size=(112, 448))
    for wanted in ((64, 128), None):
        with pytest.warns(UserWarning, match="taken as 14 x 14, to be resampled"):
            load(square, image_size=wanted)


# timm's folders


def folder_of(theirs: Any, folder: Path, **model_args: Any) -> Path:
    """Write a folder whose config.json has other model_args."""
    write_timm(theirs, folder)
    config = json.loads((folder / "config.json").read_text())
    config["model_args"] = {
        **{k: v for k, v in config["model_args"].items() if k != "img_size"},
        **model_args,
    }
    config["pretrained_cfg"]["input_size"] = [3, 224, 224]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_size_that_the_config_does_not_say_is_resampled_as_timm_does(tmp_path):
    timm = import_timm()
    theirs = timm_model(NAME, **TINY, img_size=160)
    folder = folder_of(theirs, tmp_path)
    again = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    with pytest.warns(UserWarning, match="10 x 10 patches; they are resampled to the"):
        ours = keras_vit.load(folder)
    assert_same(ours, again)
    assert_same(keras_vit.load(folder, image_size=160), theirs)


def test_a_rectangle_that_the_config_does_not_say_is_asked_for(tmp_path):
    theirs = timm_model(NAME, **TINY, img_size=(96, 160))
    folder = folder_of(theirs, tmp_path)
    with pytest.raises(ValueError, match="Pass image_size="):
        keras_vit.load(folder)
    assert_same(keras_vit.load(folder, image_size=(96, 160)), theirs)


@pytest.mark.parametrize("architecture", [NAME, "eva02_tiny_patch14_224"])
@pytest.mark.parametrize("size", [(70, 100), (28, 51), (112, 112)])
def test_images_are_padded_as_timm_does(size, architecture, tmp_path):
    sizes = {**TINY, "img_size": 112, "dynamic_img_pad": True, "dynamic_img_size": True}
    theirs = timm_model(architecture, **sizes)
    write_timm(theirs, tmp_path)
    assert_same(keras_vit.load(tmp_path, image_size=size), theirs)
    model = keras_vit.load(tmp_path)
    assert_same(keras_vit.resize(model, image_size=size), theirs)
    free = keras_vit.resize(model, image_size=None)
    assert_same(free, theirs, size)
    maps = keras_vit.features(free)(example((1, *size, 3)))
    patch = model.config.patch_size[0]
    rows = tuple(-(-pixels // patch) for pixels in size)
    assert tuple(maps["block_1"].shape[1:3]) == rows
    free.save(tmp_path / "free.keras")
    assert_same(keras_vit.load(tmp_path / "free.keras"), theirs, size)


def test_padding_is_written_back(tmp_path):
    sizes = {**TINY, "img_size": 96, "dynamic_img_pad": True, "dynamic_img_size": True}
    theirs = timm_model(NAME, **sizes)
    write_timm(theirs, tmp_path)
    model = keras_vit.load(tmp_path)
    keras_vit.save(model, tmp_path / "timm", format="timm")
    assert keras_vit.load(tmp_path / "timm").config == model.config
    with pytest.raises(ValueError, match="pad_images"):
        other = keras_vit.resize(model, image_size=(70, 100))
        keras_vit.save(other, tmp_path / "other", format="timm")


def test_the_kernel_must_be_that_of_the_config(tmp_path):
    theirs = timm_model(NAME, **TINY, patch_size=8, in_chans=12, img_size=56)
    folder = folder_of(theirs, tmp_path, patch_size=16, in_chans=3, img_size=112)
    with pytest.raises(ValueError, match=r"projection/kernel \(768, 32\) from"):
        keras_vit.load(folder)
    assert np.prod((8, 8, 12)) == np.prod((16, 16, 3))  # Or it would not be silent.
