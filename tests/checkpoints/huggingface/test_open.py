"""Checkpoints that transformers writes itself, read and written back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.checkpoints.files.safetensors import SafetensorsFile, write_safetensors
from keras_vit.checkpoints.huggingface.config import config_from_huggingface
from keras_vit.checkpoints.huggingface.keys import default_keys
from keras_vit.checkpoints.huggingface.open import is_huggingface
from keras_vit.checkpoints.huggingface.preprocessing import normalized_again
from keras_vit.checkpoints.huggingface.types import MODEL_TYPES, SUPPORTED
from keras_vit.checkpoints.huggingface.write import (
    huggingface_arrays,
    huggingface_config,
)
from tests import transformers_peers as peers
from tests.transformers_peers import CASES, SIZES, Case

# One of each kind of names, positions, heads and pooling; the benchmark has them all.
READ = (
    *("vit pooler", "vit classifier", "deit classifier", "deit teacher"),
    *("dinov2 classifier gated", "dinov2_with_registers classifier"),
    *("dinov3_vit", "dinov3_vit gated", "vit_msn classifier", "ijepa classifier"),
    *("clip projection", "clip classifier", "altclip", "siglip", "siglip classifier"),
    *("siglip2 tower", "aimv2 tower native", "internvl tower rms", "pixio", "blip"),
    *("internvl", "siglip2 classifier", "aimv2 with head"),
    *("aimv2 tower native with head", "mlcd tower", "tipsv2", "tipsv2 tower gated"),
    *("sapiens2", "sapiens2 plain", "radio"),
)
# Where transformers has a class without the text model.
WRITTEN = (
    *("vit pooler", "vit", "vit classifier", "deit pooler", "deit classifier"),
    *("deit teacher", "dinov2", "dinov2 classifier gated", "dinov2_with_registers"),
    *("dinov3_vit", "dinov3_vit gated", "vit_mae", "vit_msn", "vit_msn classifier"),
    *("ijepa", "ijepa classifier", "clip tower", "clip projection"),
    *("clip classifier", "metaclip_2 projection", "metaclip_2 classifier"),
    *("chinese_clip tower", "altclip tower", "clipseg tower", "siglip tower"),
    *("siglip classifier", "siglip2 tower", "aimv2 tower", "aimv2 tower native"),
    *("internvl tower", "internvl tower rms", "internvl tower token"),
    *("blip tower", "blip_2 tower", "instructblip tower", "pixio"),
    *("aimv2 tower with head", "aimv2 tower native with head", "mlcd tower"),
    *("tipsv2 tower", "tipsv2 tower gated", "sapiens2", "sapiens2 plain"),
    "radio normalized",
)


def written(case: Case, folder: Path) -> Any:
    """Return a model of transformers that lies in `folder`."""
    model = peers.make(case)
    peers.write(model, folder)
    return model


def images_for(model: keras_vit.ViT) -> np.ndarray:
    """Return images of the size that a model takes."""
    shape = (2, *model.input_shape[1:])
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def assert_equal(ours: Any, theirs: np.ndarray) -> None:
    """Equal within the rounding errors of float32."""
    found = keras.ops.convert_to_numpy(ours)
    assert found.shape == theirs.shape
    assert abs(found - theirs).max() < 1e-4 * abs(theirs).max()


def change(folder: Path, **values: Any) -> None:
    """Change keys of the config.json in a folder; None removes one."""
    file = folder / "config.json"
    config = {**json.loads(file.read_text()), **values}
    file.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


@pytest.mark.parametrize("name", READ)
def test_outputs_equal_those_of_transformers(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    theirs = written(case, tmp_path)
    ours = keras_vit.load(tmp_path)
    images = images_for(ours)
    assert_equal(ours(images), peers.call(case, theirs, images))
    assert ours.count_params() == ours.config.num_parameters


def test_benchmark_has_a_case_of_each_supported_type() -> None:
    transformers = peers.import_transformers()
    types = {getattr(transformers, case.config).model_type for case in CASES.values()}
    assert set(SUPPORTED) == types


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_defaults_are_those_of_transformers(model_type: str) -> None:
    transformers = peers.import_transformers()
    theirs = transformers.CONFIG_MAPPING[model_type]().to_dict()
    ours = default_keys()[model_type]
    # None: it follows from other keys.
    ours = {key: value for key, value in ours.items() if value is not None}
    known = {key: value for key, value in ours.items() if key in theirs}
    assert {key: plain(theirs[key]) for key in known} == {
        key: plain(value) for key, value in known.items()
    }
    # Pictures have three channels in BLIP, which has no key for it.
    assert set(ours) - set(known) <= {"num_channels"}


def plain(value: Any) -> Any:
    """Return a tuple as JSON holds it."""
    return list(value) if isinstance(value, tuple) else value


def pair(value: Any) -> Any:
    """Return one number for two that are the same."""
    return value[0] if isinstance(value, list) and len(set(value)) == 1 else value


@pytest.mark.parametrize("name", WRITTEN)
def test_arrays_come_back_bit_equal(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    written(case, tmp_path)
    before = SafetensorsFile(tmp_path / "model.safetensors")
    config = json.loads((tmp_path / "config.json").read_text())
    ours = keras_vit.load(tmp_path)
    after = huggingface_arrays(ours, config["model_type"])
    kept = {n for n in before if not n.endswith(case.dropped or ("\0",))}
    assert kept <= set(after)
    for array in kept:
        assert after[array].shape == before[array].shape
        assert after[array].tobytes() == before[array].tobytes()
    # What the model does not compute with is there too, or config.json says it is not.
    assert set(after) <= set(before)


@pytest.mark.parametrize("name", WRITTEN)
def test_configs_come_back(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    written(case, tmp_path)
    before = json.loads((tmp_path / "config.json").read_text())
    ours = keras_vit.load(tmp_path)
    after = huggingface_config(ours.config, before["model_type"])
    assert after["model_type"] == before["model_type"]
    assert after["architectures"] == before["architectures"]
    for key in set(after) & set(before) - {"use_mask_token", "vision_config"}:
        assert pair(after[key]) == pair(before[key]), key


@pytest.mark.parametrize(
    "name", ["vit classifier", "deit teacher", "dinov2 classifier gated", "dinov3_vit"]
    + ["vit_msn classifier", "clip classifier", "siglip classifier", "siglip tower"]
    + ["internvl tower rms", "pixio", "aimv2 tower", "aimv2 tower with head"]
    + ["mlcd tower", "tipsv2 tower", "sapiens2", "radio normalized"],
)  # fmt: skip
def test_transformers_reads_what_is_written(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    written(case, tmp_path)
    ours = keras_vit.load(tmp_path)
    model_type = json.loads((tmp_path / "config.json").read_text())["model_type"]
    folder = tmp_path / "again"
    folder.mkdir()
    write_safetensors(
        folder / "model.safetensors",
        huggingface_arrays(ours, model_type),
        {"format": "pt"},
    )
    config = huggingface_config(ours.config, model_type)
    (folder / "config.json").write_text(json.dumps(config))
    transformers = peers.import_transformers()
    cls = getattr(transformers, config["architectures"][0])
    theirs, info = cls.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    images = images_for(ours)
    assert_equal(ours(images), peers.call(case, theirs.eval(), images))


@pytest.mark.parametrize(
    "name", ["vit classifier", "deit pooler", "dinov2 classifier gated", "dinov3_vit"]
    + ["tipsv2 tower", "sapiens2", "radio"],
)  # fmt: skip
def test_names_of_transformers_5_are_read_too(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    theirs = peers.make(case)
    theirs.save_pretrained(tmp_path, save_original_format=False)
    ours = keras_vit.load(tmp_path)
    images = images_for(ours)
    assert_equal(ours(images), peers.call(case, theirs, images))


def test_positions_are_resampled_as_transformers_does(tmp_path: Path) -> None:
    import torch

    theirs = written(
        Case("ViTModel", "ViTConfig", {"image_size": 32}, peers._pooled), tmp_path
    )
    ours = keras_vit.load(tmp_path, image_size=(24, 56))
    images = images_for(ours)
    with torch.no_grad(), torch.device("cpu"):
        pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        output = theirs(pixels, interpolate_pos_encoding=True).pooler_output
    assert_equal(ours(images), output.numpy())


@pytest.mark.parametrize("name", ["Dinov2", "Dinov2WithRegisters"])
def test_dinov2_resamples_as_transformers_does(name: str, tmp_path: Path) -> None:
    options = {"image_size": 40}
    case = Case(f"{name}Model", f"{name}Config", options, peers._pooled)
    theirs = written(case, tmp_path)
    ours = keras_vit.load(tmp_path, image_size=(24, 64))
    images = images_for(ours)
    assert_equal(ours(images), peers.call(case, theirs, images))


def test_radio_takes_its_part_of_the_positions(tmp_path: Path) -> None:
    case = CASES["radio"]
    theirs = written(case, tmp_path)
    assert keras_vit.load(tmp_path).config.image_size == (16, 16)
    for size in ((40, 40), (24, 64)):
        ours = keras_vit.load(tmp_path, image_size=size)
        images = images_for(ours)
        assert_equal(ours(images), peers.call(case, theirs, images))


def test_radio_without_layer_scale_loads_and_is_written(tmp_path: Path) -> None:
    written(CASES["radio normalized"], tmp_path)
    file = tmp_path / "model.safetensors"
    arrays = {k: v for k, v in SafetensorsFile(file).items() if "scale" not in k}
    write_safetensors(file, arrays)
    ours = keras_vit.load(tmp_path)
    assert ours.config.layer_scale is None
    assert set(huggingface_arrays(ours, "radio")) == set(arrays)


def test_what_radio_does_to_images_is_preprocessing(tmp_path: Path) -> None:
    transformers = peers.import_transformers()
    theirs = written(CASES["radio"], tmp_path)
    processor = transformers.CLIPImageProcessor(do_normalize=False)
    processor.save_pretrained(tmp_path)
    found = keras_vit.load(tmp_path).preprocessing
    assert found is not None
    np.testing.assert_allclose(found.mean, theirs.config.norm_mean)
    np.testing.assert_allclose(found.std, theirs.config.norm_std)
    both = normalized_again(found, [1.0], [2.0])
    image = np.zeros((16, 16, 3), "uint8")
    np.testing.assert_allclose(both(image), (found(image) - 1) / 2, rtol=1e-5)


def test_mlcd_with_another_rotation_is_refused() -> None:
    config = {"model_type": "mlcd_vision_model", **SIZES}
    with pytest.raises(ValueError, match="received rope_type='yarn'"):
        config_from_huggingface({**config, "rope_parameters": {"rope_type": "yarn"}})


def test_heads_of_sapiens2_follow_from_the_layers() -> None:
    config = {"model_type": "sapiens2", "num_hidden_layers": 18}
    found = config_from_huggingface(config).num_kv_heads
    assert found == (16,) * 8 + (8,) * 2 + (16,) * 8


def test_labels_become_class_names_unless_they_are_numbers(tmp_path: Path) -> None:
    labels = {i: f"kind of bird {i}" for i in range(3)}
    options = {"id2label": labels, "label2id": {v: k for k, v in labels.items()}}
    case = Case("ViTForImageClassification", "ViTConfig", options, peers._logits)
    written(case, tmp_path / "named")
    model = keras_vit.load(tmp_path / "named")
    assert model.class_names == tuple(labels.values())
    config = huggingface_config(model.config, "vit", model.class_names)
    assert config["id2label"] == {str(i): name for i, name in labels.items()}
    written(CASES["vit classifier"], tmp_path / "numbered")
    assert keras_vit.load(tmp_path / "numbered").class_names is None


def test_epsilon_and_activation_follow_the_config(tmp_path: Path) -> None:
    options = {"layer_norm_eps": 1e-12, "hidden_act": "gelu_new"}
    config = {"model_type": "vit", **SIZES, **options}
    vit = config_from_huggingface(config)
    assert (vit.epsilon, vit.activation) == (1e-12, "gelu_tanh")
    assert config_from_huggingface({"model_type": "clip"}).activation == "quick_gelu"
    with pytest.raises(ValueError, match="hidden_act must be one of"):
        config_from_huggingface({**config, "hidden_act": "mish"})


def test_nested_config_must_be_an_object() -> None:
    with pytest.raises(ValueError, match="vision_config must be a JSON object"):
        config_from_huggingface({"model_type": "clip", "vision_config": "large"})


def test_head_can_be_replaced_while_loading(tmp_path: Path) -> None:
    written(CASES["deit teacher"], tmp_path)
    model = keras_vit.load(tmp_path, num_classes=3)
    assert model.output_shape == (None, 3)


@pytest.mark.parametrize("model_type", ["swin", "pvt", "hiera"])
def test_hierarchical_types_are_called_so(model_type: str, tmp_path: Path) -> None:
    written(CASES["vit"], tmp_path)
    change(tmp_path, model_type=model_type)
    with pytest.raises(ValueError, match="is not a plain ViT: it has stages"):
        keras_vit.load(tmp_path)


def test_unknown_type_lists_the_supported_ones(tmp_path: Path) -> None:
    written(CASES["vit"], tmp_path)
    change(tmp_path, model_type="bert")
    with pytest.raises(ValueError, match="dinov3_vit.*received model_type='bert'"):
        keras_vit.load(tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_hidden_layers": 3}, "16 arrays are missing"),
        ({"num_hidden_layers": 1}, "16 arrays are left over"),
        ({"intermediate_size": 64}, "shapes differ"),
        ({"image_size": 32}, "shapes differ"),
        ({"qkv_bias": False}, "arrays are left over"),
        ({"model_type": "dinov2"}, "has no weights of a dinov2"),
        ({"model_type": "ijepa"}, "arrays are left over"),
        ({"pooler_act": "relu"}, "tanh after the pooler"),
    ],
)
def test_config_of_other_weights_is_refused(
    values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    written(CASES["vit pooler"], tmp_path)
    change(tmp_path, **values)
    with pytest.raises(ValueError, match=message):
        keras_vit.load(tmp_path)


def test_arrays_beside_the_tower_are_refused_unless_they_are_of_a_text_model(
    tmp_path: Path,
) -> None:
    written(CASES["clip classifier"], tmp_path)
    file = tmp_path / "model.safetensors"
    arrays = dict(SafetensorsFile(file))
    text = {"text_model.weight": np.zeros(3, "float32")}
    write_safetensors(file, {**arrays, **text})
    keras_vit.load(tmp_path)
    more = {"vision_model.encoder.more": np.zeros(3, "float32")}
    write_safetensors(file, {**arrays, **more})
    with pytest.raises(ValueError, match="1 arrays are left over"):
        keras_vit.load(tmp_path)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            Case("PixioBackbone", "PixioConfig", {}, peers._mean),
            "has no weights of a pixio",
        ),
        (
            Case(
                "DINOv3ViTModel", "DINOv3ViTConfig", {"query_bias": False}, peers._first
            ),
            r"received query_bias, key_bias, value_bias = \(False, False, True\)",
        ),
        (
            Case(
                "InternVLVisionModel",
                "InternVLVisionConfig",
                {"use_qk_norm": True},
                peers._mean,
            ),
            "normalizes queries and keys as tokens",
        ),
    ],
)
def test_what_keras_vit_lacks_is_named(
    case: Case, message: str, tmp_path: Path
) -> None:
    written(case, tmp_path)
    with pytest.raises(ValueError, match=message):
        keras_vit.load(tmp_path)


def test_only_a_config_with_a_model_type_is_one_of_transformers() -> None:
    assert is_huggingface({"model_type": "vit"})
    assert not is_huggingface({"architecture": "vit_tiny_patch16_224"})
