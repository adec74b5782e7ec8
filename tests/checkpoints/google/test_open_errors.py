"""Damaged `.npz` files, and what the format cannot express."""

from __future__ import annotations

import numpy as np
import pytest

import keras_vit
from keras_vit.checkpoints.google.write import npz_arrays
from tests.npz_peers import (
    D,
    L,
    in_old_names,
    make_arrays,
    stacked,
)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(share, tmp_path):
    np.savez(tmp_path / "model.npz", **make_arrays())
    data = (tmp_path / "model.npz").read_bytes()
    (tmp_path / "model.npz").write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match="no complete .npz file.*again"):
        keras_vit.load(tmp_path / "model.npz")


def test_a_flipped_bit_is_found(tmp_path):
    np.savez(tmp_path / "model.npz", **make_arrays())
    data = bytearray((tmp_path / "model.npz").read_bytes())
    data[len(data) // 3] ^= 1
    (tmp_path / "model.npz").write_bytes(data)
    with pytest.raises(ValueError, match="no complete .npz file"):
        keras_vit.load(tmp_path / "model.npz")


def test_a_header_that_lies_is_refused(tmp_path):
    np.savez(tmp_path / "model.npz", **make_arrays())
    data = (tmp_path / "model.npz").read_bytes()
    lie = data.replace(b"'shape': (1, 10, 16)", b"'shape': (9, 10, 16)")
    assert lie != data
    (tmp_path / "model.npz").write_bytes(lie)
    with pytest.raises(ValueError, match="no complete .npz file"):
        keras_vit.load(tmp_path / "model.npz")


def test_a_pickle_is_never_read(tmp_path):
    arrays = make_arrays() | {"extra": np.array([{"a": 1}], dtype=object)}
    np.savez(tmp_path / "model.npz", **arrays)
    with pytest.raises(ValueError, match="pickle, which is never read"):
        keras_vit.load(tmp_path / "model.npz")


def test_a_hybrid_is_no_plain_vit(tmp_path):
    arrays = in_old_names(make_arrays()) | {"conv_root/kernel": np.ones((7, 7, 3, 8))}
    np.savez(tmp_path / "model.npz", **arrays)
    with pytest.raises(ValueError, match="not a plain ViT"):
        keras_vit.load(tmp_path / "model.npz")


def test_arrays_of_another_model_are_refused(tmp_path):
    np.savez(tmp_path / "model.npz", x_train=np.ones(3), y_train=np.ones(3))
    with pytest.raises(ValueError, match=r"embedding/kernel.*x_train"):
        keras_vit.load(tmp_path / "model.npz")


def test_positions_of_a_rectangle_are_refused(tmp_path):
    np.savez(tmp_path / "model.npz", **make_arrays(rows=7))
    with pytest.raises(ValueError, match="square grid.*received 7 rows"):
        keras_vit.load(tmp_path / "model.npz")


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.pop("Transformer/encoder_norm/bias"),
        lambda a: a.pop("Transformer/encoderblock_1/LayerNorm_0/scale"),
        lambda a: a.update(left_over=np.ones(2)),
        lambda a: a.update({"head/bias": np.ones(9, "float32")}),
        lambda a: a.update({"cls": np.ones((1, 16, 1), "float32")}),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, tmp_path):
    arrays = make_arrays()
    change(arrays)
    np.savez(tmp_path / "model.npz", **arrays)
    with pytest.raises(ValueError, match="does not match the model"):
        keras_vit.load(tmp_path / "model.npz")


@pytest.mark.parametrize("shape", [(), (1, D), (L + 1, D)])
def test_a_stack_of_another_number_of_blocks_is_refused(shape, tmp_path):
    arrays = stacked(make_arrays())
    name = "Transformer/encoderblock/MultiHeadDotProductAttention_0/out/bias"
    arrays[name] = np.ones(shape, "float32")
    np.savez(tmp_path / "model.npz", **arrays)
    with pytest.raises(ValueError, match="shapes differ"):
        keras_vit.load(tmp_path / "model.npz")


def test_a_missing_array_that_tells_a_size_is_named(tmp_path):
    arrays = make_arrays()
    del arrays["Transformer/encoderblock_0/MlpBlock_0/Dense_0/kernel"]
    np.savez(tmp_path / "model.npz", **arrays)
    with pytest.raises(ValueError, match="MlpBlock_0/Dense_0/kernel"):
        keras_vit.load(tmp_path / "model.npz")


TINY = {
    "image_size": 8,
    "patch_size": 4,
    "hidden_dim": 8,
    "num_layers": 1,
    "num_heads": 2,
    "mlp_dim": 8,
    "num_classes": 3,
    "activation": "gelu_tanh",
}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"activation": "gelu"}, "activation='gelu_tanh'"),
        ({"epsilon": 1e-5}, "epsilon=1e-06"),
        ({"layer_scale": 0.1}, "layer_scale=None"),
        ({"num_registers": 2}, "num_registers=0"),
        ({"image_size": (8, 12)}, "image_size"),
        ({"image_size": None, "position_grid": (2, 2)}, "one image size.*resize"),
        ({"positions": None}, "positions='sincos'"),
        ({"pooling": "mean", "use_class_token": True}, "pooling='token'"),
        ({"pooling": None, "num_classes": None}, "pooling='mean'"),
    ],
)
def test_what_the_files_cannot_hold_is_named(options, named):
    model = keras_vit.ViT(**{**TINY, **options})
    with pytest.raises(ValueError, match=named):
        npz_arrays(model)


def test_rates_of_training_do_not_stand_against_writing():
    rates = {"stochastic_depth_rate": 0.2, "stochastic_depth_curve": "constant"}
    norms = {"normalization": "layer_float16"}
    assert npz_arrays(keras_vit.ViT(**TINY, **rates, **norms))


def test_the_old_naming_has_no_attention_pooling():
    model = keras_vit.ViT(**TINY, pooling="attention")
    with pytest.raises(ValueError, match="pooling='mean'"):
        npz_arrays(model, "vision_transformer")


def test_an_unknown_naming_is_refused():
    with pytest.raises(ValueError, match="big_vision"):
        npz_arrays(keras_vit.ViT(**TINY), "flax")
