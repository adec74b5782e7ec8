"""The names that authors give their arrays in files without a `config.json`.

Each family is a row: how to recognize it, what to leave out, how its names become
timm's, and what cannot be said by renaming. Shapes: C channels, D hidden, N patches, P
patch, R tokens before the patches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from keras_vit.checkpoints.entries import Arrays
from keras_vit.checkpoints.files.lazy_arrays import LazyArrays, Readers
from keras_vit.checkpoints.files.wrappers import inside, outer_prefixes, preferred
from keras_vit.checkpoints.resample import RADIO, Resampling
from keras_vit.config import ViTConfig


@dataclass(frozen=True, kw_only=True)
class Family:
    """What the authors of one family call their arrays.

    Args:
        name: of the family, for messages.
        detected: regular expression that one whole name fits, after the prefix of the
            tower.
        tower: regular expression of the prefixes that the authors have. Default: none.
        beside: regular expression that another name has to fit.
        known: regular expressions of names outside of the tower that are left out on
            purpose; others outside are said.
        dropped: regular expressions; names in which one is found are left out.
        renames: regular expressions and what replaces them, one after the other.
        convert: changes the readers where renaming is not enough.
        resampling: how the authors fit positions to another size. Default None: as
            timm does.
    """

    name: str
    detected: str
    tower: str = ""
    beside: str = ""
    known: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    renames: tuple[tuple[str, str], ...] = ()
    convert: Callable[[Readers, ViTConfig], None] = lambda readers, config: None
    resampling: Resampling | None = None


def to_timm(
    arrays: Arrays, config: ViTConfig, source: str = "the file"
) -> tuple[Family, Arrays]:
    """Return the family of the arrays, and the arrays under timm's names.

    Modules around the model, such as "model." of Lightning, are looked through.

    Args:
        arrays: of a file.
        config: of the model that they are for.
        source: for messages. Default "the file".

    Raises:
        ValueError: if no family calls its arrays so, or several models are there.
    """
    for family in FAMILIES:
        prefixes = _prefixes(family, arrays)
        if prefixes:
            prefix = preferred(prefixes, source, "under the prefix")
            left_out = partial(_is_known, family, tuple(prefixes - {prefix}))
            inner = inside(arrays, prefix, source, left_out)
            return family, _renamed(family, inner, config)
    raise ValueError(
        f"{source!r} must hold a ViT under the names of one of "
        f"{[family.name for family in FAMILIES]}, received arrays called "
        f"{sorted(arrays)[:6]}, ... Load it with the code of its authors, or rename "
        "them: torch.save({new_name(k): v for k, v in state_dict.items()}, 'vit.pth')."
    )


def _prefixes(family: Family, names: Iterable[str]) -> set[str]:
    """Return what stands before the models of a family, the prefix of the tower too."""
    found = set()
    for outer in outer_prefixes(names, f"(?:{family.tower}){family.detected}"):
        inner = [n.removeprefix(outer) for n in names if n.startswith(outer)]
        pattern = re.compile(f"({family.tower}){family.detected}")
        towers = [match[1] for match in map(pattern.fullmatch, inner) if match]
        beside = re.compile(f"{re.escape(towers[0])}{family.beside}")
        if not family.beside or any(map(beside.match, inner)):
            found.add(outer + towers[0])
    return found


def _is_known(family: Family, others: tuple[str, ...], name: str) -> bool:
    """Tell names that are left out on purpose, or were said already."""
    return bool(others and name.startswith(others)) or any(
        re.search(pattern, name) for pattern in family.known
    )


def _renamed(family: Family, arrays: Arrays, config: ViTConfig) -> Arrays:
    readers: Readers = {}
    for original in arrays:
        name = original
        if any(re.search(pattern, name) for pattern in family.dropped):
            continue
        for pattern, new in family.renames:
            name = re.sub(pattern, new, name)
        readers[name] = lambda original=original: np.asarray(arrays[original])
    family.convert(readers, config)
    return LazyArrays(readers)


# --- What renaming cannot say -------------------------------------------------------
def _changed(
    readers: Readers, old: str, new: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    """Replace an array, if it is there, by what `change` makes of it."""
    if old in readers:
        read = readers.pop(old)
        readers[new] = lambda: change(read())


def _clip(readers: Readers, config: ViTConfig) -> None:
    _changed(readers, "class_embedding", "cls_token", lambda x: x[None, None])
    _changed(readers, "pos_embed", "pos_embed", lambda x: x[None])
    _changed(readers, "proj", "head.weight", lambda x: x.T)
    dim = config.hidden_dim
    for kind in ("weight", "bias"):  # One array holds the query, then key and value.
        read = readers.pop(f"attn_pool.qkv.{kind}", None)
        if read is not None:
            readers[f"attn_pool.q.{kind}"] = lambda read=read: read()[:dim]
            readers[f"attn_pool.kv.{kind}"] = lambda read=read: read()[dim:]


def _dinov2(readers: Readers, config: ViTConfig) -> None:
    """Give the class token its position where timm has positions of patches only."""
    if "reg_token" not in readers or config.positions != "patches":
        return
    token, table = readers["cls_token"], readers["pos_embed"]
    readers["cls_token"] = lambda: token() + table()[:, :1]
    readers["pos_embed"] = lambda: table()[:, 1:]


def _dinov3(readers: Readers, config: ViTConfig) -> None:
    """Split the bias as the model has it: that of the keys is masked."""
    for name in [name for name in readers if name.endswith("attn.qkv.bias")]:
        read = readers.pop(name)
        base = name.removesuffix("qkv.bias")
        if config.qkv_bias == "qv":
            readers[f"{base}q_bias"] = lambda read=read: np.split(read(), 3)[0]
            readers[f"{base}v_bias"] = lambda read=read: np.split(read(), 3)[2]
        elif np.any(np.split(read(), 3)[0]) or np.any(np.split(read(), 3)[2]):
            raise ValueError(
                "The architecture has no bias for queries and values, received "
                f"{name!r} that is not zero. Pass the architecture whose name ends "
                "in '_qkvb'."
            )


def _eva(readers: Readers, config: ViTConfig) -> None:
    for name in [name for name in readers if name.endswith((".q_bias", ".v_bias"))]:
        base, part = name[: -len("q_bias")], name[-len("q_bias")]
        if f"{base}q_proj.weight" in readers:
            readers[f"{base}{part}_proj.bias"] = readers.pop(name)
    if config.final_norm == "after_pooling" and "fc_norm.weight" not in readers:
        # Files of pre-training; timm begins fine-tuning like this, too.
        for kind in ("weight", "bias"):
            _changed(readers, f"norm.{kind}", f"fc_norm.{kind}", lambda x: x)


def _beit3(readers: Readers, config: ViTConfig) -> None:
    # Two rows for special tokens, then the class token and the patches.
    _changed(readers, "pos_embed.weight", "pos_embed", lambda x: x[None, 2:])


def _radio(readers: Readers, config: ViTConfig) -> None:
    shape = (-1, config.channels, *config.patch_size)
    kernel = "patch_embed.proj.weight"
    _changed(readers, kernel, kernel, lambda x: x.reshape(shape))
    if config.use_patch_bias:
        zeros = np.zeros(config.hidden_dim, "float32")
        readers["patch_embed.proj.bias"] = lambda: zeros
    # One class token per teacher, then registers; the first stays the class token.
    tokens = readers.pop("tokens")
    readers["cls_token"] = lambda: tokens()[None, :1]
    readers["reg_token"] = lambda: tokens()[None, 1:]


# --- The table: the first row that fits is taken ------------------------------------
_SWIGLU = ((r"mlp\.w12\.", "mlp.fc1."), (r"mlp\.w3\.", "mlp.fc2."))
_SPLIT_SWIGLU = (
    (r"mlp\.w1\.", "mlp.fc1_g."),
    (r"mlp\.w2\.", "mlp.fc1_x."),
    (r"mlp\.w3\.", "mlp.fc2."),
)
_CLIP_BLOCK = (
    (r"^transformer\.resblocks\.", "blocks."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.ls_([12])\.gamma$", r".ls\1.gamma"),
    (r"\bin_proj_", "qkv."),
    (r"\.out_proj\.", ".proj."),
    (r"\.c_fc\.", ".fc1."),
    (r"\.c_proj\.", ".fc2."),
)
# Outside of the tower: the text model, the heads of DINO and iBOT.
_TEXT = (r"^(?!visual\.)",)
_SELF_TRAINING = (r"(?:^|\.)(?:dino_|ibot_)?head\.(?:mlp|last_layer)",)
_PRE_TRAINING = (r"^mask_token$", r"^decoder_", r"^lm_head\.")

FAMILIES: tuple[Family, ...] = (
    Family(
        name="OpenCLIP with a tower of timm",
        tower=r"visual\.",
        detected=r"trunk\.patch_embed\.proj\.weight",
        known=_TEXT,
        renames=((r"^trunk\.", ""), (r"^head\.proj\.", "head.")),
    ),
    Family(
        name="BEiT-3",
        detected=r"beit3\.vision_embed\.proj\.weight",
        dropped=(r"\.B\.", r"^beit3\.text_embed\.", r"mask_token$"),
        renames=(
            (r"^beit3\.", ""),
            (r"^vision_embed\.cls_token$", "cls_token"),
            (r"^vision_embed\.", "patch_embed."),
            (r"^encoder\.", ""),
            (r"\.A\.", "."),
            (r"^embed_positions\.", "pos_embed."),
            (r"^layers\.", "blocks."),
            (r"\.self_attn_layer_norm\.", ".norm1."),
            (r"\.final_layer_norm\.", ".norm2."),
            (r"\.self_attn\.", ".attn."),
            (r"\.inner_attn_ln\.", ".norm."),
            (r"\.out_proj\.", ".proj."),
            (r"\.ffn\.ffn_layernorm\.", ".mlp.norm."),
            (r"\.ffn\.", ".mlp."),
        ),
        convert=_beit3,
    ),
    Family(
        name="CLIP, PE",
        tower=r"visual\.|",
        detected=r"conv1\.weight",
        beside=r"transformer\.resblocks\.0\.",
        known=_TEXT,
        dropped=(r"\brope",),
        renames=(
            (r"^conv1\.", "patch_embed.proj."),
            (r"^positional_embedding$", "pos_embed"),
            (r"^ln_pre\.", "norm_pre."),
            (r"^ln_post\.", "norm."),
            *_CLIP_BLOCK,
            (r"^attn_pool\.attn\.", "attn_pool."),
            (r"^attn_pool\.layernorm\.", "attn_pool.norm."),
            (r"^attn_pool\.probe$", "attn_pool.latent"),
        ),
        convert=_clip,
    ),
    Family(
        name="AIMv2",
        detected=r"preprocessor\.patchifier\.proj\.weight",
        renames=(
            (r"^preprocessor\.patchifier\.", "patch_embed."),
            (r"^preprocessor\.pos_embed$", "pos_embed"),
            (r"^trunk\.post_trunk_norm\.", "norm."),
            (r"^trunk\.", ""),
            (r"\.norm_([12])\.", r".norm\1."),
            (r"\.mlp\.fc1\.", ".mlp.fc1_g."),
            (r"\.mlp\.fc3\.", ".mlp.fc1_x."),
        ),
    ),
    Family(
        name="C-RADIO",
        tower=r"radio_model\.model\.",
        detected=r"patch_generator\.embedder\.weight",
        known=(r"^radio_model\.(?!model\.)",),
        dropped=(r"^head\.", r"^patch_generator\.video_embedder\."),
        renames=(
            (r"^patch_generator\.embedder\.", "patch_embed.proj."),
            (r"^patch_generator\.pos_embed$", "pos_embed"),
            (r"^patch_generator\.cls_token\.token$", "tokens"),
            (r"\.grandma$", ".gamma"),
        ),
        convert=_radio,
        resampling=RADIO,
    ),
    Family(
        name="Sapiens2",
        tower=r"backbone\.|",
        detected=r"blocks\.0\.attn\.wq\.weight",
        dropped=_PRE_TRAINING,
        renames=(
            (r"^storage_tokens$", "reg_token"),
            (r"^patch_embed\.projection\.", "patch_embed.proj."),
            (r"\.attn\.w([qkv])\.", r".attn.\1_proj."),
            (r"\.attn\.gamma\.weight$", ".gamma_1"),
            (r"\.ffn\.", ".mlp."),
            *_SWIGLU,
            (r"\.ln([12])\.", r".norm\1."),
            (r"^ln1\.", "norm."),
        ),
    ),
    Family(
        name="DINOv3, EUPE",
        tower=r"backbone\.|",
        detected=r"storage_tokens",
        known=_SELF_TRAINING,
        dropped=(
            *(r"\.periods$", r"\.bias_mask$", r"^mask_token$"),
            *(r"^local_cls_norm", r"^projectors\."),
        ),
        renames=((r"^storage_tokens$", "reg_token"), *_SPLIT_SWIGLU),
        convert=_dinov3,
    ),
    Family(
        name="EVA, EVA-02, EVA-CLIP",
        tower=r"visual\.|",
        known=_TEXT,
        detected=r"blocks\.0\.(?:attn\.(?:q_bias|inner_attn_ln\.weight|"
        r"q_proj\.weight)|mlp\.w1\.weight)",
        dropped=(*_PRE_TRAINING, r"\brope\b(?!\.freqs$)"),
        renames=(
            (r"\.inner_attn_ln\.", ".norm."),
            (r"\.ffn_ln\.", ".norm."),
            (r"mlp\.w12\.", "mlp.fc1."),
            *_SPLIT_SWIGLU,
        ),
        convert=_eva,
    ),
    Family(
        name="DINOv2, TIPSv2",
        tower=r"vision_encoder\.|backbone\.|",
        detected=r"blocks\.0\.(?:0\.)?ls1\.gamma",
        known=(*_SELF_TRAINING, r"^text_encoder\."),
        dropped=_PRE_TRAINING,
        renames=(
            # Blocks in chunks, as they are trained.
            (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),
            (r"^register_tokens$", "reg_token"),
            *_SWIGLU,
            (r"\.c_fc\.", ".fc1."),
            (r"\.c_proj\.", ".fc2."),
        ),
        convert=_dinov2,
    ),
    Family(
        name="torchvision",
        detected=r"conv_proj\.weight",
        beside=r"encoder\.layers\.encoder_layer_0\.",
        renames=(
            (r"^conv_proj\.", "patch_embed.proj."),
            (r"^class_token$", "cls_token"),
            (r"^encoder\.pos_embedding$", "pos_embed"),
            (r"^encoder\.ln\.", "norm."),
            (r"^encoder\.layers\.encoder_layer_", "blocks."),
            (r"\.ln_([12])\.", r".norm\1."),
            (r"\.self_attention\.in_proj_", ".attn.qkv."),
            (r"\.self_attention\.out_proj\.", ".attn.proj."),
            (r"\.mlp\.(?:0|linear_1)\.", ".mlp.fc1."),
            (r"\.mlp\.(?:3|linear_2)\.", ".mlp.fc2."),
            (r"^heads\.head\.", "head."),
        ),
    ),
    Family(
        name="DeiT, MAE, DINO, MSN, I-JEPA, timm",
        tower=r"backbone\.|",
        detected=r"patch_embed\.proj\.weight",
        known=_SELF_TRAINING,
        # MSN keeps the layers that it compares images with, under "fc".
        dropped=(*_PRE_TRAINING, r"^fc\.(?:fc|bn)\d\."),
        renames=((r"\.gamma_([12])$", r".ls\1.gamma"),),
    ),
)
