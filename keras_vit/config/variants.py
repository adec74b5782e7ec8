"""The table of variants: what each changes of the default, and where that comes from.

`keras_vit.config.VARIANTS` holds the configs that are made of these rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class VariantRow(NamedTuple):
    """One row of the table.

    Args:
        options: of `ViTConfig`; what is not named has its default.
        source: of the sizes.
    """

    options: dict[str, Any]
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
_DIGITS = {"hidden_dim": 64, "num_layers": 3, "num_heads": 4, "mlp_dim": 96}
_TEST = {"hidden_dim": 32, "num_layers": 2, "num_heads": 2, "mlp_dim": 64}


def _row(sizes: dict[str, int], patch_size: int, source: str) -> VariantRow:
    return VariantRow({**sizes, "patch_size": patch_size}, source)


VARIANT_ROWS: dict[str, VariantRow] = {
    "Ti/16": _row(_TI, 16, _DEIT),
    "S/32": _row(_S, 32, _AUGREG),
    "S/16": _row(_S, 16, _DEIT),
    "S/8": _row(_S, 8, _DINO),
    "B/32": _row(_B, 32, _PAPER),
    "B/16": _row(_B, 16, _PAPER),
    "B/8": _row(_B, 8, _DINO),
    "L/32": _row(_L, 32, _PAPER),
    "L/16": _row(_L, 16, _PAPER),
    "L/14": _row(_L, 14, _CLIP),
    "H/14": _row(_H, 14, _PAPER),
    "g/14": _row(_g, 14, _SCALING),
    "G/14": _row(_G, 14, _SCALING),
    "digits": VariantRow(
        {
            **_DIGITS,
            "image_size": 16,
            "patch_size": 4,
            "channels": 1,
            "num_classes": 10,
            "pooling": "mean",
        },
        "keras_vit: for the embedded digits; benchmarks/digits.py measures it",
    ),
    "test": VariantRow(
        {**_TEST, "image_size": 32, "patch_size": 8},
        "keras_vit: tiny, for tests and first tries",
    ),
}
