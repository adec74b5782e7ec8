"""Architecture of a Vision Transformer: the frozen config and the table of variants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, Literal, get_args

Pooling = Literal["token", "mean", "attention", "token_mean", "prefix"]
Positions = Literal["all", "class", "patches", "sincos", "sincos_open"]
Rotary = Literal["axial", "centred", "mixed"]
Normalization = Literal["layer", "rms"]
FinalNorm = Literal["before_pooling", "after_pooling"]
Block = Literal["pre_norm", "post_norm", "parallel", "parallel_joint", "twin"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ViTConfig:
    """Architecture of one Vision Transformer; the default is ViT-B/16.

    Everything that `keras_vit.ViT` needs to know apart from dtype, name and what
    travels with trained weights. Rules across fields are checked here, once.

    Raises:
        TypeError: if a field has the wrong type.
        ValueError: if a field is out of its range or two fields contradict each other.

    Reference: arXiv:2010.11929, section 3.1 and table 1.
    """

    image_size: tuple[int, int] | None = (
        224,
        224,
    )  # pixels, (height, width); None: any
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
    rotary_order: Literal["yx", "xy"] = "yx"  # axis of the first channels; axial only
    rotary_grid: tuple[int, int] | None = None  # (rows, columns) trained on; axial only
    rotary_layout: Literal["interleaved", "half"] = "interleaved"  # axial only
    normalization: Normalization = "layer"
    use_patch_bias: bool = True
    use_patch_norm: bool = False  # after the patch projection
    use_pre_norm: bool = False  # before the first block
    final_norm: FinalNorm | None = "before_pooling"
    block: Block = "pre_norm"
    attention: Literal["softmax", "differential"] = "softmax"
    num_kv_heads: int | tuple[int, ...] | None = None  # one number per block; None: all
    qkv_bias: bool | Literal["qv"] = True  # "qv": queries and values only
    use_output_bias: bool = True  # of the attention
    query_key_norm: Literal["head", "width"] | None = None
    use_context_norm: bool = False  # before the output layer of the attention
    mlp: Literal["plain", "gated"] = "plain"
    use_mlp_bias: bool = True
    use_mlp_norm: bool = False  # inside the MLP
    layer_scale: float | None = None  # first value; None: no layer scale
    use_mlp_layer_scale: bool = True  # False: on the attention only
    pooling_num_heads: int | None = None  # attention pooling; None: num_heads
    pooling_mlp_dim: int | None = None  # attention pooling; None: mlp_dim
    pool_prefix: bool = False  # whether "mean" and "attention" see all tokens
    use_head_bias: bool = True
    patch_dropout_rate: float = 0.0  # [0, 1), share of the patches left out in training

    def __post_init__(self) -> None:
        sizes = ("patch_size",) if self.image_size is None else _SIZES
        for name in sizes:
            object.__setattr__(self, name, _height_width(name, getattr(self, name)))
        for name in ("channels", "hidden_dim", "num_layers", "num_heads", "mlp_dim"):
            object.__setattr__(self, name, _count(name, getattr(self, name)))
        for name in ("num_classes", "representation_size"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _count(name, getattr(self, name)))
        for name in _RATES:
            _check_rate(name, getattr(self, name))
        if self.patch_dropout_rate and self.rotary is not None:
            raise ValueError(
                "patch_dropout_rate leaves out patches that rotary positions count on, "
                f"received patch_dropout_rate={self.patch_dropout_rate}, "
                f"rotary={self.rotary!r}. Use patch_dropout_rate=0, or rotary=None."
            )
        if not self.epsilon > 0:
            raise ValueError(
                f"epsilon must be above 0, received epsilon={self.epsilon!r}. "
                "The paper uses 1e-6."
            )
        if self.hidden_dim % self.num_heads:
            raise ValueError(
                "hidden_dim must be a multiple of num_heads, received "
                f"hidden_dim={self.hidden_dim}, num_heads={self.num_heads}. "
                "Choose a num_heads that divides hidden_dim."
            )
        size = self.image_size or self.patch_size
        if any(p > s for p, s in zip(self.patch_size, size, strict=True)):
            raise ValueError(
                "image_size must be at least one patch in each direction, received "
                f"image_size={self.image_size}, patch_size={self.patch_size} "
                "(height, width). Use larger images or a smaller patch_size."
            )
        self._check_pooling()
        self._check_later_families()

    def _check_pooling(self) -> None:
        if self.pooling is not None and self.pooling not in get_args(Pooling):
            raise ValueError(
                f"pooling must be one of {[*get_args(Pooling), None]}, received "
                f"pooling={self.pooling!r}. Check the spelling."
            )
        reads_token = self.pooling in ("token", "token_mean")
        if reads_token and not self.has_class_token:
            raise ValueError(
                f"pooling={self.pooling!r} reads the class token, received "
                "use_class_token=False. Use pooling='mean', or keep the class token."
            )
        if self.pooling is None and (self.num_classes or self.representation_size):
            raise ValueError(
                "pooling=None returns every token and leaves nothing to classify, "
                f"received num_classes={self.num_classes}, "
                f"representation_size={self.representation_size}. Pass "
                "num_classes=None and representation_size=None, or choose a pooling."
            )
        if self.num_classes is None and self.classifier_activation is not None:
            raise ValueError(
                "classifier_activation needs a classifier, received num_classes=None, "
                f"classifier_activation={self.classifier_activation!r}. "
                "Pass num_classes, or leave classifier_activation out."
            )

    def _check_later_families(self) -> None:
        for name, valid in _CHOICES.items():
            if getattr(self, name) not in valid:
                raise ValueError(
                    f"{name} must be one of {list(valid)}, received "
                    f"{name}={getattr(self, name)!r}. Check the spelling."
                )
        if self.qkv_bias != "qv":  # 1 == True, which `is True` below would not see.
            object.__setattr__(self, "qkv_bias", bool(self.qkv_bias))
        for name in _FLAGS:
            if not isinstance(getattr(self, name), bool):
                raise TypeError(
                    f"{name} must be True or False, received "
                    f"{name}={getattr(self, name)!r}. Pass one of the two."
                )
        if self.num_registers != 0 or isinstance(self.num_registers, bool):
            count = _count("num_registers", self.num_registers)
            object.__setattr__(self, "num_registers", count)
        for name in ("pooling_num_heads", "pooling_mlp_dim"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _count(name, getattr(self, name)))
        for name in ("rotary_temperature", "rotary_offset", "layer_scale"):
            if name != "layer_scale" or self.layer_scale is not None:
                object.__setattr__(self, name, _number(name, getattr(self, name)))
        self._check_positions()
        self._check_position_grid()
        self._check_prefix()
        if self.pooling == "attention" and self.hidden_dim % self.num_pooling_heads:
            raise ValueError(
                "hidden_dim must be a multiple of pooling_num_heads, received "
                f"hidden_dim={self.hidden_dim}, pooling_num_heads="
                f"{self.num_pooling_heads}. Choose a pooling_num_heads that divides "
                "hidden_dim."
            )
        self._check_heads()
        self._check_block()

    def _check_positions(self) -> None:
        if self.positions in ("sincos", "sincos_open") and self.hidden_dim % 4:
            raise ValueError(
                "hidden_dim must be a multiple of 4 for computed positions, received "
                f"hidden_dim={self.hidden_dim}, positions={self.positions!r}. Choose "
                "such a hidden_dim, or positions='all'."
            )
        if self.rotary_grid is not None:
            grid = _height_width("rotary_grid", self.rotary_grid)
            object.__setattr__(self, "rotary_grid", grid)
        if self.rotary_temperature <= 0:
            raise ValueError(
                "rotary_temperature must be above 0, received "
                f"rotary_temperature={self.rotary_temperature}. Most models use "
                "100 or 10000."
            )
        if self.rotary is not None and self.head_dim % 4:
            raise ValueError(
                "rotary positions need heads whose width is a multiple of 4, received "
                f"hidden_dim={self.hidden_dim}, num_heads={self.num_heads}. Choose "
                "another num_heads, or rotary=None."
            )

    def _check_position_grid(self) -> None:
        is_resampled = self.image_size is None and self.positions in _LEARNED
        if is_resampled != (self.position_grid is not None):
            raise ValueError(
                "position_grid, the (rows, columns) of patches that positions are "
                "learned for, goes with image_size=None and learned positions, "
                f"received position_grid={self.position_grid}, image_size="
                f"{self.image_size}, positions={self.positions!r}. Give both or none "
                "of position_grid and image_size=None."
            )
        if self.position_grid is not None:
            grid = _height_width("position_grid", self.position_grid)
            object.__setattr__(self, "position_grid", grid)

    def _check_prefix(self) -> None:
        """Refuse what the tokens before the patches cannot give."""
        if self.pooling == "prefix" and self.num_prefix_tokens == 0:
            raise ValueError(
                "pooling='prefix' averages the tokens before the patches, received "
                "none. Pass use_class_token=True or num_registers."
            )
        if not self.use_distillation_token:
            return
        if self.pooling not in ("token", None):
            raise ValueError(
                "use_distillation_token needs pooling='token', received "
                f"pooling={self.pooling!r}. Use that, or pooling=None for all tokens."
            )
        if not self.has_class_token:
            raise ValueError(
                "use_distillation_token needs a class token before it, received none. "
                "Pass use_class_token=True."
            )
        if self.representation_size is not None or not self.use_head_bias:
            raise ValueError(
                "The two classifiers of use_distillation_token have biases and no "
                "layer before them, received representation_size="
                f"{self.representation_size}, use_head_bias={self.use_head_bias}. "
                "Leave these at their defaults."
            )

    def _check_heads(self) -> None:
        kv_heads = self.num_kv_heads
        if isinstance(kv_heads, (list, tuple)):
            kv_heads = tuple(_count("num_kv_heads", heads) for heads in kv_heads)
            if len(kv_heads) != self.num_layers:
                raise ValueError(
                    "num_kv_heads must have one number per block, received "
                    f"{len(kv_heads)} numbers for num_layers={self.num_layers}. Pass "
                    "as many, or one number for all."
                )
            object.__setattr__(self, "num_kv_heads", kv_heads)
        elif kv_heads is not None:
            object.__setattr__(self, "num_kv_heads", _count("num_kv_heads", kv_heads))
        for i in range(self.num_layers):
            if self.num_heads % self.block_kv_heads(i):
                raise ValueError(
                    "num_heads must be a multiple of num_kv_heads, received num_heads="
                    f"{self.num_heads}, num_kv_heads={self.num_kv_heads}. Choose a "
                    "num_kv_heads that divides num_heads."
                )
        if self.attention == "differential" and self.hidden_dim % (2 * self.num_heads):
            raise ValueError(
                "hidden_dim must be a multiple of 2 * num_heads for differential "
                f"attention, received hidden_dim={self.hidden_dim}, "
                f"num_heads={self.num_heads}. Choose a num_heads that divides "
                "hidden_dim / 2."
            )

    def _check_block(self) -> None:
        """Refuse what a block or an attention cannot do, instead of ignoring it."""
        unsupported = [*_UNSUPPORTED.get(self.block, ())]
        unsupported += _UNSUPPORTED.get(self.attention, ())
        unsupported += _UNSUPPORTED.get(self.rotary or "", ())
        if self._is_parallel and self.query_key_norm == "width":
            unsupported.append("query_key_norm")
        if self.qkv_bias == "qv":
            unsupported.append("num_kv_heads")
            if self._is_parallel or self.attention == "differential":
                unsupported.append("qkv_bias")
        defaults = {field.name: field.default for field in fields(ViTConfig)}
        wrong = [n for n in unsupported if getattr(self, n) != defaults[n]]
        if wrong:
            raise ValueError(
                f"block={self.block!r} with attention={self.attention!r}, "
                f"rotary={self.rotary!r} and qkv_bias={self.qkv_bias!r} has no "
                + ", ".join(f"{n}={getattr(self, n)!r}" for n in dict.fromkeys(wrong))
                + ". Leave these at their defaults, or choose another block."
            )

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
        """Return a copy with some fields changed; `position_grid` fits `image_size`.

        For any image size learned positions stay those of the present grid.

        Raises:
            TypeError: if `changes` names a field that does not exist.
            ValueError: if fields contradict each other.
        """
        size, positions = (
            changes.get(name, getattr(self, name))
            for name in ("image_size", "positions")
        )
        is_resampled = size is None and positions in _LEARNED
        grid = self.table_grid if is_resampled else None
        return replace(self, **{"position_grid": grid, **changes})

    @property
    def has_class_token(self) -> bool:
        """Whether a class token stands before the patches."""
        if self.use_class_token is None:
            return self.pooling in ("token", "token_mean")
        return self.use_class_token

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
        """Number of heads of attention pooling."""
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

    @property
    def num_parameters(self) -> int:
        """Number of trainable parameters."""
        dim = self.hidden_dim
        norm = dim * (2 if self.normalization == "layer" else 1)
        total = (self.patch_dim + self.use_patch_bias) * dim
        total += norm * self.use_patch_norm
        total += (self.num_prefix_tokens + self.num_position_rows) * dim
        total += norm * self.use_pre_norm
        total += sum(self._block_parameters(i) for i in range(self.num_layers))
        if self.final_norm is not None:
            wide = self.final_norm == "after_pooling" and self.pooling == "token_mean"
            total += norm * (2 if wide else 1)
        return total + self._head_parameters(norm)

    def _block_parameters(self, block: int) -> int:
        dim, mlp, joint = self.hidden_dim, self.mlp_dim, self.block == "parallel_joint"
        per_value = 2 if self.normalization == "layer" else 1
        kv = 2 * self.head_dim * self.block_kv_heads(block)
        attention = dim * (dim + kv) + dim * dim
        attention += {True: dim + kv, False: 0, "qv": 2 * dim}[self.qkv_bias]
        attention += dim * (self.use_output_bias or self._is_parallel)
        if self.query_key_norm == "head":
            attention += 2 * per_value * self.head_dim
        elif self.query_key_norm == "width":
            attention += per_value * (dim + kv // 2)
        attention += per_value * dim * self.use_context_norm
        if self.attention == "differential":
            attention += 4 * (self.head_dim // 2) + self.head_dim
        if self.rotary == "mixed":
            attention += self.num_heads * self.head_dim
        gates = 2 if self.mlp == "gated" else 1
        layers = (gates + 1) * dim * mlp
        if self._is_parallel:
            layers += mlp + dim * (not joint)
        else:
            layers += (gates * mlp + dim) * self.use_mlp_bias
        layers += per_value * mlp * self.use_mlp_norm
        scales = 0
        if self.layer_scale is not None:
            both = self.use_mlp_layer_scale and not self._is_parallel
            scales = dim * (2 if both else 1)
        norms = per_value * dim * (1 if self._is_parallel else 2)
        return (attention + layers + scales + norms) * (
            2 if self.block == "twin" else 1
        )

    @property
    def _is_parallel(self) -> bool:
        return self.block in ("parallel", "parallel_joint")

    def _head_parameters(self, norm: int) -> int:
        dim, total = self.hidden_dim, 0
        if self.pooling == "attention":
            mlp = self.pooling_mlp_dim or self.mlp_dim
            total += dim + 4 * (dim * dim + dim) + norm + 2 * dim * mlp + mlp + dim
        if self.representation_size:
            total += (self.pooled_dim + 1) * self.representation_size
        if self.num_classes:
            head = (self.num_features + self.use_head_bias) * self.num_classes
            total += head * (2 if self.use_distillation_token else 1)
        return total

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the matrix products in one forward pass of one image.

        Bias, normalization, activation and softmax are left out, as is usual.
        """
        dim, tokens = self.hidden_dim, self.num_tokens
        total = self.num_patches * self.patch_dim * dim
        twins = 2 if self.block == "twin" else 1
        for i in range(self.num_layers):
            kv = 2 * self.head_dim * self.block_kv_heads(i)
            gates = 3 if self.mlp == "gated" else 2
            products = tokens * (dim * (2 * dim + kv) + gates * dim * self.mlp_dim)
            scores = tokens * tokens * dim
            if self.attention == "differential":
                attention = scores + 2 * scores
            else:
                attention = 2 * scores
            total += twins * (products + attention)
        if self.pooling == "attention":
            seen = tokens if self.pool_prefix else self.num_patches
            mlp = self.pooling_mlp_dim or self.mlp_dim
            total += 2 * seen * dim * dim + 2 * seen * dim
            total += 2 * dim * dim + 2 * dim * mlp
        total += self.pooled_dim * (self.representation_size or 0)
        heads = 2 if self.use_distillation_token else 1
        return total + heads * self.num_features * (self.num_classes or 0)


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


