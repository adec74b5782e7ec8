"""Copies of a trained model with something changed; sizes compared with timm."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import Preprocessing
from keras_vit.checkpoints.resample import resize_matrix
from keras_vit.features import pre_logits
from keras_vit.keras_internals import all_layers
from keras_vit.surgery import changed, replace_head, resize
from keras_vit.training import SGD, CrossEntropy
from tests.contract import example, set_random_weights, to_numpy
from tests.peers import timm_call, timm_model, write_timm

TIMM = [
    "vit_base_patch16_224",
    "vit_base_patch14_reg4_dinov2",
    "deit_base_distilled_patch16_224",
    "vit_base_patch16_siglip_224",
    "eva02_base_patch14_224",
    "vit_pe_core_base_patch16_224",
]
NAMES = ["ant", "bee", "cat", "dog", "eel"]


def tiny(**options: Any) -> keras_vit.ViT:
    model = keras_vit.ViT.from_variant("test", **{"num_classes": 5, **options})
    set_random_weights(model)
    return model


def close(ours: Any, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(to_numpy(ours), theirs, atol=1e-5 * abs(theirs).max())


def arrays(model: keras.Model) -> dict[str, np.ndarray]:
    return {w.path: keras.ops.convert_to_numpy(w.value) for w in model.weights}


# Resize


@pytest.mark.parametrize(
    "sizes",
    [
        {"image_size": (48, 80)},
        {"patch_size": (8, 12)},
        {"image_size": (36, 24), "patch_size": 12},
    ],
    ids=["image", "patch", "both"],
)
@pytest.mark.parametrize("name", TIMM)
def test_resized_models_are_those_of_timm(name, sizes, tmp_path):
    options: dict[str, Any] = {"pe_core": {"attn_pool_num_heads": 2}}.get(
        name[4:11], {}
    )
    size = (64, 48) if "patch16" in name else (56, 42)
    theirs = timm_model(
        name,
        **{"embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 5},
        **{"img_size": size, **options},
    )
    write_timm(theirs, tmp_path)
    model = resize(keras_vit.load(tmp_path), **sizes)
    names = {"image_size": "img_size", "patch_size": "patch_size"}
    pairs = {k: (v, v) if isinstance(v, int) else v for k, v in sizes.items()}
    theirs.set_input_size(**{names[k]: v for k, v in pairs.items()})
    images = example((2, *model.input_shape[1:]))
    close(model(images), timm_call(theirs, images))


def test_all_but_positions_and_patches_is_copied():
    model = tiny()
    before, after = arrays(model), arrays(resize(model, image_size=48, patch_size=4))
    assert list(before) == list(after)
    for path, value in before.items():
        if path not in (
            "patch_encoder/position_embedding/table",
            "patch_encoder/projection/kernel",
        ):
            np.testing.assert_array_equal(after[path], value)


def test_the_same_size_gives_an_equal_copy():
    model = tiny(image_size=(24, 40))
    copy = resize(model)
    assert copy.get_config() == model.get_config()
    for path, value in arrays(copy).items():
        np.testing.assert_array_equal(value, arrays(model)[path])


def test_preprocessing_and_class_names_come_along():
    preprocessing = Preprocessing(image_size=32, crop_ratio=0.9, mean=(0.1, 0.2, 0.3))
    model = tiny(preprocessing=preprocessing, class_names=NAMES)
    larger = resize(model, image_size=(40, 48))
    assert larger.preprocessing.image_size == (40, 48)
    assert larger.preprocessing.mean == preprocessing.mean
    assert larger.preprocessing.crop_ratio == 0.9
    assert list(larger.class_names) == NAMES
    assert model.preprocessing == preprocessing


def test_larger_patches_of_enlarged_images_give_the_same_tokens():
    # FlexiViT's promise, for an enlargement that the kernel can undo exactly.
    model = tiny(image_size=16, patch_size=4, pooling="mean")
    larger = resize(
        model, image_size=32, patch_size=8, interpolation="bilinear", antialias=False
    )
    matrix = resize_matrix(4, 8, "bilinear", False)
    images = example((2, 16, 16, 3))
    patches = images.reshape(2, 4, 4, 4, 4, 3)
    enlarged = np.einsum("pi,qj,bricjd->brpcqd", matrix, matrix, patches)
    close(larger(enlarged.reshape(2, 32, 32, 3)), to_numpy(model(images)))


@pytest.mark.parametrize("positions", ["sincos", None])
def test_models_without_learned_positions_are_resized(positions):
    model = resize(tiny(positions=positions), image_size=(40, 24))
    built = tiny(positions=positions, image_size=(40, 24))
    images = example((1, 40, 24, 3))
    close(model(images), to_numpy(built(images)))


def test_the_kernel_is_chosen():
    model = tiny()
    tables = [
        arrays(resize(model, image_size=16, **kind))[
            "patch_encoder/position_embedding/table"
        ]
        for kind in ({}, {"interpolation": "bilinear"}, {"antialias": False})
    ]
    assert abs(tables[0] - tables[1]).max() > 1e-3
    assert abs(tables[0] - tables[2]).max() > 1e-3


def test_an_unknown_kernel_is_refused():
    with pytest.raises(ValueError, match="interpolation must be"):
        resize(tiny(), image_size=64, interpolation="lanczos")


def test_an_image_below_one_patch_is_refused():
    with pytest.raises(ValueError, match="at least one patch"):
        resize(tiny(), image_size=4)


def test_other_models_are_refused():
    other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(TypeError, match="must be a keras_vit.ViT"):
        resize(other, image_size=32)
    with pytest.raises(TypeError, match="must be a keras_vit.ViT"):
        replace_head(other, 3)


@pytest.mark.filterwarnings(
    "ignore:Layer .* does not have a `quantize` method:UserWarning"
)
def test_quantized_patches_are_not_resampled():
    model = tiny()
    model.quantize("int8")
    with pytest.raises(ValueError, match="Resize the model first"):
        resize(model, patch_size=4)


# Heads


def test_a_new_head_starts_at_zero():
    model = replace_head(tiny(), 3)
    assert model.output_shape == (None, 3)
    assert not to_numpy(model(example((2, 32, 32, 3)))).any()


@pytest.mark.parametrize("distilled", [False, True])
def test_a_new_head_keeps_all_other_weights(distilled):
    model = tiny(use_distillation_token=distilled)
    before, after = arrays(model), arrays(replace_head(model, 3))
    assert list(before) == list(after)
    for path, value in before.items():
        if not path.startswith("head/"):
            np.testing.assert_array_equal(after[path], value)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pooling": "attention"},
        {"use_distillation_token": True},
        {"representation_size": 12},
        {"classifier_activation": "softmax"},
    ],
)
def test_no_head_gives_the_pre_logits(options):
    model = tiny(**options)
    images = example((2, 32, 32, 3))
    expected = to_numpy(pre_logits(model)(images))
    close(replace_head(model, None)(images), expected)


def test_a_backbone_gets_a_head():
    model = replace_head(tiny(num_classes=None), 4, class_names=NAMES[:4])
    assert model.output_shape == (None, 4)
    assert list(model.class_names) == NAMES[:4]


def test_a_new_head_keeps_preprocessing_but_not_class_names():
    preprocessing = Preprocessing(image_size=32)
    model = tiny(preprocessing=preprocessing, class_names=NAMES)
    new = replace_head(model, 5)
    assert new.preprocessing == preprocessing
    assert new.class_names is None


@pytest.mark.parametrize("change", [lambda m: resize(m), lambda m: replace_head(m, 3)])
def test_training_the_copy_leaves_the_model_alone(change):
    model = tiny()
    before = arrays(model)
    copy = change(model)
    copy.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    copy.fit(example((4, 32, 32, 3)), np.array([0, 1, 2, 0]), epochs=2, verbose=0)
    for path, value in arrays(model).items():
        np.testing.assert_array_equal(value, before[path])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(example((4, 32, 32, 3)), np.array([0, 1, 2, 0]), verbose=0)
    assert np.isfinite(to_numpy(copy(example((1, 32, 32, 3))))).all()


def test_frozen_layers_stay_frozen():
    model = tiny()
    model.get_layer("block_0").trainable = False
    copy = replace_head(model, 3)
    assert not copy.get_layer("block_0").trainable
    assert copy.get_layer("block_1").trainable
    assert copy.get_layer("head").trainable


def test_dtype_policies_stay():
    model = tiny(dtype="mixed_bfloat16")
    for copy in (resize(model, image_size=48), replace_head(model, 3)):
        assert copy.get_layer("block_0").dtype_policy.name == "mixed_bfloat16"


def test_bfloat16_weights_are_resampled():
    model = tiny(dtype="bfloat16")
    larger = resize(model, image_size=48, patch_size=4)
    assert {str(w.dtype) for w in larger.weights} == {"bfloat16"}
    assert np.isfinite(to_numpy(larger(example((1, 48, 48, 3))))).all()


def test_a_new_head_of_a_frozen_model_trains():
    model = keras_vit.ViT.from_variant("test", num_classes=5)
    model.trainable = False
    copy = keras_vit.replace_head(model, 3)
    assert {w.path for w in copy.trainable_weights} == {
        "head/logits/kernel",
        "head/logits/bias",
    }


def test_changes_keep_precision_and_name_of_an_own_model(tmp_path):
    model = keras_vit.ViT.from_variant(
        "test",
        num_classes=2,
        class_names=["a", "b"],
        dtype="mixed_bfloat16",
        name="abc",
    )
    model.save(tmp_path / "model.keras")
    loaded = keras_vit.load(tmp_path / "model.keras", dropout_rate=0.1)
    assert loaded.dtype_policy.name == "mixed_bfloat16" and loaded.name == "abc"
    assert loaded.class_names == ("a", "b")
    # Another pooling begins a new head, which knows no names.
    pooled = keras_vit.load(tmp_path / "model.keras", pooling="mean")
    assert pooled.class_names is None
    token = "patch_encoder/class_token/token"
    first, second = (
        next(w for w in m.weights if w.path == token) for m in (model, pooled)
    )
    np.testing.assert_array_equal(to_numpy(first.value), to_numpy(second.value))


# Everything else

FAMILIES = [
    {},
    {"block": "post_norm"},
    {"block": "parallel"},
    {"block": "twin", "mlp": "gated"},
    {"attention": "differential"},
    {"rotary": "axial", "use_mlp_norm": True},
    {"pooling": "attention"},
    {"pooling": "query"},
]
IMAGES = example((4, 32, 32, 3))
LABELS = np.arange(4) % 3


def small(**options: Any) -> keras_vit.ViT:
    sizes = {"num_classes": 3, "hidden_dim": 16, "num_heads": 2, "num_layers": 3}
    return keras_vit.ViT(32, 16, **sizes, mlp_dim=16, **options)


def rates_of(model: keras.Model) -> list[tuple[str, float]]:
    return [
        (layer.name, layer.rate)
        for layer in all_layers(model)
        if isinstance(layer, keras.layers.Dropout)
    ]


def losses(model: keras.Model) -> set[float]:
    model.compile(SGD(1e-30), CrossEntropy())
    return {float(model.train_on_batch(IMAGES, LABELS)) for _ in range(3)}  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("curve", ["linear", "constant"])
@pytest.mark.parametrize("options", FAMILIES)
def test_the_rates_are_those_of_a_model_built_with_them(options, curve):
    rates = {
        "stochastic_depth_rate": 0.4,
        "dropout_rate": 0.1,
        "attention_dropout_rate": 0.2,
        "stochastic_depth_curve": curve,
    }
    given = small(**options)
    set_random_weights(given)
    config, before = given.get_config(), arrays(given)
    model, expected = changed(given, **rates), small(**options, **rates)
    assert rates_of(model) == rates_of(expected)
    assert model.config == expected.config
    assert given.get_config() == config
    for path, value in before.items():
        np.testing.assert_array_equal(arrays(model)[path], value)


def test_new_rates_work_in_the_copy_alone():
    model = small()
    set_random_weights(model)
    assert len(losses(model)) == 1
    dropping = changed(model, dropout_rate=0.5)
    assert len(losses(dropping)) == 3
    deep = changed(dropping, dropout_rate=0.0, stochastic_depth_rate=0.9)
    assert len(losses(deep)) > 1
    assert len(losses(changed(deep, stochastic_depth_rate=0.0))) == 1
    assert len(losses(model)) == 1


def test_patch_dropout_comes_and_goes():
    model = changed(small(), patch_dropout_rate=0.5)
    assert model.get_layer("patch_dropout").rate == 0.5
    names = [layer.name for layer in changed(model, patch_dropout_rate=0.0).layers]
    assert "patch_dropout" not in names


@pytest.mark.parametrize("options", FAMILIES[:2])
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "bfloat16"])
def test_another_dtype_computes_as_a_model_built_with_it(options, dtype):
    model, expected = small(**options), small(**options, dtype=dtype)
    set_random_weights(model)
    expected.set_weights(model.get_weights())
    plain = to_numpy(model(IMAGES))
    copy = changed(model, dtype=dtype)
    np.testing.assert_array_equal(to_numpy(copy(IMAGES)), to_numpy(expected(IMAGES)))
    assert copy.dtype_policy.name == dtype
    assert copy.get_config()["dtype"] == expected.get_config()["dtype"]
    assert {str(w.dtype) for w in model.weights} == {"float32"}
    np.testing.assert_array_equal(to_numpy(model(IMAGES)), plain)
    back = changed(copy, dtype="float32")
    assert {str(w.dtype) for w in back.weights} == {"float32"}


@pytest.mark.filterwarnings(
    "ignore:Layer .* does not have a `quantize` method:UserWarning"
)
def test_a_quantized_copy_is_that_of_keras():
    model = small()
    set_random_weights(model)
    before = arrays(model)
    quantized = changed(model, quantization="int8")
    for path, value in arrays(model).items():
        np.testing.assert_array_equal(value, before[path])
    model.quantize("int8")
    np.testing.assert_array_equal(to_numpy(quantized(IMAGES)), to_numpy(model(IMAGES)))
    # Quantized weights are copied as they are.
    again = changed(quantized, dropout_rate=0.1)
    np.testing.assert_array_equal(to_numpy(again(IMAGES)), to_numpy(quantized(IMAGES)))
    with pytest.raises(ValueError, match="or pass quantization"):
        changed(quantized, dtype="mixed_bfloat16")


def test_models_that_are_no_vit_change_their_computation():
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, keras.layers.Dense(2, name="out")(small()(inputs)))
    copy = changed(model, dtype="mixed_bfloat16", freeze_until="vit")
    kinds = {x.compute_dtype for x in all_layers(copy) if "Input" not in str(type(x))}
    assert kinds == {"bfloat16"}
    assert [w.path for w in copy.trainable_weights] == ["out/kernel", "out/bias"]
    assert {layer.compute_dtype for layer in all_layers(model)} == {"float32"}
    assert len(model.trainable_weights) == len(model.weights)
    with pytest.raises(ValueError, match="Build or load the model with dtype="):
        changed(model, dtype="float64")
    with pytest.raises(TypeError, match=r"dropout_rate.* change a keras_vit\.ViT"):
        changed(model, dropout_rate=0.1)


@pytest.mark.parametrize("mode", ["full", "activations"])
def test_rematerialization_changes_no_gradient(mode):
    results = []
    given = small(dropout_rate=0.2)
    set_random_weights(given)
    for each in (None, mode):
        keras.utils.set_random_seed(1)
        model = changed(given, rematerialization=each)
        model.compile(SGD(0.1), CrossEntropy())
        model.train_on_batch(IMAGES, LABELS)
        results.append(model.get_weights())
    for plain, again in zip(*results, strict=True):
        np.testing.assert_allclose(plain, again, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="Build the model inside keras.RematScope"):
        changed(given, rematerialization="larger_than")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("mode", ["full", "activations"])
def test_a_copy_keeps_the_rematerialization_of_the_model(mode):
    with keras.RematScope(mode):
        model = small()
    copies = [changed(model, dropout_rate=0.1), resize(model, image_size=48)]
    for copy in (*copies, changed(small(), rematerialization=mode)):
        block = copy.get_layer("block_1")._remat_mode
        assert block.mode == mode or block.layer_names.count("block_1") == 1
    plain = changed(model, rematerialization=None)
    assert plain.get_layer("block_1")._remat_mode is None or (
        plain.get_layer("block_1")._remat_mode.mode is None
    )


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"pooling": "mean"}, ("head/logits",)),
        ({"num_registers": 2}, ("patch_encoder/registers/",)),
        ({"representation_size": 8}, ("head/",)),
        ({"final_norm": None}, ()),
        ({"channels": 1}, ("patch_encoder/projection",)),
    ],
)
def test_what_the_model_has_not_begins_anew_and_all_else_is_copied(options, parts):
    model = tiny(positions="patches")
    before, after = arrays(model), arrays(changed(model, **options))
    for path in before.keys() & after.keys():
        if not path.startswith(parts):
            np.testing.assert_array_equal(before[path], after[path], err_msg=path)
    new = set(after) - set(before)
    assert all(path.startswith(parts) for path in new)


def test_weights_that_a_copy_cannot_take_over_are_refused():
    with pytest.raises(ValueError, match="or build a new model"):
        changed(tiny(), mlp_dim=16)
    with pytest.raises(ValueError, match="or build a new model"):
        changed(tiny(), num_layers=1)
    with pytest.raises(TypeError, match="Check the spelling"):
        changed(tiny(), drop_rate=0.1)
