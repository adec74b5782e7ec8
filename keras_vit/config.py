"""Architecture of a Vision Transformer: the frozen config, also of each variant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from keras_vit.config_checks import check_rules, unread_pooling_options
from keras_vit.config_counts import count_macs, count_parameters
from keras_vit.config_values import (
    LEARNED_POSITIONS,
    Attention,
    Block,
    FinalNorm,
    MLPKind,
    Normalization,
    Pooling,
    Positions,
    QKVBias,
    QueryKeyNorm,
    Rotary,
    RotaryLayout,
    RotaryOrder,
    StochasticDepthCurve,
    checked_values,
)
from keras_vit.variants import VARIANT_ROWS


@dataclass(frozen=True, kw_only=True, slots=True)
class ViTConfig:
    """Architecture of one Vision Transformer; the default is ViT-B/16.

    Everything that `keras_vit.ViT` needs to know apart from dtype, name and what
    travels with trained weights. `config_values` and `config_checks` hold its rules.

    Raises:
        TypeError: if a field has the wrong type.
        ValueError: if a field is out of its range or two fields contradict each other.

    Reference: arXiv:2010.11929, section 3.1 and table 1.
    """

    image_size: tuple[int, int] | None = (224, 224)  # pixels; None: any
    patch_size: tuple[int, int] = (16, 16)  # pixels, (height, width)
    channels: int = 3  # values per pixel
    num_classes: int | None = 1000  # None: headless backbone
    hidden_dim: int = 768  # D, width of a token
    num_layers: int = 12  # L, transformer blocks
    num_heads: int = 12  # k, attention heads
    mlp_dim: int = 3072  # width inside the MLP
    dropout_rate: float = 0.0  # [0, 1), after positions, attention and MLP
    attention_dropout_rate: float = 0.0  # [0, 1), on attention weights
    stochastic_depth_rate: float = 0.0  # [0, 1), of the last block
    epsilon: float = 1e-6  # added to the variance in layer normalization
    activation: str = "gelu"  # exact; "gelu_tanh" is the approximation
    pooling: Pooling | None = "token"  # None: headless, all tokens
    use_class_token: bool | None = None  # None: exactly if pooling="token"
    representation_size: int | None = None  # tanh layer before the head
    classifier_activation: str | None = None  # None: logits
    # From here on: what later families changed. The defaults are the paper's.
    use_distillation_token: bool = False  # after the class token, with its own head
    num_registers: int = 0  # learned tokens between the class token and the patches
    positions: Positions | None = "all"  # tokens with a learned position; or computed
    position_grid: tuple[int, int] | None = None  # (rows, columns); for any image size
    rotary: Rotary | None = None  # rotation of queries and keys by position
    rotary_temperature: float = 10000.0  # of the frequencies
    rotary_offset: float = 0.0  # patches, added to the coordinates; axial only
    rotary_order: RotaryOrder = "yx"  # axis of the first channels; axial only
    rotary_grid: tuple[int, int] | None = None  # (rows, columns) trained on; axial only
    rotary_layout: RotaryLayout = "interleaved"  # axial only
    use_class_rotation: bool = False  # learned, of the class token; axial only
    normalization: Normalization = "layer"
    use_patch_bias: bool = True
    use_patch_norm: bool = False  # after the patch projection
    use_pre_norm: bool = False  # before the first block
    final_norm: FinalNorm | None = "before_pooling"
    block: Block = "pre_norm"
    attention: Attention = "softmax"
    num_kv_heads: int | tuple[int, ...] | None = None  # one number per block; None: all
    qkv_bias: QKVBias = True  # "qv": queries and values only
    use_output_bias: bool = True  # of the attention
    query_key_norm: QueryKeyNorm | None = None
    use_context_norm: bool = False  # before the output layer of the attention
    mlp: MLPKind = "plain"
    use_mlp_bias: bool = True
    use_mlp_norm: bool = False  # inside the MLP
    layer_scale: float | None = None  # first value; None: no layer scale
    use_mlp_layer_scale: bool = True  # False: on the attention only
    pooling_num_heads: int | None = None  # of "attention", "query"; None: num_heads
    pooling_mlp_dim: int | None = None  # attention pooling; None: mlp_dim
    pool_prefix: bool = False  # whether "mean", "attention", "query" see all
    use_head_bias: bool = True
    patch_dropout_rate: float = 0.0  # [0, 1), share of the patches left out in training
    stochastic_depth_curve: StochasticDepthCurve = "linear"  # from 0 in the first block

    def __post_init__(self) -> None:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in checked_values(values).items():
            object.__setattr__(self, name, value)
        check_rules(self)

    @classmethod
    def from_variant(cls, variant: str, **changes: Any) -> ViTConfig:
        """Look up a named variant, for example "B/16", and change some of its fields.

        Raises:
            ValueError: if `variant` is not a key of `VARIANTS`.
            TypeError: if `changes` names a field that does not exist.
        """
        if variant not in VARIANTS:
            raise ValueError(
                f"variant must be one of {list(VARIANTS)}, received "
                f"variant={variant!r}. Build any other size with keras_vit.ViT(...)."
            )
        check_options(changes)
        return VARIANTS[variant].config.changed(**changes)

    def changed(self, **changes: Any) -> ViTConfig:
        """Return a copy with some fields changed, and what depends on them.

        For any image size learned positions stay those of the present grid. Another
        pooling gives up the options that it has no use for.

        Raises:
            TypeError: if `changes` names a field that does not exist.
            ValueError: if fields contradict each other.
        """
        size, positions = (
            changes.get(name, getattr(self, name))
            for name in ("image_size", "positions")
        )
        is_resampled = size is None and positions in LEARNED_POSITIONS
        grid = self.table_grid if is_resampled else None
        pooling = changes.get("pooling", self.pooling)
        defaults = {field.name: field.default for field in fields(self)}
        unread = {name: defaults[name] for name in unread_pooling_options(pooling)}
        return replace(self, **{"position_grid": grid, **unread, **changes})

    @property
    def has_class_token(self) -> bool:
        """Whether a class token stands before the patches."""
        if self.use_class_token is None:
            return self.pooling in ("token", "token_mean")
        return self.use_class_token

    @property
    def has_learned_positions(self) -> bool:
        """Whether there is a table of positions."""
        return self.positions in LEARNED_POSITIONS

    @property
    def is_parallel(self) -> bool:
        """Whether attention and MLP of a block see the same tokens, side by side."""
        return self.block in ("parallel", "parallel_joint")

    @property
    def grid_size(self) -> tuple[int, int]:
        """Number of patches, (rows, columns); an incomplete border patch is dropped.

        Raises:
            ValueError: if `image_size` is None.
        """
        if self.image_size is None:
            raise ValueError(
                "The number of patches, and of multiply-accumulates, needs an "
                "image_size, received image_size=None. Ask the config for one size: "
                "config.changed(image_size=224)."
            )
        (height, width), (rows, columns) = self.image_size, self.patch_size
        return height // rows, width // columns

    @property
    def table_grid(self) -> tuple[int, int]:
        """Grid of patches that learned positions belong to, (rows, columns)."""
        return self.position_grid or self.grid_size

    @property
    def num_patches(self) -> int:
        """N, the number of patches."""
        return self.grid_size[0] * self.grid_size[1]

    @property
    def num_class_tokens(self) -> int:
        """Class token and distillation token."""
        return self.has_class_token + self.use_distillation_token

    @property
    def num_prefix_tokens(self) -> int:
        """Number of tokens before the patches: class, distillation, registers."""
        return self.num_class_tokens + self.num_registers

    @property
    def num_position_rows(self) -> int:
        """Number of learned position vectors; those of the prefix come first."""
        prefix = {
            "all": self.num_prefix_tokens,
            "class": self.num_class_tokens,
            "patches": 0,
        }
        if self.positions not in prefix:
            return 0
        rows, columns = self.table_grid
        return prefix[self.positions] + rows * columns

    @property
    def num_tokens(self) -> int:
        """T, the length of the sequence: the patches and the tokens before them."""
        return self.num_patches + self.num_prefix_tokens

    @property
    def patch_dim(self) -> int:
        """Number of values in one patch, P * P * C."""
        return self.patch_size[0] * self.patch_size[1] * self.channels

    @property
    def head_dim(self) -> int:
        """Width of one attention head, D / h."""
        return self.hidden_dim // self.num_heads

    @property
    def num_pooling_heads(self) -> int:
        """Number of heads of the pooling that has heads."""
        return self.pooling_num_heads or self.num_heads

    @property
    def pooled_dim(self) -> int:
        """Width of what pooling returns."""
        return self.hidden_dim * (2 if self.pooling == "token_mean" else 1)

    @property
    def num_features(self) -> int:
        """Width of what the classifier sees: representation_size, or what is pooled."""
        return self.representation_size or self.pooled_dim

    def block_kv_heads(self, block: int) -> int:
        """Return the number of heads of keys and values in one block."""
        if self.num_kv_heads is None:
            return self.num_heads
        if isinstance(self.num_kv_heads, tuple):
            return self.num_kv_heads[block]
        return self.num_kv_heads

    def block_stochastic_depth(self, block: int) -> float:
        """Return the rate of stochastic depth in one block: 0 is the first.

        Reference: arXiv:1603.09382, equation 4, as timm draws it ("linear"); DeiT III
        drops each block as often ("constant"), models_v2.py of facebookresearch/deit.
        """
        if self.stochastic_depth_curve == "constant":
            return self.stochastic_depth_rate
        return self.stochastic_depth_rate * block / max(1, self.num_layers - 1)

    @property
    def num_parameters(self) -> int:
        """Number of trainable parameters."""
        return count_parameters(self)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the matrix products in one forward pass of one image.

        Bias, normalization, activation and softmax are left out, as is usual.
        """
        return count_macs(self)


def check_options(options: Iterable[str], *also_valid: str) -> None:
    """Raise a TypeError that lists the valid options if one of `options` is unknown.

    Args:
        options: names to check.
        *also_valid: names that are valid beside the fields of `ViTConfig`.
    """
    valid = [*(field.name for field in fields(ViTConfig)), *also_valid]
    unknown = sorted(set(options) - set(valid))
    if unknown:
        raise TypeError(
            f"Unknown ViT option(s) {unknown}. The options are {valid}. "
            "Check the spelling."
        )


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of the table of variants: a config and where its sizes come from."""

    config: ViTConfig
    source: str


VARIANTS: Mapping[str, Variant] = {
    name: Variant(ViTConfig(**row.options), row.source)
    for name, row in VARIANT_ROWS.items()
}
