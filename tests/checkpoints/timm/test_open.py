"""timm's checkpoints: a representative of each family and option.

The sweep over all architectures is benchmarks/parity_timm.py.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.checkpoints.timm.config import config_from_timm, timm_table
from keras_vit.keras_internals import unallocated
from tests.contract import to_numpy
from tests.peers import (
    check_round_trip,
    import_timm,
    set_random_parameters,
    shrink,
    timm_call,
    timm_model,
    write_timm,
)
from tests.transformers_peers import import_transformers

REPRESENTATIVES = [
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "deit3_small_patch16_224",
    "flexivit_small",
    "vit_base_patch16_rpn_224",
    "vit_base_patch32_clip_quickgelu_224",
    "vit_so400m_patch14_siglip_224",
    "vit_base_patch14_reg4_dinov2",
    "vit_giant_patch14_dinov2",
    "vit_so150m_patch16_reg4_map_256",
    "vit_wee_patch16_reg1_gap_256",
    "vit_dwee_patch16_reg1_gap_256",
    "vit_dpwee_patch16_reg1_gap_256",
    "vit_pwee_patch16_reg1_gap_256",
    "vit_base_patch16_xp_224",
    "vit_small_patch16_18x2_224",
    "vit_base_patch16_radio_v3",
    "aimv2_large_patch14_224",
    "beit3_base_patch16_224",
    "eva_giant_patch14_224",
    "eva02_small_patch14_224",
    "eva02_base_patch14_224",
    "eva02_enormous_patch14_clip_224",
    "vit_pe_core_base_patch16_224",
    "vit_pe_spatial_tiny_patch16_512",
    "vit_small_patch16_rope_224",
    "vit_small_patch16_rope_mixed_ape_224",
    "vit_small_plus_patch16_dinov3_qkvb",
    "vit_base_patch16_sapiens2",
    "test_vit3",
]


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_logits_features_and_arrays_equal_those_of_timm(name, tmp_path):
    model = timm_model(name, **shrink(timm_table()[name]))
    write_timm(model, tmp_path)
    ours = keras_vit.load(tmp_path)
    images = _images(ours)
    expected = timm_call(model, images)
    _assert_close(ours(images), expected)
    features = timm_call(
        lambda x: model.forward_head(model.forward_features(x), pre_logits=True), images
    )
    _assert_close(keras_vit.load(tmp_path, num_classes=None)(images), features)
    assert ours.count_params() == sum(p.numel() for p in model.parameters())
    check_round_trip(ours, tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small paper ViT in a folder as timm writes it."""
    path = tmp_path_factory.mktemp("timm") / "vit"
    name = "vit_tiny_patch16_224"
    write_timm(timm_model(name, **shrink(timm_table()[name])), path)
    return path


@pytest.mark.parametrize("cls", ["Model", "ForImageClassification"])
def test_the_wrapper_of_transformers_loads(cls, tmp_path):
    transformers = import_transformers()
    name = "eva02_small_patch14_224"
    args = shrink(timm_table()[name])
    labels = {"num_labels": args.pop("num_classes")}
    config = transformers.TimmWrapperConfig(
        architecture=name, model_args=args, **labels
    )
    theirs = getattr(transformers, f"TimmWrapper{cls}")(config).eval()
    set_random_parameters(theirs)
    theirs.save_pretrained(tmp_path)
    ours = keras_vit.load(tmp_path)
    images = _images(ours)
    output = "pooler_output" if cls == "Model" else "logits"
    expected = timm_call(lambda x: getattr(theirs(x), output), images)
    _assert_close(ours(images), expected)
    assert ours.class_names is None


def test_timm_builds_what_was_saved_for_it(folder, tmp_path):
    timm = import_timm()
    # Rates are of training: timm's files hold none, and they do not stand against it.
    rates = {"stochastic_depth_rate": 0.2, "stochastic_depth_curve": "constant"}
    ours = keras_vit.load(folder, image_size=(64, 48), **rates)
    keras_vit.save(ours, tmp_path / "saved", format="timm")
    theirs = timm.create_model(f"local-dir:{tmp_path / 'saved'}", pretrained=True)
    images = _images(ours)
    _assert_close(ours(images), timm_call(theirs.eval(), images))
    config = timm.data.resolve_model_data_config(theirs)
    assert config["input_size"] == (3, 64, 48)


def test_other_sizes_and_channels_load_as_in_timm(folder):
    timm = import_timm()
    ours = keras_vit.load(folder, image_size=(80, 64), patch_size=8, channels=5)
    theirs = timm.create_model(
        f"local-dir:{folder}",
        pretrained=True,
        img_size=(80, 64),
        patch_size=8,
        in_chans=5,
    )
    images = _images(ours)
    _assert_close(ours(images), timm_call(theirs.eval(), images))


def test_one_channel_sums_the_kernel(folder):
    three, one = keras_vit.load(folder), keras_vit.load(folder, channels=1)
    image = _images(one)
    _assert_close(one(image), to_numpy(three(np.repeat(image, 3, axis=-1))))


