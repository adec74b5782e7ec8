"""Google's `.npz` files, against a forward pass in NumPy and timm's own loader."""

from __future__ import annotations

import keras
import ml_dtypes
import numpy as np
import pytest

import keras_vit
from keras_vit.checkpoints.files.npz import NpzFile, write_npz
from keras_vit.checkpoints.google.config import npz_naming
from keras_vit.checkpoints.google.open import open_npz
from keras_vit.checkpoints.google.write import npz_arrays
from keras_vit.checkpoints.resample import Resampling
from tests.npz_peers import (
    FORMS,
    GRID,
    PATCHES,
    SIZE,
    D,
    H,
    L,
    M,
    P,
    assert_close,
    forward,
    in_old_names,
    make_arrays,
    make_images,
    outputs,
    prefixed,
)
from tests.peers import import_timm, timm_call


@pytest.mark.parametrize("form", FORMS)
def test_a_file_computes_what_its_authors_compute(form, tmp_path):
    options, change = FORMS[form]
    arrays = make_arrays(**options)
    np.savez(tmp_path / "model.npz", **change(arrays))
    if form == "lit":
        arrays["head/bias"] = np.zeros(5)
    changes = {"image_size": SIZE} if form == "sincos" else {}
    model = keras_vit.load(tmp_path / "model.npz", **changes)
    images = make_images(options.get("channels", 3))
    assert_close(outputs(model, images), forward(arrays, images))


@pytest.mark.parametrize("form", FORMS)
def test_what_was_read_is_written_back_bit_for_bit(form, tmp_path):
    options, change = FORMS[form]
    arrays = change(make_arrays(**options))
    np.savez(tmp_path / "model.npz", **arrays)
    checkpoint = open_npz(tmp_path / "model.npz")
    file = NpzFile(tmp_path / "model.npz")
    naming = npz_naming(file.shapes)
    size = {"image_size": SIZE} if form == "sincos" else {}
    written = npz_arrays(keras_vit.load(tmp_path / "model.npz", **size), naming)
    expected = {n: a for n, a in arrays.items() if not checkpoint.is_ignored(n)}
    assert written.keys() == expected.keys()
    for name, array in expected.items():
        assert written[name].dtype == np.float32
        np.testing.assert_array_equal(np.squeeze(written[name]), np.squeeze(array))
        if "padded" not in form:
            assert written[name].shape == array.shape


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("vision_transformer", "Transformer/posembed_input/pos_embedding"),
        ("gsam", "Transformer/encoderblock_1/MlpBlock_3/Dense_0/kernel"),
        ("flexivit", "params/pos_embedding"),
        ("siglip", "params/MAPHead_0/probe"),
    ],
)
def test_the_naming_is_one_that_can_express_the_model(form, names, tmp_path):
    options, change = FORMS[form]
    np.savez(tmp_path / "model.npz", **change(make_arrays(**options)))
    model = keras_vit.load(tmp_path / "model.npz")
    write_npz(tmp_path / "again.npz", npz_arrays(model))
    again = keras_vit.load(tmp_path / "again.npz")
    assert names in npz_arrays(model)
    assert again.config == model.config
    images = make_images()
    np.testing.assert_array_equal(outputs(again, images), outputs(model, images))


@pytest.mark.parametrize("form", ["vision_transformer", "gsam"])
def test_the_newer_naming_holds_an_old_model(form, tmp_path):
    options, change = FORMS[form]
    np.savez(tmp_path / "model.npz", **change(make_arrays(**options)))
    model = keras_vit.load(tmp_path / "model.npz")
    np.savez(tmp_path / "new.npz", **npz_arrays(model, "big_vision"))
    assert keras_vit.load(tmp_path / "new.npz").config == model.config


def test_bfloat16_is_read_from_two_bytes_without_a_meaning(tmp_path):
    arrays = {n: a.astype(ml_dtypes.bfloat16) for n, a in make_arrays().items()}
    np.savez(tmp_path / "void.npz", **arrays)
    raw = {name: array.view("uint16") for name, array in arrays.items()}
    np.savez(tmp_path / "raw.npz", **raw)
    images = make_images()
    expected = forward(arrays, images)
    for name in ("void", "raw"):
        model = keras_vit.load(tmp_path / f"{name}.npz")
        assert_close(outputs(model, images), expected)


