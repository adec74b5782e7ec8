"""Google's `.npz` files, against a forward pass in NumPy and timm's own loader."""

from __future__ import annotations

import functools
import math
import re

import keras
import ml_dtypes
import numpy as np
import pytest

import keras_vit
from keras_vit.checkpoints.npz import npz_arrays, open_npz
from keras_vit.checkpoints.npz_config import npz_naming
from keras_vit.checkpoints.npz_file import NpzFile, write_npz
from tests.peers import import_timm, timm_call

D, H, M, P, L, GRID = 16, 2, 24, 4, 2, 3
SIZE = GRID * P


def make_arrays(
    *,
    seed: int = 0,
    cls: bool = True,
    rows: int | None = GRID * GRID + 1,
    pooling: bool = False,
    pre_logits: int | None = None,
    classes: int | None = 5,
    channels: int = 3,
) -> dict[str, np.ndarray]:
    """Return random arrays as big_vision names them today, without a prefix."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int, around: float = 0.0) -> np.ndarray:
        return (around + 0.3 * rng.normal(size=shape)).astype("float32")

    def norm(name: str) -> dict[str, np.ndarray]:
        return {f"{name}/scale": draw(D, around=1.0), f"{name}/bias": draw(D)}

    def dense(name: str, rows: int, columns: int) -> dict[str, np.ndarray]:
        return {f"{name}/kernel": draw(rows, columns), f"{name}/bias": draw(columns)}

    def attention(name: str, heads: int) -> dict[str, np.ndarray]:
        arrays = {}
        for part in ("query", "key", "value"):
            arrays[f"{name}/{part}/kernel"] = draw(D, heads, D // heads)
            arrays[f"{name}/{part}/bias"] = draw(heads, D // heads)
        arrays[f"{name}/out/kernel"] = draw(heads, D // heads, D)
        return arrays | {f"{name}/out/bias": draw(D)}

    def mlp(name: str, width: int) -> dict[str, np.ndarray]:
        return dense(f"{name}/Dense_0", D, width) | dense(f"{name}/Dense_1", width, D)

    arrays = {"embedding/kernel": draw(P, P, channels, D), "embedding/bias": draw(D)}
    if cls:
        arrays["cls"] = draw(1, 1, D)
    if rows:
        arrays["pos_embedding"] = draw(1, rows, D)
    for i in range(L):
        block = f"Transformer/encoderblock_{i}"
        arrays |= norm(f"{block}/LayerNorm_0") | norm(f"{block}/LayerNorm_1")
        arrays |= attention(f"{block}/MultiHeadDotProductAttention_0", H)
        arrays |= mlp(f"{block}/MlpBlock_0", M)
    arrays |= norm("Transformer/encoder_norm")
    if pooling:
        arrays["MAPHead_0/probe"] = draw(1, 1, D)
        arrays |= attention("MAPHead_0/MultiHeadDotProductAttention_0", 4)
        arrays |= norm("MAPHead_0/LayerNorm_0") | mlp("MAPHead_0/MlpBlock_0", 20)
    if pre_logits:
        arrays |= dense("pre_logits", D, pre_logits)
    if classes:
        arrays |= dense("head", pre_logits or D, classes)
    return arrays


def forward(arrays: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """Compute what big_vision's Flax modules compute, in float64."""
    w = {name: array.astype("float64") for name, array in arrays.items()}

    def dense(name: str, x: np.ndarray) -> np.ndarray:
        return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)
        return x * w[f"{name}/scale"] + w[f"{name}/bias"]

    def mlp(name: str, x: np.ndarray) -> np.ndarray:
        x = dense(f"{name}/Dense_0", x)
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return dense(f"{name}/Dense_1", 0.5 * x * (1 + np.tanh(inner)))

    def attention(name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        def heads(part: str, z: np.ndarray) -> np.ndarray:
            kernel, bias = w[f"{name}/{part}/kernel"], w[f"{name}/{part}/bias"]
            return np.einsum("btD,Dhd->bthd", z, kernel) + bias

        q, k, v = heads("query", x), heads("key", y), heads("value", y)
        scores = np.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights = weights / weights.sum(-1, keepdims=True)
        x = np.einsum("bhqk,bkhd->bqhd", weights, v)
        kernel = w[f"{name}/out/kernel"]
        return np.einsum("bqhd,hdD->bqD", x, kernel) + w[f"{name}/out/bias"]

    batch = len(images)
    x = images.astype("float64")
    grid = x.shape[1] // P, x.shape[2] // P
    x = x.reshape(batch, grid[0], P, grid[1], P, -1)
    x = np.einsum("bipjqc,pqcD->bijD", x, w["embedding/kernel"])
    x = (x + w["embedding/bias"]).reshape(batch, -1, D)
    table = w.get("pos_embedding")
    has_class_row = table is not None and table.shape[1] == x.shape[1] + 1
    if not has_class_row:
        x = x + (sincos(*grid) if table is None else table)
    if "cls" in w:
        x = np.concatenate([np.tile(w["cls"], (batch, 1, 1)), x], axis=1)
    if has_class_row:
        x = x + table
    for i in range(L):
        block = f"Transformer/encoderblock_{i}"
        y = norm(f"{block}/LayerNorm_0", x)
        x = x + attention(f"{block}/MultiHeadDotProductAttention_0", y, y)
        x = x + mlp(f"{block}/MlpBlock_0", norm(f"{block}/LayerNorm_1", x))
    x = norm("Transformer/encoder_norm", x)
    if "MAPHead_0/probe" in w:
        probe = np.tile(w["MAPHead_0/probe"], (batch, 1, 1))
        x = attention("MAPHead_0/MultiHeadDotProductAttention_0", probe, x)
        x = (x + mlp("MAPHead_0/MlpBlock_0", norm("MAPHead_0/LayerNorm_0", x)))[:, 0]
    else:
        x = x[:, 0] if "cls" in w else x.mean(1)
    if "pre_logits/kernel" in w:
        x = np.tanh(dense("pre_logits", x))
    return dense("head", x) if "head/kernel" in w else x


def sincos(rows: int, columns: int) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns]
    omega = 1 / 10_000 ** (np.arange(D // 4) / (D // 4 - 1))
    x, y = np.outer(x.ravel(), omega), np.outer(y.ravel(), omega)
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1)


def in_old_names(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Number the parts of a block through, as the first code did."""
    table = "Transformer/posembed_input/pos_embedding"
    numbers = {
        r"^pos_embedding": table,
        r"(encoderblock_\d+)/LayerNorm_1": r"\1/LayerNorm_2",
        "^(Transformer.*)Attention_0": r"\1Attention_1",
        "^(Transformer.*)MlpBlock_0": r"\1MlpBlock_3",
    }

    def rename(name: str) -> str:
        return functools.reduce(lambda n, p: re.sub(*p, n), numbers.items(), name)

    return {rename(name): array for name, array in arrays.items()}


def stacked(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Put the arrays of all blocks behind each other, as nn.scan does."""
    first = "Transformer/encoderblock_0"
    result = {n: a for n, a in arrays.items() if "encoderblock" not in n}
    for name in arrays:
        if name.startswith(first):
            blocks = [name.replace("block_0", f"block_{i}") for i in range(L)]
            name = name.replace("block_0", "block")
            result[name] = np.stack([arrays[block] for block in blocks])
    return result


def prefixed(
    arrays: dict[str, np.ndarray], prefix: str, **others: np.ndarray
) -> dict[str, np.ndarray]:
    arrays = {prefix + name: array for name, array in arrays.items()}
    return arrays | {name.replace("__", "/"): a for name, a in others.items()}


def padded(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Give vectors as (1, 1, 1, n)."""
    return {n: a[None, None, None] if a.ndim == 1 else a for n, a in arrays.items()}


PATCHES = GRID * GRID
TEXT = {"params__t": np.ones(1), "params__txt__pos_embedding": np.ones((1, 7, 3))}
STATE = {"opt__state__step": np.array(3), "extra": np.ones(2)}
TOP_LEVEL_POOLING = {"MAPHead_0/": ""}
# Name of a form: the arrays as big_vision has them today, and from these to the file.
FORMS = {
    "vision_transformer": ({}, in_old_names),
    "in21k": ({"pre_logits": 6}, in_old_names),
    "augreg_optimizer": (
        {},
        lambda a: prefixed(in_old_names(a), "opt/target/", **STATE),
    ),
    "gsam": ({"cls": False, "rows": PATCHES}, in_old_names),
    "padded": ({"pre_logits": 6}, lambda a: padded(in_old_names(a))),
    "table_in_transformer": (
        {},
        lambda a: {
            n.replace("pos_emb", "Transformer/pos_emb"): v for n, v in a.items()
        },
    ),
    "big_vision": ({}, lambda a: a),
    "flexivit": ({"rows": PATCHES}, lambda a: prefixed(a, "params/")),
    "sincos": ({"cls": False, "rows": None, "pre_logits": 6}, lambda a: a),
    "siglip": (
        {"cls": False, "rows": PATCHES, "pooling": True, "classes": None},
        lambda a: prefixed(a, "params/img/", **TEXT),
    ),
    "siglip_scanned": (
        {"cls": False, "rows": PATCHES, "pooling": True, "classes": None},
        lambda a: prefixed(stacked(a), "params/img/", **TEXT),
    ),
    "vit_g_development": (
        {"cls": False, "rows": PATCHES, "pooling": True},
        lambda a: {n.replace("MAPHead_0/", ""): v for n, v in a.items()},
    ),
    "lit": ({}, lambda a: {n: v for n, v in a.items() if n != "head/bias"}),
    "scanned_padded": ({}, lambda a: stacked(padded(a))),
    "one_channel": ({"channels": 1}, in_old_names),
    "headless": ({"classes": None}, in_old_names),
}


def make_images(channels: int = 3, size: tuple[int, int] = (SIZE, SIZE)) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.normal(size=(2, *size, channels)).astype("float32")


def outputs(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(images))


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.shape == expected.shape
    assert abs(actual - expected).max() < 1e-4 * abs(expected).max()


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
    naming = npz_naming(file, file.shape)
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
    written = npz_arrays(model, npz_naming(reader, reader.shape))
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
    assert (checkpoint.interpolation, checkpoint.antialias) == ("bilinear", False)
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


def test_the_old_naming_has_no_attention_pooling():
    model = keras_vit.ViT(**TINY, pooling="attention")
    with pytest.raises(ValueError, match="pooling='mean'"):
        npz_arrays(model, "vision_transformer")


def test_an_unknown_naming_is_refused():
    with pytest.raises(ValueError, match="big_vision"):
        npz_arrays(keras_vit.ViT(**TINY), "flax")
