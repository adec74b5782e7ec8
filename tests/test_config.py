from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import keras_vit.config
from keras_vit.config import VARIANTS, ViTConfig, check_options
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
        ViTConfig().hidden_dim = 5  # type: ignore[misc]


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
    check_options(field.name for field in dataclasses.fields(ViTConfig))


@pytest.mark.parametrize(
    ("option", "value", "advice"),
    [
        ("num_heads", 3, "Choose a num_heads that divides hidden_dim"),
        ("patch_size", 33, "Use larger images or a smaller patch_size"),
        ("image_size", (32, 7), "Use larger images or a smaller patch_size"),
        ("image_size", (32, 32, 3), r"one number of pixels or \(height, width\)"),
        ("patch_size", (), r"one number of pixels or \(height, width\)"),
        ("image_size", 0, "image_size must be at least 1"),
        ("channels", 0, "channels must be at least 1"),
        ("hidden_dim", -8, "hidden_dim must be at least 1"),
        ("num_layers", 0, "num_layers must be at least 1"),
        ("num_heads", 0, "num_heads must be at least 1"),
        ("mlp_dim", 0, "mlp_dim must be at least 1"),
        ("num_classes", 0, "num_classes must be at least 1"),
        ("representation_size", 0, "representation_size must be at least 1"),
        ("dropout_rate", 1.0, "share that is dropped"),
        ("attention_dropout_rate", -0.1, "share that is dropped"),
        ("stochastic_depth_rate", float("nan"), "share that is dropped"),
        ("epsilon", 0.0, "The paper uses 1e-6"),
        ("epsilon", float("nan"), "The paper uses 1e-6"),
        (
            "pooling",
            "max",
            r"'attention', .*, None\], received pooling='max'.*spelling",
        ),
        ("use_class_token", False, "Use pooling='mean', or keep the class token"),
        ("pooling", None, "num_classes=None and representation_size=None, or choose"),
    ],
)
def test_a_value_out_of_range_is_rejected_with_advice(option, value, advice):
    with pytest.raises(ValueError, match=advice):
        ViTConfig(**{**TINY, option: value})


def test_a_classifier_activation_needs_a_classifier():
    options = {**TINY, "num_classes": None, "classifier_activation": "softmax"}
    with pytest.raises(ValueError, match="or leave classifier_activation out"):
        ViTConfig(**options)


def test_a_representation_needs_a_pooling():
    options = {**TINY, "num_classes": None, "pooling": None, "representation_size": 8}
    with pytest.raises(ValueError, match="representation_size=8.*or choose a pooling"):
        ViTConfig(**options)


@pytest.mark.parametrize(
    ("option", "value", "type_name"),
    [
        ("image_size", 32.0, "float"),
        ("patch_size", "8", "str"),
        ("hidden_dim", None, "NoneType"),
        ("num_layers", True, "bool"),
        ("num_classes", 10.0, "float"),
    ],
)
def test_a_count_that_is_no_whole_number_is_rejected(option, value, type_name):
    with pytest.raises(TypeError, match=rf"{option} must be a whole.*\({type_name}\)"):
        ViTConfig(**{**TINY, option: value})


@pytest.mark.parametrize("value", ["0.1", True, None])
def test_a_rate_that_is_no_number_is_rejected(value):
    with pytest.raises(TypeError, match="dropout_rate must be a number"):
        ViTConfig(**TINY, dropout_rate=value)


# What later families changed


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"positions": "learned"}, "positions must be one of .*'learned'. Check"),
        ({"rotary": "both"}, "rotary must be one of .*'both'. Check the spelling"),
        ({"rotary_order": "ij"}, "rotary_order must be one of .*'ij'. Check"),
        ({"rotary_layout": "pairs"}, "rotary_layout must be one of .*'pairs'. Check"),
        ({"normalization": "batch"}, "normalization must be one of .*'batch'. Check"),
        ({"final_norm": "never"}, "final_norm must be one of .*'never'. Check"),
        ({"block": "serial"}, "block must be one of .*'serial'. Check the spelling"),
        ({"attention": "linear"}, "attention must be one of .*'linear'. Check"),
        ({"qkv_bias": "k"}, "qkv_bias must be one of .*'k'. Check the spelling"),
        ({"query_key_norm": "both"}, "query_key_norm must be one of .*'both'. Check"),
        ({"mlp": "swiglu"}, "mlp must be one of .*'swiglu'. Check the spelling"),
        ({"num_registers": -1}, "num_registers must be at least 1"),
        ({"pooling_num_heads": 0}, "pooling_num_heads must be at least 1"),
        ({"pooling_mlp_dim": 0}, "pooling_mlp_dim must be at least 1"),
        ({"rotary_grid": (1, 2, 3)}, "rotary_grid must be one number"),
        ({"rotary_grid": 0}, "rotary_grid must be at least 1"),
        ({"rotary_temperature": 0.0}, "temperature=0.0. Most models use 100 or 10000"),
        (
            {"rotary": "axial", "hidden_dim": 36},
            "width is a multiple of 4, .*Choose another num_heads, or rotary=None",
        ),
        (
            {"positions": "sincos", "hidden_dim": 34, "pooling": "mean"},
            "Choose such a hidden_dim, or positions='all'",
        ),
        (
            {"pooling": "attention", "pooling_num_heads": 3},
            "Choose a pooling_num_heads that divides hidden_dim",
        ),
        ({"pooling": "prefix"}, "Pass use_class_token=True or num_registers"),
        ({"pooling": "token_mean", "use_class_token": False}, "keep the class token"),
        (
            {"use_distillation_token": True, "pooling": "mean"},
            "needs pooling='token', received pooling='mean'. Use that, or pooling=None",
        ),
        (
            {"use_distillation_token": True, "pooling": None, "num_classes": None},
            "needs a class token before it, .*Pass use_class_token=True",
        ),
        (
            {"use_distillation_token": True, "representation_size": 8},
            "representation_size=8, use_head_bias=True. Leave these at their defaults",
        ),
        (
            {"use_distillation_token": True, "use_head_bias": False},
            "use_head_bias=False. Leave these at their defaults",
        ),
        ({"num_kv_heads": (1,)}, "received 1 numbers for num_layers=2. Pass as many"),
        ({"num_kv_heads": (2, 0)}, "num_kv_heads must be at least 1"),
        ({"num_heads": 4, "num_kv_heads": 3}, "Choose a num_kv_heads that divides"),
        (
            {"attention": "differential", "hidden_dim": 34},
            "Choose a num_heads that divides hidden_dim / 2",
        ),
    ],
    ids=str,
)
def test_an_option_of_a_later_family_is_rejected_with_advice(options, advice):
    with pytest.raises(ValueError, match=advice):
        ViTConfig(**{**TINY, **options})


