"""KerasHub's preset folders, written by KerasHub, against its own outputs."""

from __future__ import annotations

import json
import warnings
from typing import Any

import h5py
import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.checkpoints.keras_hub.entries import NAMES

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Packages that KerasHub imports.
    import keras_hub

models = keras_hub.models

SIZES = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16}
VIT = {**SIZES, "image_shape": (16, 24, 3), "patch_size": (8, 8), "mlp_dim": 20}
DEIT = {**SIZES, "image_shape": (16, 24, 3), "patch_size": 8, "intermediate_dim": 20}
SQUARE = {**SIZES, "image_shape": (24, 24, 3), "patch_size": 8, "intermediate_dim": 20}
DINOV2 = {**SQUARE, "position_embedding_shape": (24, 24, 3)}
DINOV3 = {**SQUARE, "image_shape": (16, 24, 3), "num_register_tokens": 0}
TEXT = {**SIZES, "vocabulary_size": 11, "embedding_dim": 16, "intermediate_dim": 20}


def siglip(**options: Any) -> Any:
    return models.SigLIPVisionEncoder(**SQUARE, **options)


def clip(**options: Any) -> Any:
    return models.CLIPVisionEncoder(**SQUARE, **options)


BACKBONES = {
    "vit": lambda: models.ViTBackbone(**VIT),
    "vit_without_class_token": lambda: models.ViTBackbone(**VIT, use_class_token=False),
    "vit_without_biases": lambda: models.ViTBackbone(
        **VIT, use_mha_bias=False, use_mlp_bias=False, use_patch_bias=False
    ),
    "vit_epsilon_and_rates": lambda: models.ViTBackbone(
        **VIT, layer_norm_epsilon=0.1, dropout_rate=0.1, attention_dropout=0.1
    ),
    "vit_rectangular_patches": lambda: models.ViTBackbone(
        **VIT | {"patch_size": (4, 8)}
    ),
    "deit": lambda: models.DeiTBackbone(**DEIT),
    "deit_without_biases": lambda: models.DeiTBackbone(**DEIT, use_mha_bias=False),
    "dinov2": lambda: models.DINOV2Backbone(**DINOV2),
    "dinov2_registers": lambda: models.DINOV2Backbone(**DINOV2, num_register_tokens=2),
    "dinov2_without_mask": lambda: models.DINOV2Backbone(
        **DINOV2, num_register_tokens=2, use_mask_token=False
    ),
    "dinov2_swiglu": lambda: models.DINOV2Backbone(
        **DINOV2, use_swiglu_ffn=True, drop_path_rate=0.1
    ),
    "dinov2_of_another_size": lambda: models.DINOV2Backbone(
        **SQUARE, position_embedding_shape=(40, 40, 3)
    ),
    "dinov3": lambda: models.DINOV3Backbone(**DINOV3),
    "dinov3_registers": lambda: models.DINOV3Backbone(
        **DINOV3 | {"num_register_tokens": 3}, use_key_bias=False, rope_theta=50.0
    ),
    "dinov3_gated": lambda: models.DINOV3Backbone(
        **DINOV3,
        use_gated_mlp=True,
        hidden_activation="silu",
        use_mask_token=False,
        layer_norm_eps=1e-4,
    ),
    "dinov3_without_biases": lambda: models.DINOV3Backbone(
        **DINOV3,
        use_query_bias=False,
        use_key_bias=False,
        use_value_bias=False,
        use_proj_bias=False,
        use_mlp_bias=False,
    ),
    "siglip": siglip,
    "clip": clip,
    "clip_gelu": lambda: clip(intermediate_activation="gelu"),
    "metaclip_2": lambda: models.MetaCLIP2VisionEncoder(**SQUARE),
}


