"""Which of the files in a folder or repository holds the weights."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from pathlib import PurePosixPath

# In the order in which timm and transformers look for them.
PREFERRED = (
    *("model.safetensors", "model.safetensors.index.json"),
    *("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model.pth"),
    *("model.pth", "open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth"),
)
PICKLES = (".bin", ".pth", ".pt", ".ckpt", ".tar", ".th")
# "model.fp16.safetensors", "pytorch_model.bin.index.fp16.json"
_VARIANT = re.compile(
    r"(?:pytorch_)?model\.(?:[\w-]+\.(?:safetensors|bin)"
    r"|(?:safetensors|bin)\.index\.[\w-]+\.json)"
)
_SHARD = re.compile(r"(.+)-(\d+)-of-(\d+)\.(?:safetensors|bin)")
# timm's order, and the endings of other training code.
_ENDINGS = (".safetensors", ".pth", ".pth.tar", ".pt", ".ckpt", ".bin")
_NO_WEIGHTS = re.compile(
    r"(?:training_args|optimizer|scheduler|scaler|rng_state|random_states|adapter_model"
    r"|last_layer|global_step)"
)


def choose_weights(names: Iterable[str], source: str) -> str | None:
    """Return the name of the file to read, None if there is none.

    Args:
        names: of the files, without folders.
        source: for messages.

    Raises:
        ValueError: if there are several variants, or shards without their index.
    """
    names = sorted(names)
    for name in PREFERRED:
        if name in names:
            return name
    variants = [n for n in names if _VARIANT.fullmatch(n) and not _SHARD.fullmatch(n)]
    if len(variants) > 1:
        raise ValueError(
            f"{source!r} must hold one set of weights, received the variants "
            f"{variants}. Pass the path of one of them."
        )
    if variants:
        return variants[0]
    shards = [name for name in names if _SHARD.fullmatch(name)]
    if shards:
        raise ValueError(
            f"{source!r} holds parts of weights without their index, received "
            f"{shards[:3]}. Download model.safetensors.index.json or "
            "pytorch_model.bin.index.json, too."
        )
    candidates = [name for name in names if not _NO_WEIGHTS.match(name)]
    for ending in _ENDINGS:
        found = [name for name in candidates if name.endswith(ending)]
        if len(found) > 1:
            warnings.warn(
                f"{source!r} holds several files of weights, {found}; {found[0]!r} is "
                "read. Pass the path of another to read that.",
                stacklevel=2,
            )
        if found:
            return found[0]
    return None


def is_index(name: str) -> bool:
    """Tell whether a file lists the parts of weights."""
    path = PurePosixPath(name)
    return path.suffix == ".json" and ".index" in path.name
