"""What a ViT computes on the way, compared with timm."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.features import attention_scores, features, pre_logits
from tests.contract import example, set_random_weights, to_numpy
from tests.peers import timm_call, timm_model, write_timm

SIZES = {"embed_dim": 32, "depth": 3, "num_heads": 2, "num_classes": 5}
# One of each kind of tokens, norms, blocks, positions and pooling.
TIMM = [
    "vit_base_patch16_224",
    "vit_base_patch14_reg4_dinov2",
    "deit_base_distilled_patch16_224",
    "vit_base_patch16_siglip_224",
    "vit_base_patch16_rpn_224",
    "vit_base_patch16_dinov3",
    "vit_base_patch16_rope_mixed_224",
    "vit_dlittle_patch16_reg1_gap_256",
    "vit_dpwee_patch16_reg1_gap_256",
    "eva02_base_patch14_224",
    "vit_pe_core_base_patch16_224",
]


def loaded(name: str, folder: Any) -> tuple[Any, Any, np.ndarray]:
    """Return timm's model, ours with the same weights, and images for them."""
    patch = 14 if "patch14" in name else 16
    options = {**SIZES, "img_size": (3 * patch, 2 * patch)}
    if "pe_core" in name:
        options["attn_pool_num_heads"] = 2
    theirs = timm_model(name, **options)
    write_timm(theirs, folder)
    return theirs, keras_vit.load(folder), example((2, 3 * patch, 2 * patch, 3))


def tiny(**options: Any) -> keras_vit.ViT:
    model = keras_vit.ViT.from_variant("test", **{"num_classes": 5, **options})
    set_random_weights(model)
    return model


def close(ours: Any, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(
        to_numpy(ours), theirs, rtol=1e-4, atol=1e-5 * abs(theirs).max()
    )


@pytest.mark.parametrize("use_norm", [True, False])
@pytest.mark.parametrize("name", TIMM)
def test_grids_are_those_of_timm(name, use_norm, tmp_path):
    theirs, ours, images = loaded(name, tmp_path)
    has_prefix = bool(ours.config.num_prefix_tokens)
    outputs = features(ours, layers=[0, -1], use_norm=use_norm)(images)
    assert len(outputs) == (4 if has_prefix else 2)
    for block in (0, 2):
        results = theirs_of(theirs, block, use_norm, images)
        grid = results[0].transpose(0, 2, 3, 1)
        assert grid.shape == (2, 3, 2, 32)
        close(outputs[f"block_{block}"], grid)
        if has_prefix:
            close(outputs[f"block_{block}_prefix"], results[1])


def theirs_of(
    model: Any, block: int, use_norm: bool, images: np.ndarray
) -> list[np.ndarray]:
    """Return the grid of one block, channels first, and the tokens before it."""
    results: list[Any] = []

    def call(x: Any) -> Any:
        [found] = model.forward_intermediates(
            x,
            indices=[block],
            norm=use_norm,
            return_prefix_tokens=True,
            intermediates_only=True,
        )
        results.extend(found if isinstance(found, tuple) else [found])
        return results[0]

    timm_call(call, images)
    return [result.numpy() for result in results]


@pytest.mark.parametrize("name", TIMM)
def test_pre_logits_are_those_of_timm(name, tmp_path):
    theirs, ours, images = loaded(name, tmp_path)

    def head(x):
        return theirs.forward_head(theirs.forward_features(x), pre_logits=True)

    close(pre_logits(ours)(images), timm_call(head, images))


def test_tokens_come_as_the_block_returns_them():
    model = tiny()
    images = example((2, 32, 32, 3))
    outputs = features(model, layers=None, as_grid=False, use_norm=False)(images)
    assert list(outputs) == ["block_0", "block_1"]
    x = model.get_layer("patch_encoder")(model.get_layer("patches")(images))
    for name, tokens in outputs.items():
        x = model.get_layer(name)(x)
        close(tokens, to_numpy(x))


def test_the_last_normed_tokens_are_what_a_headless_model_returns():
    model = tiny(num_classes=None, pooling=None, use_class_token=True)
    images = example((2, 32, 32, 3))
    tokens = features(model, as_grid=False)(images)["block_1"]
    close(tokens, to_numpy(model(images)))


def test_models_that_normalize_the_pooled_token_give_tokens_as_they_are():
    model = tiny(pooling="mean", final_norm="after_pooling")
    images = example((2, 32, 32, 3))
    with_norm, without = (
        features(model, use_norm=use)(images)["block_1"] for use in (True, False)
    )
    close(with_norm, to_numpy(without))


def test_blocks_after_the_last_one_asked_for_are_left_out():
    names = [layer.name for layer in features(tiny(), layers=0).layers]
    assert "block_0" in names
    assert "block_1" not in names


def test_grids_keep_the_place_of_each_patch():
    # Without blocks that mix them, one bright patch changes one place of the grid.
    model = tiny(image_size=(24, 32), pooling="mean", positions=None)
    for weight in model.weights:
        if "output_projection" in weight.path:
            weight.assign(0 * weight.value)
    images = np.zeros((1, 24, 32, 3), "float32")
    images[0, 8:16, 24:32] = 1
    grid = to_numpy(features(model, use_norm=False)(images)["block_1"])
    is_changed = abs(grid - grid[:, :1, :1]).max(axis=-1) > 1e-6
    assert np.argwhere(is_changed).tolist() == [[0, 1, 3]]


def test_a_model_without_prefix_has_no_prefix_output():
    assert list(features(tiny(pooling="mean")).output) == ["block_1"]


def test_static_shapes_are_known():
    shapes = {k: tuple(v.shape) for k, v in features(tiny()).output.items()}
    assert shapes == {"block_1": (None, 4, 4, 32), "block_1_prefix": (None, 1, 32)}


def test_features_train_with_a_head_on_top():
    maps = features(tiny(), layers=[0, 1])
    x = keras.layers.Concatenate()([maps.output["block_0"], maps.output["block_1"]])
    outputs = keras.layers.Dense(2)(x)
    model = keras.Model(maps.inputs, outputs)
    model.compile("adam", "mse")
    images, labels = example((4, 32, 32, 3)), example((4, 4, 4, 2))
    history = model.fit(images, labels, epochs=2, verbose=0).history["loss"]
    assert history[1] < history[0]


def test_features_fit_a_dictionary_of_targets():
    maps = features(tiny(), layers=0)
    maps.compile("adam", dict.fromkeys(maps.output, "mse"))
    targets = {"block_0": example((4, 4, 4, 32)), "block_0_prefix": example((4, 1, 32))}
    history = maps.fit(example((4, 32, 32, 3)), targets, epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0]


def test_a_saved_feature_model_gives_the_same(tmp_path):
    maps = features(tiny(), layers=None)
    maps.save(tmp_path / "maps.keras")
    again = keras.saving.load_model(tmp_path / "maps.keras")
    images = example((2, 32, 32, 3))
    outputs = again(images)
    for name, expected in maps(images).items():
        np.testing.assert_array_equal(to_numpy(outputs[name]), to_numpy(expected))


def test_features_share_the_weights_of_the_model():
    model = tiny()
    ids = {id(weight) for weight in model.weights}
    assert {id(weight) for weight in features(model).weights} <= ids


def test_asking_for_features_changes_nothing_in_the_model(tmp_path):
    model = tiny()
    images = example((2, 32, 32, 3))
    before = to_numpy(model(images))
    features(model, layers=None)
    pre_logits(model)
    np.testing.assert_array_equal(to_numpy(model(images)), before)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(to_numpy(again(images)), before)


def test_pre_logits_are_the_representation_if_there_is_one():
    model = tiny(representation_size=12)
    assert pre_logits(model).output_shape == (None, 12)
    images = example((2, 32, 32, 3))
    logits = model.get_layer("head").logits(pre_logits(model)(images))
    close(logits, to_numpy(model(images)))


@pytest.mark.parametrize("layers", [2, -3, [0, 5]])
def test_missing_blocks_are_named(layers):
    with pytest.raises(ValueError, match="layers must be from -2 to 1"):
        features(tiny(), layers=layers)


@pytest.mark.parametrize("layers", [[], [1, -1]])
def test_blocks_are_asked_for_once(layers):
    with pytest.raises(ValueError, match="at least one block and each once"):
        features(tiny(), layers=layers)


@pytest.mark.parametrize("layers", ["block_1", [True], 1.0, [1.5]])
def test_blocks_are_numbers(layers):
    with pytest.raises(TypeError, match="numbers of blocks"):
        features(tiny(), layers=layers)


def test_other_models_have_no_features():
    with pytest.raises(TypeError, match="must be a keras_vit.ViT"):
        features(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))


