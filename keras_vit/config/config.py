"""Architecture of a Vision Transformer: one frozen dataclass, each option said once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from keras_vit.config.counts import count_macs, count_parameters
from keras_vit.config.options import (
    Activation,
    Choice,
    Flag,
    Number,
    Pair,
    Share,
    Whole,
    WholeForEach,
    changed_later_options,
    check_names,
    check_options,
    describe_options,
    later_option,
    option,
)
from keras_vit.config.rules import check_rules, unread_pooling_options
from keras_vit.config.variants import VARIANT_ROWS

if TYPE_CHECKING:
    from keras_vit.field_types import Size, SizeOrNone

GRID = Pair("patches", "(rows, columns)")
LEARNED_POSITIONS = ("all", "class", "patches")  # those that have a table
# Kernels by which positions and patches are fitted to another size.
RESAMPLINGS = (
    *("bicubic_antialias", "bicubic", "bilinear_antialias", "bilinear"),
    *("bilinear_square", "bilinear_corners", "bilinear_corners_square"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ViTConfig:
    """Architecture of one Vision Transformer; the default is ViT-B/16.

    Everything that `keras_vit.ViT` needs to know apart from dtype, name and what
    travels with trained weights. The options of the paper come first, those of later
    families after them, each with the values that leave the paper's model as it is.

    Args:
        {options}

    Raises:
        TypeError: if an option has the wrong type.
        ValueError: if an option is out of its range, or two contradict each other.

    Example:
        ```python
        config = keras_vit.ViTConfig.from_variant("B/16", num_classes=10)
        config.num_tokens, config.num_parameters  # (197, 85806346)
        model = keras_vit.ViT.from_variant("B/16", num_classes=10)
        model.config == config  # True
        ```

    Reference: arXiv:2010.11929, section 3.1 and table 1.
    """

    image_size: SizeOrNone = option(
        (224, 224),
        Pair(),
        "Size of the images, at least one patch in each direction. Border pixels short "
        "of a patch are dropped. None takes images of any size; learned positions need "
        "`position_grid` then, and are resampled to the grid of the images.",
        is_optional=True,
        kw_only=False,
    )
    patch_size: Size = option((16, 16), Pair(), "Size of a patch.", kw_only=False)
    channels: int = option(3, Whole(), "Values per pixel.")
    num_classes: int | None = option(
        1000,
        Whole(advice=" Pass num_classes=None for a backbone without a classifier."),
        "Width of the classifier. None makes a backbone without one.",
        is_optional=True,
    )
    hidden_dim: int = option(
        768, Whole(), "D, the width of a token; a multiple of `num_heads`."
    )
    num_layers: int = option(12, Whole(), "L, the number of transformer blocks.")
    num_heads: int = option(12, Whole(), "Number of attention heads.")
    mlp_dim: int = option(3072, Whole(), "Width inside the MLP of a block.")
    dropout_rate: float = option(
        0.0,
        Share(),
        "Share that is dropped in training after the positions, the attention and "
        "each layer of the MLP.",
    )
    attention_dropout_rate: float = option(
        0.0, Share(), "Share of the attention weights that is dropped in training."
    )
    stochastic_depth_rate: float = option(
        0.0,
        Share(),
        "Share of the images that skip a branch of the last block in training; it "
        "grows from 0 in the first block, see `stochastic_depth_curve`.",
    )
    epsilon: float = option(
        1e-6,
        Number(above=0, advice=" The paper uses 1e-6."),
        "Added to the variance in the normalizations.",
    )
    activation: str = option(
        "gelu",
        Activation(),
        'Activation of the MLPs: "gelu" is the exact one, "gelu_tanh" and '
        '"quick_gelu" approximate it.',
    )
    pooling: (
        Literal["token", "mean", "attention", "query", "token_mean", "prefix"] | None
    ) = option(
        "token",
        Choice("token", "mean", "attention", "query", "token_mean", "prefix", None),
        'What the head sees: "token", the class token, or "mean", the average of the '
        'patch tokens. Later families: "attention" and "query" read with a learned '
        'query, "token_mean" joins both, "prefix" averages the tokens before the '
        "patches. None returns all tokens and needs `num_classes=None`.",
    )
    use_class_token: bool | None = option(
        None,
        Flag(),
        "Whether a class token stands before the patches. None: exactly if the pooling "
        "reads it.",
        is_optional=True,
    )
    representation_size: int | None = option(
        None,
        Whole(),
        "Width of a tanh layer before the classifier, None for no such layer.",
        is_optional=True,
    )
    classifier_activation: str | None = option(
        None,
        Activation(),
        'Activation of the classifier such as "softmax", None for logits.',
        is_optional=True,
    )
    # From here on: what later families changed.
    use_distillation_token: bool = later_option(
        False,
        Flag(),
        "Whether a token with a classifier of its own follows the class token (DeiT).",
    )
    num_registers: int = later_option(
        0, Whole(0), "Learned tokens between the class token and the patches (DINOv2)."
    )
    positions: Literal["all", "class", "patches", "sincos", "sincos_open"] | None = (
        later_option(
            "all",
            Choice(*LEARNED_POSITIONS, "sincos", "sincos_open", None),
            'Tokens with a learned position: "all", "class" (class token and patches) '
            'or "patches"; or computed ones, "sincos" and "sincos_open" (without the '
            "endpoint); or none.",
        )
    )
    position_grid: SizeOrNone = later_option(
        None,
        GRID,
        "Grid of patches that learned positions belong to if `image_size=None`.",
        is_optional=True,
    )
    resampling: str = later_option(
        "bicubic_antialias",
        Choice(*RESAMPLINGS),
        "Kernel by which positions and patches are fitted to another size, that of the "
        'checkpoint: "antialias" grows when a grid shrinks, "corners" keeps the '
        'corners where they are, "square" cuts from the square around the grid.',
    )
    pad_images: bool = later_option(
        False,
        Flag(),
        "Whether zeros fill up the patches at the bottom and right border; otherwise "
        "border pixels short of a patch are dropped.",
    )
    rotary: Literal["axial", "centred", "mixed"] | None = later_option(
        None,
        Choice("axial", "centred", "mixed", None),
        "How queries and keys are rotated by the position of their patch: by row and "
        "column (EVA-02), by the place between the borders (DINOv3), or by learned "
        "mixtures of row and column (RoPE-Mixed).",
    )
    rotary_temperature: float = later_option(
        10000.0,
        Number(above=0, advice=" Most models use 100 or 10000."),
        "Ratio of the slowest to the fastest wavelength of the rotations.",
    )
    rotary_offset: float = later_option(
        0.0, Number(), "Added to rows and columns, in patches; axial rotations only."
    )
    rotary_order: Literal["yx", "xy"] = later_option(
        "yx",
        Choice("yx", "xy"),
        "Axis that turns the first channels; axial rotations only.",
    )
    rotary_grid: SizeOrNone = later_option(
        None,
        GRID,
        "Grid that the frequencies were made for; another grid is stretched to it. "
        "Axial rotations only.",
        is_optional=True,
    )
    rotary_layout: Literal["interleaved", "half"] = later_option(
        "interleaved",
        Choice("interleaved", "half"),
        "Which channels form a pair: neighbours, or one of each half; axial rotations "
        "only.",
    )
    use_class_rotation: bool = later_option(
        False,
        Flag(),
        "Whether the class token has a learned rotation; axial rotations only (MLCD).",
    )
    normalization: Literal["layer", "rms", "layer_float16", "rms_float16"] = (
        later_option(
            "layer",
            Choice("layer", "rms", "layer_float16", "rms_float16"),
            "Kind of all normalizations: layer, or root mean square. Those for float16 "
            "compute the same without an overflow on the GPUs of phones.",
        )
    )
    use_patch_bias: bool = later_option(
        True, Flag(), "Whether the projection of the patches has a bias."
    )
    use_patch_norm: bool = later_option(
        False, Flag(), "Whether the projected patches are normalized."
    )
    use_pre_norm: bool = later_option(
        False,
        Flag(),
        "Whether the tokens are normalized before the first block (CLIP).",
    )
    final_norm: Literal["before_pooling", "after_pooling"] | None = later_option(
        "before_pooling",
        Choice("before_pooling", "after_pooling", None),
        "Where the normalization after the last block stands.",
    )
    block: Literal["pre_norm", "post_norm", "parallel", "parallel_joint", "twin"] = (
        later_option(
            "pre_norm",
            Choice("pre_norm", "post_norm", "parallel", "parallel_joint", "twin"),
            "Kind of the blocks: norms before or after attention and MLP, attention "
            "and MLP side by side (with one output layer if joint), or two of each.",
        )
    )
    attention: Literal["softmax", "differential"] = later_option(
        "softmax",
        Choice("softmax", "differential"),
        "Kind of the attention; the second is arXiv:2410.05258.",
    )
    num_kv_heads: int | tuple[int, ...] | None = later_option(
        None,
        WholeForEach(),
        "Heads of keys and values, a divisor of `num_heads`. None: as many.",
        is_optional=True,
    )
    qkv_bias: bool | Literal["qv"] = later_option(
        True,
        Choice(True, False, "qv"),
        'Whether queries, keys and values have a bias; "qv": queries and values only.',
    )
    use_output_bias: bool = later_option(
        True, Flag(), "Whether the output layer of the attention has a bias."
    )
    query_key_norm: Literal["head", "width"] | None = later_option(
        None,
        Choice("head", "width", None),
        "Whether queries and keys are normalized, within each head or over all.",
    )
    use_context_norm: bool = later_option(
        False, Flag(), "Whether the heads are normalized before their output layer."
    )
    mlp: Literal["plain", "gated"] = later_option(
        "plain", Choice("plain", "gated"), "Kind of the MLP; the gated one is SwiGLU."
    )
    use_mlp_bias: bool = later_option(
        True, Flag(), "Whether the layers of the MLP have biases."
    )
    use_mlp_norm: bool = later_option(
        False, Flag(), "Whether the values inside the MLP are normalized."
    )
    layer_scale: float | None = later_option(
        None,
        Number(),
        "First value of the learned factors of each branch's channels. None: none.",
        is_optional=True,
    )
    use_mlp_layer_scale: bool = later_option(
        True, Flag(), "Whether the MLP has such factors, too."
    )
    pooling_num_heads: int | None = later_option(
        None,
        Whole(),
        'Heads of the poolings "attention" and "query". None: `num_heads`.',
        is_optional=True,
    )
    pooling_mlp_dim: int | None = later_option(
        None,
        Whole(),
        "Width inside the MLP of the attention pooling. None: `mlp_dim`.",
        is_optional=True,
    )
    pool_prefix: bool = later_option(
        False,
        Flag(),
        'Whether the poolings "mean", "attention" and "query" see the tokens before '
        "the patches, too.",
    )
    num_pooled_blocks: int = later_option(
        1,
        Whole(),
        'Last blocks whose class tokens the poolings "token" and "token_mean" join '
        "(4 in linear classifiers of DINOv2).",
    )
    use_head_bias: bool = later_option(
        True, Flag(), "Whether the classifier has a bias."
    )
    rejection_dim: int | None = later_option(
        None,
        Whole(),
        "Directions of the features in which the distance to the nearest class is "
        'measured. The last of `num_classes` outputs is then "none of these", for '
        "pictures that are far from all others; see `fit_head`. None: no such output.",
        is_optional=True,
    )
    patch_dropout_rate: float = later_option(
        0.0, Share(), "Share of the patches that is left out in training."
    )
    stochastic_depth_curve: Literal["linear", "constant"] = later_option(
        "linear",
        Choice("linear", "constant"),
        "How `stochastic_depth_rate` is reached: linearly from 0 in the first block, "
        "or in each block.",
    )

    def __post_init__(self) -> None:
        check_options(self)
        self._check_sizes()
        if not self.is_of_the_paper:
            check_rules(self)

    def _check_sizes(self) -> None:
        if self.hidden_dim % self.num_heads:
            raise ValueError(
                "hidden_dim must be a multiple of num_heads, received "
                f"hidden_dim={self.hidden_dim}, num_heads={self.num_heads}. "
                "Choose a num_heads that divides hidden_dim."
            )
        size = self.image_size or self.patch_size
        if size[0] < self.patch_size[0] or size[1] < self.patch_size[1]:
            raise ValueError(
                "image_size must be at least one patch in each direction, received "
                f"image_size={self.image_size}, patch_size={self.patch_size} "
                "(height, width). Use larger images or a smaller patch_size."
            )

    @property
    def is_of_the_paper(self) -> bool:
        """Whether the model is one of the paper's, which `figure_1` composes."""
        pools = {"token": self.has_class_token, "mean": True}.get(self.pooling or "")
        is_complete = self.image_size is not None and self.num_classes is not None
        return bool(pools and is_complete and not changed_later_options(self))

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
        check_names(ViTConfig, changes)
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
    def use_float16_norms(self) -> bool:
        """Whether the normalizations square a sixteenth of their values."""
        return self.normalization.endswith("_float16")

    @property
    def is_parallel(self) -> bool:
        """Whether attention and MLP of a block see the same tokens, side by side."""
        return self.block in ("parallel", "parallel_joint")

    @property
    def grid_size(self) -> tuple[int, int]:
        """Number of patches, (rows, columns).

        An incomplete border patch is dropped, or filled up with `pad_images`.

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
        if self.pad_images:
            return -(-height // rows), -(-width // columns)
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
    def num_prefix_rows(self) -> int:
        """Number of tokens before the patches that have a learned position."""
        rows = {"all": self.num_prefix_tokens, "class": self.num_class_tokens}
        return rows.get(self.positions or "", 0)

    @property
    def num_position_rows(self) -> int:
        """Number of learned position vectors; those of the prefix come first."""
        if not self.has_learned_positions:
            return 0
        rows, columns = self.table_grid
        return self.num_prefix_rows + rows * columns

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
        return self.hidden_dim * (
            self.num_pooled_blocks + (self.pooling == "token_mean")
        )

    @property
    def num_features(self) -> int:
        """Width of what the classifier sees: representation_size, or what is pooled."""
        return self.representation_size or self.pooled_dim

    @property
    def num_known_classes(self) -> int | None:
        """Number of outputs without that of "none of these"; None for a backbone."""
        if self.num_classes is None or self.rejection_dim is None:
            return self.num_classes
        return self.num_classes - 1

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


ViTConfig.__doc__ = describe_options(ViTConfig)


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of the table of variants: a config and where its sizes come from."""

    config: ViTConfig
    source: str


VARIANTS: Mapping[str, Variant] = {
    name: Variant(ViTConfig(**row.options), row.source)
    for name, row in VARIANT_ROWS.items()
}
"""The named sizes: of each its `config` and its `source`, the table of a paper.

Example:
    ```python
    sorted(keras_vit.VARIANTS)[:3]  # ['B/16', 'B/32', 'B/8']
    variant = keras_vit.VARIANTS["S/16"]
    variant.config.num_parameters, variant.source
    # (22050664, 'arXiv:2012.12877, table 1')
    model = keras_vit.ViT.from_variant("S/16", num_classes=10)
    ```
"""
