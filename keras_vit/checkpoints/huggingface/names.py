"""What the families in transformers call their arrays.

transformers 5 renamed the modules of some families, but writes the historical names;
both are read, the historical ones are written. The table is `names.json`; names that
look misspelled, such as "pre_layrnorm", are those of the files. Of "deit" the
distillation token is read as a register, unless it has a classifier; of "pixio" the
class tokens are several, which are registers here. Shapes: D hidden, N positions, R
tokens before the patches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from keras_vit.checkpoints.files.json import read_table


@dataclass(frozen=True, kw_only=True)
class Naming:
    """What a family calls its parts; a part that it lacks has no name.

    Args:
        patches: the projection of the patches.
        class_token: the array.
        distillation_token: the array.
        registers: the array.
        positions: the array.
        patch_norm: after the patches.
        pre_norm: before the first block.
        norm: after the last block.
        block: with the number of the block as {}.
        attention_norm: in a block, as all that follows.
        mlp_norm: before the MLP.
        qkv: queries, keys and values, or one layer for the three.
        query_norm: of the queries.
        key_norm: of the keys.
        output: of the attention.
        expand: first layer of the MLP.
        contract: second layer of the MLP.
        gated_expand: gate and values of a gated MLP, or one layer for both.
        gated_contract: last layer of a gated MLP.
        scales: layer scale of attention and MLP.
        is_flat: whether the class token is (D,) and the positions are (N, D), without
            an axis before them.
        shares_registers: whether one array (R, D) holds the class tokens of all
            teachers and the registers, as RADIO's; all but the first are registers.
        class_rotation: the angles of the class token.
        flat_patches: "channels_last" or "channels_first" if the patches are projected
            from flat pixels. Default None: by a convolution.
    """

    patches: str
    block: str
    attention_norm: str
    mlp_norm: str
    qkv: tuple[str, ...]
    output: str
    expand: str = "mlp.fc1"
    contract: str = "mlp.fc2"
    gated_expand: tuple[str, ...] = ()
    gated_contract: str = ""
    class_token: str = ""
    distillation_token: str = ""
    registers: str = ""
    positions: str = ""
    patch_norm: str = ""
    pre_norm: str = ""
    norm: str = "layernorm"
    query_norm: str = ""
    key_norm: str = ""
    scales: tuple[str, ...] = ()
    is_flat: bool = False
    shares_registers: bool = False
    class_rotation: str = ""
    flat_patches: Literal["channels_last", "channels_first"] | None = None


def _read_namings() -> dict[str, Naming]:
    """Return the table; a row says in what it differs from the one that it is like."""
    namings: dict[str, Naming] = {}
    for name, row in read_table("huggingface/names.json").items():
        parts: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in row.items()
        }
        like = parts.pop("like", None)
        namings[name] = replace(namings[like], **parts) if like else Naming(**parts)
    return namings


NAMINGS = _read_namings()