@pytest.mark.parametrize(
    "option",
    [
        *("use_distillation_token", "use_patch_bias", "use_patch_norm", "use_pre_norm"),
        *("use_output_bias", "use_context_norm", "use_mlp_bias", "use_mlp_norm"),
        *("use_mlp_layer_scale", "pool_prefix", "use_head_bias"),
    ],
)
@pytest.mark.parametrize("value", [None, 1, "yes"])
def test_a_switch_that_is_neither_on_nor_off_is_rejected(option, value):
    with pytest.raises(TypeError, match=f"{option} must be True or False"):
        ViTConfig(**TINY, **{option: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("layer_scale", True),
        ("layer_scale", "1e-5"),
        ("rotary_temperature", None),
        ("rotary_offset", "1"),
        ("num_registers", True),
        ("num_registers", 1.0),
        ("num_kv_heads", (1, 1.5)),
        ("pooling_num_heads", 2.0),
    ],
)
def test_a_number_of_another_type_is_rejected(option, value):
    with pytest.raises(TypeError, match=f"{option} must be a"):
        ViTConfig(**TINY, **{option: value})


UNSUPPORTED = [
    ({"block": "parallel"}, {"rotary": "axial"}),
    ({"block": "parallel"}, {"num_kv_heads": 1}),
    ({"block": "parallel"}, {"use_context_norm": True}),
    ({"block": "parallel"}, {"use_output_bias": False}),
    ({"block": "parallel"}, {"mlp": "gated"}),
    ({"block": "parallel"}, {"use_mlp_bias": False}),
    ({"block": "parallel"}, {"use_mlp_norm": True}),
    ({"block": "parallel"}, {"query_key_norm": "width"}),
    ({"block": "parallel"}, {"qkv_bias": "qv"}),
    ({"block": "parallel_joint"}, {"mlp": "gated"}),
    ({"block": "parallel_joint"}, {"use_mlp_layer_scale": False}),
    ({"block": "twin"}, {"rotary": "mixed"}),
    ({"block": "twin"}, {"num_kv_heads": 1}),
    ({"block": "twin"}, {"use_mlp_layer_scale": False}),
    ({"block": "post_norm"}, {"layer_scale": 0.1}),
    ({"attention": "differential"}, {"rotary": "centred"}),
    ({"attention": "differential"}, {"num_kv_heads": 1}),
    ({"attention": "differential"}, {"query_key_norm": "head"}),
    ({"attention": "differential"}, {"use_context_norm": True}),
    ({"attention": "differential"}, {"qkv_bias": "qv"}),
    ({"qkv_bias": "qv"}, {"num_kv_heads": 1}),
    ({"rotary": "centred"}, {"rotary_offset": 1.0}),
    ({"rotary": "centred"}, {"rotary_layout": "half"}),
    ({"rotary": "mixed"}, {"rotary_order": "xy"}),
    ({"rotary": "mixed"}, {"rotary_grid": 16}),
]


@pytest.mark.parametrize(("first", "second"), UNSUPPORTED, ids=str)
def test_what_a_block_cannot_do_is_refused(first, second):
    ((name, _),) = second.items()
    with pytest.raises(
        ValueError, match=f" has no .*{name}=.*Leave these at their def"
    ):
        ViTConfig(**TINY, **first, **second)


@pytest.mark.parametrize(
    ("pooling", "option"),
    [
        ("token", {"pool_prefix": True}),
        ("token_mean", {"pool_prefix": True}),
        ("prefix", {"pooling_num_heads": 2}),
        ("mean", {"pooling_num_heads": 2}),
        ("mean", {"pooling_mlp_dim": 8}),
        (None, {"pool_prefix": True, "num_classes": None}),
    ],
    ids=str,
)
def test_what_a_pooling_does_not_read_is_refused(pooling, option):
    name = next(iter(option))
    options = {**TINY, "use_class_token": True, "pooling": pooling, **option}
    with pytest.raises(ValueError, match=f"has no {name}=.*choose another pooling"):
        ViTConfig(**options)


def test_another_pooling_gives_up_what_it_does_not_read():
    options = {"pool_prefix": True, "pooling_num_heads": 4, "pooling_mlp_dim": 8}
    config = ViTConfig(**TINY, pooling="attention", **options)
    mean = config.changed(pooling="mean")
    assert mean == ViTConfig(**TINY, pooling="mean", pool_prefix=True)
    assert mean.changed(pooling="token") == ViTConfig(**TINY)
    with pytest.raises(ValueError, match="has no pool_prefix=True"):
        config.changed(pooling="token", pool_prefix=True)


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
    folder = Path(keras_vit.config.__file__).parent
    run = subprocess.run(
        [sys.executable, "-c", code, folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.strip() == "set()", run.stderr