def test_naflex_reads_a_linear_kernel_and_a_rectangle_of_positions(tmp_path):
    arrays = make_arrays(cls=False, rows=6, pooling=True, classes=None)
    file = arrays | {
        "embedding/kernel": arrays["embedding/kernel"].reshape(-1, D),
        "pos_embedding": arrays["pos_embedding"].reshape(2, 3, D),
    }
    np.savez(tmp_path / "model.npz", **prefixed(file, "params/img/"))
    model = keras_vit.load(tmp_path / "model.npz")
    assert model.config.image_size == (2 * P, 3 * P)
    images = make_images(size=(2 * P, 3 * P))
    assert_close(outputs(model, images), forward(arrays, images))
    reader = NpzFile(tmp_path / "model.npz")
    written = npz_arrays(model, npz_naming(reader.shapes))
    for name, array in written.items():
        np.testing.assert_array_equal(array, reader[name])


def test_config_and_preprocessing_come_from_the_arrays(tmp_path):
    np.savez(tmp_path / "model.npz", **in_old_names(make_arrays(pre_logits=6)))
    checkpoint = open_npz(tmp_path / "model.npz")
    assert checkpoint.config == keras_vit.ViTConfig(
        image_size=(SIZE, SIZE),
        patch_size=(P, P),
        num_classes=5,
        hidden_dim=D,
        num_layers=L,
        num_heads=H,
        mlp_dim=M,
        activation="gelu_tanh",
        representation_size=6,
        use_class_token=True,
    )
    assert checkpoint.resampling == Resampling("bilinear", antialias=False)
    model = keras_vit.load(tmp_path / "model.npz")
    white = np.full((SIZE, SIZE, 3), 255, "uint8")
    np.testing.assert_array_equal(model.preprocessing(white), np.ones((SIZE, SIZE, 3)))


def test_computed_positions_take_any_image_size(tmp_path):
    arrays = make_arrays(cls=False, rows=None)
    np.savez(tmp_path / "model.npz", **arrays)
    assert open_npz(tmp_path / "model.npz").config.image_size == (224, 224)
    model = keras_vit.load(tmp_path / "model.npz", image_size=(8, 20))
    images = make_images(size=(8, 20))
    assert_close(outputs(model, images), forward(arrays, images))


def test_positions_are_resampled_bilinearly(tmp_path):
    arrays = make_arrays(rows=PATCHES)
    np.savez(tmp_path / "model.npz", **arrays)
    model = keras_vit.load(tmp_path / "model.npz", image_size=2 * SIZE)
    table = model.get_layer("patch_encoder").position_embedding.weights[0]
    table = keras.ops.convert_to_numpy(table.value).reshape(2 * GRID, 2 * GRID, D)
    old = arrays["pos_embedding"].reshape(GRID, GRID, D)
    np.testing.assert_allclose(table[0, 0], old[0, 0], atol=1e-6)
    expected = 0.75 * old[0, 0] + 0.25 * old[0, 1]
    np.testing.assert_allclose(table[0, 1], expected, atol=1e-6)


TIMM = {"img_size": SIZE, "patch_size": P, "embed_dim": D, "depth": L, "num_heads": H}
TIMM |= {"mlp_ratio": M / D, "num_classes": 5, "act_layer": "gelu_tanh"}
TIMM_FORMS = {
    "vision_transformer": {},
    "gsam": {"class_token": False, "global_pool": "avg", "fc_norm": False},
    "flexivit": {"no_embed_class": True},
}


@pytest.mark.parametrize("form", TIMM_FORMS)
def test_timm_computes_the_same_from_the_same_file(form, tmp_path):
    options, change = FORMS[form]
    np.savez(tmp_path / "model.npz", **change(make_arrays(**options)))
    timm = import_timm()
    peer = timm.models.vision_transformer.VisionTransformer(**TIMM, **TIMM_FORMS[form])
    peer.load_pretrained(str(tmp_path / "model.npz"))
    images = make_images()
    model = keras_vit.load(tmp_path / "model.npz")
    assert_close(outputs(model, images), timm_call(peer.eval(), images))


@pytest.mark.parametrize("form", TIMM_FORMS)
@pytest.mark.parametrize("naming", [None, "big_vision"])
def test_timm_reads_what_is_written(form, naming, tmp_path):
    options, change = FORMS[form]
    np.savez(tmp_path / "model.npz", **change(make_arrays(**options)))
    model = keras_vit.load(tmp_path / "model.npz")
    write_npz(tmp_path / "again.npz", npz_arrays(model, naming))
    timm = import_timm()
    peer = timm.models.vision_transformer.VisionTransformer(**TIMM, **TIMM_FORMS[form])
    peer.load_pretrained(str(tmp_path / "again.npz"))
    images = make_images()
    assert_close(outputs(model, images), timm_call(peer.eval(), images))


def test_a_folder_with_model_npz_is_a_checkpoint(tmp_path):
    arrays = make_arrays()
    write_npz(tmp_path / "model.npz", arrays)
    images = make_images()
    expected = forward(arrays, images)
    assert_close(outputs(keras_vit.load(tmp_path), images), expected)