def _height_width(name: str, size: Any) -> tuple[int, int]:
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2:
        raise ValueError(
            f"{name} must be one number of pixels or (height, width), received "
            f"{name}={size!r}."
        )
    return _count(name, pair[0]), _count(name, pair[1])


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(
            f"{name} must be a whole number, received {name}={value!r} "
            f"({type(value).__name__})."
        )
    if value < 1:
        raise ValueError(f"{name} must be at least 1, received {name}={value}.")
    return int(value)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(
            f"{name} must be a number, received {name}={value!r} "
            f"({type(value).__name__})."
        )
    return float(value)


def _check_rate(name: str, value: Any) -> None:
    if not 0 <= _number(name, value) < 1:
        raise ValueError(
            f"{name} must be at least 0 and below 1, received {name}={value}. "
            "It is the share that is dropped in training."
        )


_SIZES = ("image_size", "patch_size")
_RATES = (
    *("dropout_rate", "attention_dropout_rate", "stochastic_depth_rate"),
    "patch_dropout_rate",
)
_LEARNED = ("all", "class", "patches")  # positions that have a table

# The valid values of the options that name something.
_CHOICES: dict[str, tuple[Any, ...]] = {
    "positions": (*get_args(Positions), None),
    "rotary": (*get_args(Rotary), None),
    "rotary_order": ("yx", "xy"),
    "rotary_layout": ("interleaved", "half"),
    "normalization": get_args(Normalization),
    "final_norm": (*get_args(FinalNorm), None),
    "block": get_args(Block),
    "attention": ("softmax", "differential"),
    "qkv_bias": (True, False, "qv"),
    "query_key_norm": ("head", "width", None),
    "mlp": ("plain", "gated"),
}

