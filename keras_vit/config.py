"""Architecture of a Vision Transformer: the frozen config and the table of variants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, Literal, get_args

Pooling = Literal["token", "mean"]


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

    image_size: tuple[int, int] = (224, 224)  # pixels, (height, width)
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

    def __post_init__(self) -> None:
        for name in ("image_size", "patch_size"):
            object.__setattr__(self, name, _height_width(name, getattr(self, name)))
        for name in ("channels", "hidden_dim", "num_layers", "num_heads", "mlp_dim"):
            object.__setattr__(self, name, _count(name, getattr(self, name)))
        for name in ("num_classes", "representation_size"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _count(name, getattr(self, name)))
        for name in ("dropout_rate", "attention_dropout_rate", "stochastic_depth_rate"):
            _check_rate(name, getattr(self, name))
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
        if any(p > s for p, s in zip(self.patch_size, self.image_size, strict=True)):
            raise ValueError(
                "image_size must be at least one patch in each direction, received "
                f"image_size={self.image_size}, patch_size={self.patch_size} "
                "(height, width). Use larger images or a smaller patch_size."
            )
        self._check_pooling()

    def _check_pooling(self) -> None:
        if self.pooling is not None and self.pooling not in get_args(Pooling):
            raise ValueError(
                f"pooling must be one of {[*get_args(Pooling), None]}, received "
                f"pooling={self.pooling!r}."
            )
        if self.pooling == "token" and not self.has_class_token:
            raise ValueError(
                "pooling='token' reads the class token, received "
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
        return replace(VARIANTS[variant].config, **changes)

    @property
    def has_class_token(self) -> bool:
        """Whether a class token stands before the patches."""
        if self.use_class_token is None:
            return self.pooling == "token"
        return self.use_class_token

    @property
    def grid_size(self) -> tuple[int, int]:
        """Number of patches, (rows, columns); an incomplete border patch is dropped."""
        (height, width), (rows, columns) = self.image_size, self.patch_size
        return height // rows, width // columns

    @property
    def num_patches(self) -> int:
        """N, the number of patches."""
        return self.grid_size[0] * self.grid_size[1]

    @property
    def num_tokens(self) -> int:
        """T, the length of the sequence: the patches and the class token if any."""
        return self.num_patches + self.has_class_token

    @property
    def patch_dim(self) -> int:
        """Number of values in one patch, P * P * C."""
        return self.patch_size[0] * self.patch_size[1] * self.channels

    @property
    def num_features(self) -> int:
        """Width of what the head sees: representation_size, or hidden_dim."""
        return self.representation_size or self.hidden_dim

    @property
    def num_parameters(self) -> int:
        """Number of trainable parameters."""
        dim, mlp = self.hidden_dim, self.mlp_dim
        embedding = (self.patch_dim + 1) * dim
        tokens = (self.has_class_token + self.num_tokens) * dim
        attention = 4 * dim * dim + 4 * dim
        block = attention + 2 * dim * mlp + mlp + dim + 2 * 2 * dim
        head = 0
        if self.representation_size:
            head += (dim + 1) * self.representation_size
        if self.num_classes:
            head += (self.num_features + 1) * self.num_classes
        return embedding + tokens + self.num_layers * block + 2 * dim + head

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the matrix products in one forward pass of one image.

        Bias, normalization, activation and softmax are left out, as is usual.
        """
        dim, tokens = self.hidden_dim, self.num_tokens
        embedding = self.num_patches * self.patch_dim * dim
        products = tokens * (4 * dim * dim + 2 * dim * self.mlp_dim)
        attention = 2 * tokens * tokens * dim
        head = dim * (self.representation_size or 0)
        head += self.num_features * (self.num_classes or 0)
        return embedding + self.num_layers * (products + attention) + head


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


def _check_rate(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(
            f"{name} must be a number, received {name}={value!r} "
            f"({type(value).__name__})."
        )
    if not 0 <= float(value) < 1:
        raise ValueError(
            f"{name} must be at least 0 and below 1, received {name}={value}. "
            "It is the share that is dropped in training."
        )


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
