from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import keras_vit.config
from keras_vit.config import VARIANTS, ViTConfig
from keras_vit.config.options import check_names
from tests.families import FAMILIES

TINY = {
    "image_size": 32,
    "patch_size": 8,
    "num_classes": 10,
    "hidden_dim": 32,
    "num_layers": 2,
    "num_heads": 2,
    "mlp_dim": 64,
}

# Parameters and multiply-accumulates for 1000 classes and 224 pixels, counted by torch
# on the models of timm 1.0.31: parameters() and FlopCounterMode with unfused attention.
# Of the papers, arXiv:2010.11929 gives 86M, 307M (L/16 with its representation layer)
# and 632M, arXiv:2106.04560 gives 1011M and 1843M without head.
COUNTS = {
    "Ti/16": (5_717_416, 1_253_683_200),
    "S/32": (22_878_952, 1_142_909_952),
    "S/16": (22_050_664, 4_598_882_304),
    "S/8": (22_055_272, 22_405_742_592),
    "B/32": (88_224_232, 4_409_186_304),
    "B/16": (86_567_656, 17_563_828_224),
    "B/8": (86_576_872, 78_148_337_664),
    "L/32": (306_535_400, 15_377_539_072),
    "L/16": (304_326_632, 61_554_712_576),
    "L/14": (304_203_752, 81_013_006_336),
    "H/14": (632_045_800, 167_295_109_120),
    "g/14": (1_012_611_432, 267_031_491_584),
    "G/14": (1_844_440_680, 483_747_550_208),
}


def test_each_published_variant_has_counts_to_compare_with():
    published = {
        name
        for name, variant in VARIANTS.items()
        if variant.source.startswith("arXiv:")
    }
    assert published == set(COUNTS)


@pytest.mark.parametrize("variant", COUNTS)
def test_num_parameters_equals_that_of_timm(variant):
    assert ViTConfig.from_variant(variant).num_parameters == COUNTS[variant][0]


@pytest.mark.parametrize("variant", COUNTS)
def test_macs_equal_those_of_timm(variant):
    assert ViTConfig.from_variant(variant).macs == COUNTS[variant][1]


def test_macs_are_those_of_the_matrix_products():
    config = ViTConfig(
        **{**TINY, "image_size": (33, 23)}, pooling="mean", representation_size=16
    )
    tokens, head_width = 4 * 2, 32 // 2
    products = [(tokens, 8 * 8 * 3, 32)]  # (rows, inner, columns)
    for _ in range(2):
        products += [(tokens, 32, 32)] * 4  # query, key, value, output
        products += [(tokens, head_width, tokens), (tokens, tokens, head_width)] * 2
        products += [(tokens, 32, 64), (tokens, 64, 32)]
    products += [(1, 32, 16), (1, 16, 10)]
    assert config.macs == sum(rows * inner * cols for rows, inner, cols in products)


def test_the_default_is_vit_b16():
    assert ViTConfig() == ViTConfig.from_variant("B/16")


def test_each_variant_has_a_source():
    assert all(
        variant.source.startswith(("arXiv:", "keras_vit:"))
        for variant in VARIANTS.values()
    )


@pytest.mark.parametrize("variant", COUNTS)
def test_the_patch_size_is_in_the_name(variant):
    patch_size = int(variant.split("/")[1])
    assert VARIANTS[variant].config.patch_size == (patch_size, patch_size)


def test_from_variant_changes_single_options():
    config = ViTConfig.from_variant("B/16", num_classes=10)
    assert config == dataclasses.replace(ViTConfig(), num_classes=10)


def test_config_survives_json():
    config = ViTConfig(**TINY, dropout_rate=0.1, pooling="mean")
    data = json.loads(json.dumps(dataclasses.asdict(config)))
    assert ViTConfig(**data) == config


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ViTConfig().hidden_dim = 5


def test_one_number_is_a_square():
    config = ViTConfig(**TINY)
    assert (config.image_size, config.patch_size) == ((32, 32), (8, 8))