# Options that are on or off.
_FLAGS = (
    *("use_distillation_token", "use_patch_bias", "use_patch_norm", "use_pre_norm"),
    *("use_output_bias", "use_context_norm", "use_mlp_bias", "use_mlp_norm"),
    *("use_mlp_layer_scale", "pool_prefix", "use_head_bias"),
)

# What a block, an attention or a kind of rotation does not have.
_PARALLEL = (
    *("rotary", "num_kv_heads", "use_context_norm", "use_output_bias"),
    *("mlp", "use_mlp_bias", "use_mlp_norm", "use_mlp_layer_scale"),
)
_AXIAL_ONLY = ("rotary_offset", "rotary_order", "rotary_grid", "rotary_layout")
_UNSUPPORTED: dict[str, tuple[str, ...]] = {
    "parallel": _PARALLEL,
    "parallel_joint": _PARALLEL,
    "twin": ("rotary", "num_kv_heads", "use_mlp_layer_scale"),
    "post_norm": ("layer_scale", "use_mlp_layer_scale"),
    "differential": ("rotary", "num_kv_heads", "query_key_norm", "use_context_norm"),
    "centred": _AXIAL_ONLY,
    "mixed": _AXIAL_ONLY,
}


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of the table of variants: a config and where its sizes come from."""

    config: ViTConfig
    source: str


_PAPER = "arXiv:2010.11929, table 1"
_DEIT = "arXiv:2012.12877, table 1"
_AUGREG = "arXiv:2106.10270, table 2"
_DINO = "arXiv:2104.14294, table 1"
_CLIP = "arXiv:2103.00020, section 2.4"
_SCALING = "arXiv:2106.04560, table 2"

_TI = {"hidden_dim": 192, "num_layers": 12, "num_heads": 3, "mlp_dim": 768}
_S = {"hidden_dim": 384, "num_layers": 12, "num_heads": 6, "mlp_dim": 1536}
_B = {"hidden_dim": 768, "num_layers": 12, "num_heads": 12, "mlp_dim": 3072}
_L = {"hidden_dim": 1024, "num_layers": 24, "num_heads": 16, "mlp_dim": 4096}
_H = {"hidden_dim": 1280, "num_layers": 32, "num_heads": 16, "mlp_dim": 5120}
_g = {"hidden_dim": 1408, "num_layers": 40, "num_heads": 16, "mlp_dim": 6144}
_G = {"hidden_dim": 1664, "num_layers": 48, "num_heads": 16, "mlp_dim": 8192}
_TEST = {"hidden_dim": 32, "num_layers": 2, "num_heads": 2, "mlp_dim": 64}


def _variant(
    sizes: dict[str, Any], patch: int, source: str, image: int = 224
) -> Variant:
    config = ViTConfig(image_size=(image, image), patch_size=(patch, patch), **sizes)
    return Variant(config, source)


VARIANTS: Mapping[str, Variant] = {
    "Ti/16": _variant(_TI, 16, _DEIT),
    "S/32": _variant(_S, 32, _AUGREG),
    "S/16": _variant(_S, 16, _DEIT),
    "S/8": _variant(_S, 8, _DINO),
    "B/32": _variant(_B, 32, _PAPER),
    "B/16": _variant(_B, 16, _PAPER),
    "B/8": _variant(_B, 8, _DINO),
    "L/32": _variant(_L, 32, _PAPER),
    "L/16": _variant(_L, 16, _PAPER),
    "L/14": _variant(_L, 14, _CLIP),
    "H/14": _variant(_H, 14, _PAPER),
    "g/14": _variant(_g, 14, _SCALING),
    "G/14": _variant(_G, 14, _SCALING),
    "digits": Variant(
        ViTConfig(
            image_size=(16, 16),
            patch_size=(4, 4),
            channels=1,
            num_classes=10,
            hidden_dim=64,
            num_layers=3,
            num_heads=4,
            mlp_dim=96,
            pooling="mean",
        ),
        "keras_vit: for the embedded digits; benchmarks/digits.py measures it",
    ),
    "test": _variant(_TEST, 8, "keras_vit: tiny, for tests and first tries", image=32),
}
