from __future__ import annotations

import pytest

from keras_vit.config import ViTConfig
from tests.config.test_config import TINY


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
        ({"num_registers": -1}, "num_registers must be at least 0"),
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
        (
            {"pooling": "query", "num_heads": 2, "pooling_num_heads": 3},
            "Choose a pooling_num_heads that divides hidden_dim",
        ),
        ({"use_class_rotation": True}, "Pass rotary='axial' and use_class_token=True"),
        (
            {"use_class_rotation": True, "rotary": "centred"},
            "use_class_rotation=True. Leave these at their defaults",
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
        ({"num_pooled_blocks": 0}, "num_pooled_blocks must be at least 1"),
        ({"num_pooled_blocks": 99}, "where 2 can be joined"),
        (
            {"num_pooled_blocks": 2, "final_norm": "after_pooling"},
            "where 1 can be joined",
        ),
        (
            {"num_pooled_blocks": 2, "use_distillation_token": True},
            "where 1 can be joined",
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
        ("mean", {"num_pooled_blocks": 2}),
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