def test_pre_logits_need_a_pooling():
    model = tiny(num_classes=None, pooling=None)
    with pytest.raises(ValueError, match="pooling=None"):
        pre_logits(model)


# Attention weights

ATTENDING = {
    "paper": {},
    "rotation of each block": {"rotary": "mixed"},
    "norms after": {"block": "post_norm"},
    "parallel": {"block": "parallel"},
    "twin": {"block": "twin"},
    "attention pooling": {"pooling": "attention"},
    "query pooling": {"pooling": "query", "num_registers": 2, "use_class_token": True},
}


@pytest.mark.parametrize("case", ATTENDING)
def test_attention_scores_are_those_of_each_block(case):
    model, images = tiny(**ATTENDING[case]), example((2, 32, 32, 3))
    outputs = attention_scores(model, layers=None)(images)
    close(outputs.pop("outputs"), to_numpy(model(images)))
    length = model.config.num_tokens
    pooling = ["pooling"] if "pooling" in case else []
    assert list(outputs) == ["block_0", "block_1", *pooling]
    for name, scores in outputs.items():
        heads = 4 if case == "twin" else 2
        shape = (2, 2, 1, 16) if name == "pooling" else (2, heads, length, length)
        assert tuple(scores.shape) == shape
        np.testing.assert_allclose(to_numpy(scores).sum(axis=-1), 1, atol=1e-5)


def test_attention_scores_of_one_block_are_what_the_block_returns():
    model, images = tiny(num_layers=3), example((2, 32, 32, 3))
    outputs = attention_scores(model, layers=1)(images)
    assert set(outputs) == {"outputs", "block_1"}
    tokens = features(model, layers=0, as_grid=False, use_norm=False)(images)["block_0"]
    block = model.get_layer("block_1")
    _, expected = block(tokens, return_attention_scores=True)
    close(outputs["block_1"], to_numpy(expected))


def test_attention_scores_share_the_weights_and_change_nothing_in_the_model():
    model, images = tiny(), example((2, 32, 32, 3))
    before = to_numpy(model(images))
    scores = attention_scores(model)
    assert {id(w) for w in scores.weights} == {id(w) for w in model.weights}
    np.testing.assert_array_equal(to_numpy(model(images)), before)


def test_attention_scores_of_missing_blocks_are_refused():
    with pytest.raises(ValueError, match="layers must be from -2 to 1"):
        attention_scores(tiny(), layers=2)
    with pytest.raises(TypeError, match="must be a keras_vit.ViT"):
        attention_scores(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