def test_whole_numbers_of_numpy_become_int():
    config = ViTConfig(**{**TINY, "hidden_dim": np.int64(32)})
    assert type(config.hidden_dim) is int


def test_an_incomplete_border_patch_does_not_count():
    config = ViTConfig(**{**TINY, "image_size": (39, 16)})
    assert (config.grid_size, config.num_patches) == ((4, 2), 8)


@pytest.mark.parametrize(
    ("options", "has_class_token", "num_tokens"),
    [
        ({}, True, 17),
        ({"pooling": "mean"}, False, 16),
        ({"pooling": "mean", "use_class_token": True}, True, 17),
        ({"pooling": None, "num_classes": None}, False, 16),
        ({"pooling": None, "num_classes": None, "use_class_token": True}, True, 17),
    ],
)
def test_the_class_token_follows_the_pooling(options, has_class_token, num_tokens):
    config = ViTConfig(**{**TINY, **options})
    assert (config.has_class_token, config.num_tokens) == (has_class_token, num_tokens)


def test_num_features_is_the_width_that_the_head_sees():
    plain, wide = ViTConfig(**TINY), ViTConfig(**TINY, representation_size=16)
    assert (plain.num_features, wide.num_features) == (32, 16)


def test_an_unknown_variant_is_rejected_with_a_list():
    with pytest.raises(ValueError, match=r"'Ti/16'.*'test'.*received variant='B-16'"):
        ViTConfig.from_variant("B-16")


def test_an_unknown_option_is_rejected_with_a_list():
    with pytest.raises(TypeError, match=r"\['depth'\].*'num_layers'.*Check the spell"):
        ViTConfig.from_variant("B/16", depth=3)


def test_known_options_pass():
    check_names(ViTConfig, [field.name for field in dataclasses.fields(ViTConfig)])


@pytest.mark.parametrize("name", FAMILIES)
def test_options_of_later_families_survive_json(name):
    config = ViTConfig.from_variant("test", **FAMILIES[name])
    data = json.loads(json.dumps(dataclasses.asdict(config)))
    assert ViTConfig(**data) == config


def test_numbers_of_numpy_become_those_of_python():
    config = ViTConfig(
        **TINY,
        num_registers=np.int64(2),
        layer_scale=np.float32(0.5),
        qkv_bias=np.True_,
        num_kv_heads=[np.int64(1), np.int64(2)],
    )
    found = (config.num_registers, config.layer_scale, config.qkv_bias)
    assert [type(value) for value in found] == [int, float, bool]
    assert config.num_kv_heads == (1, 2)


@pytest.mark.parametrize(
    ("options", "num_tokens", "num_rows"),
    [
        ({"num_registers": 3}, 20, 20),
        ({"num_registers": 3, "positions": "class"}, 20, 17),
        ({"num_registers": 3, "positions": "patches"}, 20, 16),
        ({"use_distillation_token": True}, 18, 18),
        ({"positions": None}, 17, 0),
        ({"positions": "sincos"}, 17, 0),
    ],
)
def test_positions_are_counted_by_the_tokens_that_have_one(
    options, num_tokens, num_rows
):
    config = ViTConfig(**TINY, **options)
    assert (config.num_tokens, config.num_position_rows) == (num_tokens, num_rows)


def test_token_and_mean_are_twice_as_wide():
    config = ViTConfig(**TINY, pooling="token_mean")
    assert (config.pooled_dim, config.num_features) == (64, 64)


def test_config_needs_nothing_but_the_standard_library():
    # Without what `keras_vit/__init__.py` imports.
    code = (
        "import sys, types; package = types.ModuleType('keras_vit');"
        "package.__path__ = [sys.argv[1]]; sys.modules['keras_vit'] = package;"
        "import keras_vit.config; print({'keras', 'numpy'} & set(sys.modules))"
    )
    folder = Path(keras_vit.config.__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-c", code, folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.strip() == "set()", run.stderr