def test_a_new_head_starts_at_zero_and_the_rest_is_loaded(folder):
    model = keras_vit.load(folder, num_classes=4, pooling="mean")
    assert not to_numpy(model(_images(model))).any()
    backbone = keras_vit.load(folder, num_classes=None, pooling="mean")
    assert to_numpy(backbone(_images(backbone))).any()


def test_preprocessing_and_activation_come_along(folder):
    model = keras_vit.load(folder)
    assert model.preprocessing.mean == (0.5, 0.5, 0.5)
    assert model.preprocessing.crop_ratio == 0.9
    assert model.preprocessing.image_size == model.config.image_size
    assert model.config.activation == "gelu" and model.config.epsilon == 1e-6


def test_label_names_become_class_names(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config["label_names"] = list("abcdefg")
    (copy / "config.json").write_text(json.dumps(config))
    assert keras_vit.load(copy).class_names == tuple("abcdefg")


def test_the_table_holds_all_architectures():
    assert len(timm_table()) == 244
    assert sum(len(row["pretrained"]) for row in timm_table().values()) == 416


def test_each_architecture_has_the_parameters_of_timm():
    timm = import_timm()
    import torch

    # Every eighth here; benchmarks/parameter_counts.py has all.
    for name in list(timm_table())[::8]:
        with torch.device("meta"):
            model = timm.create_model(name, pretrained=False)
        count = sum(parameter.numel() for parameter in model.parameters())
        config = config_from_timm(name, num_classes=model.num_classes)
        assert config.num_parameters == count, name
        with unallocated():
            ours = keras_vit.ViT(**asdict(config))
        assert ours.count_params() == count, name


def test_an_unknown_argument_is_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config["model_args"]["new_option"] = True
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="new_option"):
        keras_vit.load(copy)


def test_a_config_of_other_weights_is_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config["model_args"]["depth"] = 4
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="arrays are missing: blocks.3"):
        keras_vit.load(copy)
    config["model_args"].update(depth=3, embed_dim=48)
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="shapes differ"):
        keras_vit.load(copy)


def test_pickles_load_as_tensors_only(folder, tmp_path):
    import torch
    from safetensors.torch import load_file

    copy = shutil.copytree(folder, tmp_path / "copy")
    state = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    script = argparse.Namespace(lr=1e-3)  # As MAE and DINO keep it beside the weights.
    torch.save({"state_dict": state, "args": script}, copy / "pytorch_model.bin")
    ours = keras_vit.load(copy)
    _assert_close(ours(_images(ours)), to_numpy(keras_vit.load(folder)(_images(ours))))
    torch.save({"state_dict": _Evil()}, copy / "pytorch_model.bin")
    with pytest.raises(ValueError, match="never unpickled"):
        keras_vit.load(copy)


class _Evil:
    def __reduce__(self):
        return (print, ("this must not run",))


def test_sharded_files_load(folder, tmp_path):
    from safetensors.numpy import load_file, save_file

    copy = shutil.copytree(folder, tmp_path / "copy")
    state = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    names = sorted(state)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: state[name] for name in part}, copy / file)
    places = {name: file for file, part in parts.items() for name in part}
    index = copy / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    ours, whole = keras_vit.load(copy), keras_vit.load(folder)
    images = _images(ours)
    np.testing.assert_array_equal(to_numpy(ours(images)), to_numpy(whole(images)))
    (copy / "b.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="b.safetensors"):
        keras_vit.load(copy)
    index.write_text("{}")
    with pytest.raises(ValueError, match="weight_map"):
        keras_vit.load(copy)


def test_bfloat16_files_load(folder, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(folder, tmp_path / "copy")
    state = load_file(copy / "model.safetensors")
    half = {name: tensor.to(torch.bfloat16) for name, tensor in state.items()}
    save_file(half, copy / "model.safetensors")
    ours, exact = keras_vit.load(copy), keras_vit.load(folder)
    images = _images(ours)
    np.testing.assert_allclose(
        to_numpy(ours(images)), to_numpy(exact(images)), atol=0.05
    )


def test_what_timm_cannot_express_is_refused(tmp_path):
    model = keras_vit.ViT.from_variant("test", representation_size=8)
    with pytest.raises(ValueError, match="representation_size"):
        keras_vit.save(model, tmp_path / "out", format="timm")
    assert not (tmp_path / "out").exists()


def _images(model: keras.Model) -> np.ndarray:
    shape = (2, *model.input_shape[1:])
    return np.random.default_rng(1).normal(size=shape).astype("float32")


def _assert_close(actual, expected):
    scale = abs(expected).max()
    np.testing.assert_allclose(to_numpy(actual) / scale, expected / scale, atol=1e-4)


def test_a_head_that_the_config_promises_must_be_there(folder, tmp_path):
    from safetensors.numpy import load_file, save_file

    copy = shutil.copytree(folder, tmp_path / "copy")
    arrays = load_file(copy / "model.safetensors")
    headless = {k: v for k, v in arrays.items() if not k.startswith("head.")}
    save_file(headless, copy / "model.safetensors")
    with pytest.raises(ValueError, match="arrays are missing: head.bias, head.weight"):
        keras_vit.load(copy)
    assert keras_vit.load(copy, num_classes=None).output_shape == (None, 96)
    assert keras_vit.load(copy, num_classes=7).output_shape == (None, 7)