def randomize(model: Any) -> None:
    """Draw all weights anew, because some start at zero or are never set."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        shape, name = tuple(weight.shape), weight.path.rpartition("/")[2]
        if name == "position_ids":
            weight.assign(np.arange(shape[1])[None])
        elif "int" not in str(weight.dtype):
            values = 0.3 * rng.normal(size=shape)
            weight.assign(values + 1 if name in ("gamma", "lambda1") else values)


def make_images(model: Any) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.normal(size=(2, *model.image_shape)).astype("float32")


def hub_call(model: Any, images: np.ndarray) -> np.ndarray:
    """Call with the images where KerasHub wants them."""
    names = list(model.input) if isinstance(model.input, dict) else None
    inputs = {names[0]: images} if names else images
    return keras.ops.convert_to_numpy(model(inputs))


def assert_same(model: Any, images: np.ndarray, expected: np.ndarray) -> None:
    actual = keras.ops.convert_to_numpy(model(images))
    assert actual.shape == expected.shape
    assert abs(actual - expected).max() < 1e-4 * abs(expected).max()


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_returns_what_kerashub_returns(name, tmp_path):
    peer = BACKBONES[name]()
    randomize(peer)
    peer.save_to_preset(str(tmp_path))
    images = make_images(peer)
    expected = hub_call(peer, images)
    assert_same(keras_vit.load(tmp_path), images, expected)


def test_each_class_of_the_table_is_tested():
    tested = {type(make()).__name__ for make in BACKBONES.values()}
    assert tested == set(NAMES)


CLASSIFIERS = {
    "token": (models.ViTBackbone, VIT, {}),
    "gap": (models.ViTBackbone, VIT, {"pooling": "gap"}),
    "gap_without_class_token": (
        models.ViTBackbone,
        VIT | {"use_class_token": False},
        {"pooling": "gap"},
    ),
    "representation": (models.ViTBackbone, VIT, {"intermediate_dim": 7}),
    "softmax": (models.ViTBackbone, VIT, {"activation": "softmax", "dropout": 0.1}),
    "deit": (models.DeiTBackbone, DEIT, {}),
    "deit_gap": (models.DeiTBackbone, DEIT, {"pooling": "gap"}),
}


def make_classifier(name: str) -> Any:
    cls, config, options = CLASSIFIERS[name]
    backbone = cls(**config)
    is_deit = cls is models.DeiTBackbone
    task = models.DeiTImageClassifier if is_deit else models.ViTImageClassifier
    peer = task(backbone, num_classes=5, **options)
    randomize(peer)
    return peer


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_returns_what_kerashub_returns(name, tmp_path):
    peer = make_classifier(name)
    peer.save_to_preset(str(tmp_path))
    images = make_images(peer.backbone)
    expected = hub_call(peer, images)
    assert_same(keras_vit.load(tmp_path), images, expected)


def test_a_classifier_gets_a_new_head(tmp_path):
    peer = make_classifier("token")
    peer.save_to_preset(str(tmp_path))
    model = keras_vit.load(tmp_path, num_classes=None)
    images = make_images(peer.backbone)
    assert_same(model, images, hub_call(peer.backbone, images)[:, 0])
    assert keras_vit.load(tmp_path, num_classes=3).output_shape == (None, 3)


def test_deit_of_a_backbone_gets_two_classifiers(tmp_path):
    peer = BACKBONES["deit"]()
    randomize(peer)
    peer.save_to_preset(str(tmp_path))
    model = keras_vit.load(tmp_path, pooling="token", num_classes=4)
    paths = {weight.path for weight in model.weights}
    assert {"head/logits/kernel", "head/distillation_logits/kernel"} <= paths


TWO_TOWERS = {
    "siglip": lambda: models.SigLIPBackbone(
        siglip(name="vision_encoder"),
        models.SigLIPTextEncoder(**TEXT, name="text_encoder"),
    ),
    "clip": lambda: models.CLIPBackbone(
        clip(name="vision_encoder"),
        models.CLIPTextEncoder(**TEXT, name="text_encoder"),
        projection_dim=6,
    ),
    "metaclip_2": lambda: models.MetaCLIP2Backbone(
        models.MetaCLIP2VisionEncoder(**SQUARE, name="vision_encoder"),
        models.MetaCLIP2TextEncoder(**TEXT, name="text_encoder"),
        projection_dim=6,
    ),
}


@pytest.mark.filterwarnings("ignore:.*arrays of the file are left out:UserWarning")
@pytest.mark.parametrize("name", TWO_TOWERS)
def test_of_two_towers_the_one_for_images_is_loaded(name, tmp_path):
    peer = TWO_TOWERS[name]()
    randomize(peer)
    peer.save_to_preset(str(tmp_path))
    images = make_images(peer.vision_encoder)
    tokens = hub_call(peer.vision_encoder, images)
    expected = tokens
    if name != "siglip":
        expected = keras.ops.convert_to_numpy(peer.vision_pooler(tokens))
        changes = {"pooling": None}
        if name == "metaclip_2":
            expected = peer.vision_post_layer_norm(expected)
            expected = keras.ops.convert_to_numpy(expected)
            changes["final_norm"] = None
        assert_same(keras_vit.load(tmp_path, **changes), images, tokens)
    assert_same(keras_vit.load(tmp_path), images, expected)


def test_a_clip_encoder_that_reads_one_position_everywhere_is_kept(tmp_path):
    peer = clip()
    randomize(peer)
    ids = next(w for w in peer.weights if w.path.endswith("position_ids"))
    ids.assign(np.zeros(tuple(ids.shape)))  # As the class leaves them.
    peer.save_to_preset(str(tmp_path))
    images = make_images(peer)
    assert_same(keras_vit.load(tmp_path), images, hub_call(peer, images))


def test_dinov2_reads_the_positions_that_are_in_use(tmp_path):
    peer = BACKBONES["dinov2_of_another_size"]()
    randomize(peer)
    peer.save_to_preset(str(tmp_path))
    config = keras_vit.load(tmp_path).config
    assert config.image_size == (24, 24)
    model = keras_vit.load(tmp_path, image_size=(16, 32))
    assert model.output_shape == (None, 1 + 2 * 4, 16)


def test_bfloat16_weights_are_read(tmp_path):
    peer = models.ViTBackbone(**VIT, dtype="bfloat16")
    randomize(peer)
    peer.save_to_preset(str(tmp_path))
    single = models.ViTBackbone(**VIT)
    for weight, value in zip(single.weights, peer.weights, strict=True):
        weight.assign(keras.ops.cast(value, "float32"))
    images = make_images(single)
    assert_same(keras_vit.load(tmp_path), images, hub_call(single, images))


def test_weights_in_several_files_are_read(tmp_path):
    peer = BACKBONES["vit"]()
    randomize(peer)
    peer.save_to_preset(str(tmp_path), max_shard_size=2e-5)
    assert len(list(tmp_path.glob("model_*.weights.h5"))) > 1
    images = make_images(peer)
    assert_same(keras_vit.load(tmp_path), images, hub_call(peer, images))


def test_the_image_converter_becomes_the_preprocessing(tmp_path):
    backbone = BACKBONES["vit"]()
    scale = [1 / 255 / 0.2, 1 / 255 / 0.25, 1 / 255 / 0.3]
    converter = keras_hub.layers.ViTImageConverter(
        image_size=(16, 24), scale=scale, offset=[-2.0, -1.5, -1.0]
    )
    peer = models.ViTImageClassifier(
        backbone,
        num_classes=5,
        preprocessor=models.ViTImageClassifierPreprocessor(image_converter=converter),
    )
    peer.save_to_preset(str(tmp_path))
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3)).astype("uint8")
    expected = keras.ops.convert_to_numpy(converter(pixels[None]))[0]
    for file in ("image_converter.json", None):
        model = keras_vit.load(tmp_path)
        np.testing.assert_allclose(model.preprocessing(pixels), expected, atol=1e-5)
        if file is not None:  # The preprocessor holds a copy.
            (tmp_path / file).unlink()
    (tmp_path / "preprocessor.json").unlink()
    assert keras_vit.load(tmp_path).preprocessing is None


def test_one_number_scales_all_channels(tmp_path):
    BACKBONES["vit"]().save_to_preset(str(tmp_path))
    converter = keras_hub.layers.ViTImageConverter(
        image_size=(16, 24), scale=1 / 127.5, offset=-1, crop_to_aspect_ratio=False
    )
    converter.save_to_preset(str(tmp_path))
    preprocessing = keras_vit.load(tmp_path).preprocessing
    assert preprocessing.resize == "squash"
    assert preprocessing.interpolation == "bilinear"
    np.testing.assert_allclose(preprocessing.mean, 0.5)
    np.testing.assert_allclose(preprocessing.std, 0.5)


def edit(file: Any, change: Any) -> None:
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))


def test_channels_first_is_told_by_the_kernel(tmp_path):
    peer = BACKBONES["vit"]()
    randomize(peer)
    peer.save_to_preset(str(tmp_path))
    shape = {"image_shape": [3, 16, 24]}  # The configuration does not name its order.
    edit(tmp_path / "config.json", lambda c: c["config"].update(shape))
    images = make_images(peer)
    assert_same(keras_vit.load(tmp_path), images, hub_call(peer, images))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"num_heads": 4}, "shapes differ"),
        ({"mlp_dim": 24}, "shapes differ"),
        ({"patch_size": [4, 16]}, "shapes differ"),
        ({"num_layers": 3}, "arrays are missing"),
        ({"num_layers": 1}, "arrays are left over"),
        ({"use_mlp_bias": False}, "arrays are left over"),
        ({"hidden_dim": None}, "whole number"),
    ],
)
def test_a_config_of_other_weights_is_refused(change, match, tmp_path):
    BACKBONES["vit"]().save_to_preset(str(tmp_path))
    edit(tmp_path / "config.json", lambda c: c["config"].update(change))
    with pytest.raises(ValueError, match=match):
        keras_vit.load(tmp_path)


def test_a_missing_option_is_named(tmp_path):
    BACKBONES["vit"]().save_to_preset(str(tmp_path))
    edit(tmp_path / "config.json", lambda c: c["config"].pop("num_heads"))
    with pytest.raises(ValueError, match="num_heads.*save_to_preset"):
        keras_vit.load(tmp_path)


def test_another_class_is_refused_and_the_known_ones_listed(tmp_path):
    BACKBONES["vit"]().save_to_preset(str(tmp_path))
    edit(tmp_path / "config.json", lambda c: c.update(class_name="ResNetBackbone"))
    with pytest.raises(ValueError, match=r"ResNetBackbone.*DINOV3Backbone"):
        keras_vit.load(tmp_path)


def test_another_task_is_refused(tmp_path):
    make_classifier("token").save_to_preset(str(tmp_path))
    edit(tmp_path / "task.json", lambda c: c.update(class_name="ViTSegmenter"))
    with pytest.raises(ValueError, match=r"ViTSegmenter.*backbone.save_to_preset"):
        keras_vit.load(tmp_path)


def test_a_class_token_that_is_not_there_is_not_pooled(tmp_path):
    make_classifier("gap_without_class_token").save_to_preset(str(tmp_path))
    edit(tmp_path / "task.json", lambda c: c["config"].update(pooling="token"))
    with pytest.raises(ValueError, match="pooling='gap'"):
        keras_vit.load(tmp_path)


def test_biases_of_queries_alone_are_refused(tmp_path):
    models.DINOV3Backbone(**DINOV3, use_value_bias=False).save_to_preset(str(tmp_path))
    with pytest.raises(ValueError, match="all but the keys"):
        keras_vit.load(tmp_path)


def test_missing_weights_are_named(tmp_path):
    BACKBONES["vit"]().save_to_preset(str(tmp_path))
    (tmp_path / "model.weights.h5").unlink()
    with pytest.raises(FileNotFoundError, match="model.weights.h5"):
        keras_vit.load(tmp_path)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused(share, tmp_path):
    BACKBONES["vit"]().save_to_preset(str(tmp_path))
    file = tmp_path / "model.weights.h5"
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match="no complete file of Keras weights"):
        keras_vit.load(tmp_path)


def test_arrays_that_are_not_in_the_file_are_refused(tmp_path):
    BACKBONES["vit"]().save_to_preset(str(tmp_path))
    file, name = tmp_path / "model.weights.h5", "layers/vi_t_encoder/layer_norm/vars/0"
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(64))
    with h5py.File(file, "a") as h5:
        del h5[name]
        h5.create_dataset(name, (16,), "float32", external=[(str(secret), 0, 64)])
    with pytest.raises(ValueError, match="from another file"):
        keras_vit.load(tmp_path)
    with h5py.File(file, "a") as h5:
        del h5[name]
        h5.create_dataset(name, (1 << 40,), "float32", chunks=(1 << 10,))
    with pytest.raises(ValueError, match="is not in the file"):
        keras_vit.load(tmp_path)


@pytest.mark.parametrize("file", ["task.json", "image_converter.json"])
def test_broken_json_is_named(file, tmp_path):
    BACKBONES["vit"]().save_to_preset(str(tmp_path))
    (tmp_path / file).write_text("{")
    with pytest.raises(ValueError, match=file):
        keras_vit.load(tmp_path)
