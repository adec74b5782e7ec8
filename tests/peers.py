"""Other implementations that tests compare with."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np


def import_timm() -> Any:
    """Import timm, with CPU builds of torch too.

    PyPI's torchvision is compiled against CUDA's torch. With a CPU torch its operators
    are missing and its module of their shapes fails at import, which takes timm down;
    none of them is used here.
    """
    name = "torchvision._meta_registrations"
    sys.modules.setdefault(name, types.ModuleType(name))
    import timm

    return timm


def timm_model(name: str = "vit_tiny_patch16_224", *, seed: int = 0, **options: Any):
    """Build a timm ViT in inference mode with random weights, none of them zero."""
    timm = import_timm()
    model = timm.create_model(name, pretrained=False, **options).eval()
    set_random_parameters(model, seed=seed)
    return model


def set_random_parameters(model: Any, *, seed: int = 0) -> None:
    """Add noise to each parameter of a torch module, so that none of them is zero."""
    import torch

    generator = torch.Generator("cpu").manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(
                parameter.shape, generator=generator, device="cpu", dtype=torch.float32
            )
            parameter += 0.05 * noise


def write_timm(model: Any, folder: Any) -> None:
    """Let timm write a model as it does for the hub: config.json, model.safetensors."""
    timm = import_timm()
    # A model without pretrained weights has no tag; timm writes it all the same.
    timm.models.save_for_hf(model, folder, safe_serialization=True)


def shrink(row: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that make an architecture small, and keep its options."""
    args = row["args"]
    patch = args.get("patch_size", 16)
    depth = 3
    heads = 4
    # Where timm allows it, the last row of pixels is no whole patch.
    rest = 0 if args.get("dynamic_img_size") else 1
    changes: dict[str, Any] = {
        "img_size": (3 * patch + rest, 2 * patch),
        "embed_dim": 96,
        "depth": depth,
        "num_heads": heads,
        "num_classes": 7,
    }
    if args.get("attn_pool_num_heads"):
        changes["attn_pool_num_heads"] = 2
    if args.get("num_kv_heads"):
        changes["num_kv_heads"] = [4, 2, 4]
    return changes


def check_round_trip(model: Any, folder: Any) -> None:
    """Raise unless `keras_vit.save` writes the arrays that timm wrote."""
    import keras_vit
    from keras_vit.checkpoints.files.safetensors import SafetensorsFile

    keras_vit.save(model, folder / "again", format="timm")
    first = SafetensorsFile(folder / "model.safetensors")
    second = SafetensorsFile(folder / "again" / "model.safetensors")
    different = set(first) ^ set(second)
    different |= {n for n in set(first) & set(second) if not equal(first[n], second[n])}
    if different:
        raise ValueError(f"written back differently: {sorted(different)[:8]}")


def equal(first: np.ndarray, second: np.ndarray) -> bool:
    return first.shape == second.shape and first.tobytes() == second.tobytes()


def timm_weights(model: Any) -> dict[str, np.ndarray]:
    """Return the weights of a timm ViT under the paths that keras_vit gives them."""
    state = {key: value.cpu().numpy() for key, value in model.state_dict().items()}
    weights = {}
    for key, value in state.items():
        path = key.replace(".", "/")
        for foreign, ours in _TIMM_NAMES.items():
            path = path.replace(foreign, ours)
        if path.startswith("blocks/"):
            _, number, rest = path.split("/", 2)
            path = f"block_{number}/{rest}"
        if value.ndim == 4:  # (D, C, P, P) -> (P * P * C, D)
            value = value.transpose(2, 3, 1, 0).reshape(-1, value.shape[0])
        elif path.endswith("/kernel"):  # (out, in) -> (in, out)
            value = value.T
        weights[path] = value
    return weights


_TIMM_NAMES = {
    "norm1/weight": "attention_norm/gamma",
    "norm1/bias": "attention_norm/beta",
    "norm2/weight": "mlp_norm/gamma",
    "norm2/bias": "mlp_norm/beta",
    "norm/weight": "norm/gamma",
    "norm/bias": "norm/beta",
    "weight": "kernel",
    "attn/qkv": "attention/qkv",
    "attn/proj": "attention/output_projection",
    "mlp/fc1": "mlp/expand",
    "mlp/fc2": "mlp/contract",
    "patch_embed/proj": "patch_encoder/projection",
    "cls_token": "patch_encoder/class_token/token",
    "pos_embed": "patch_encoder/position_embedding/table",
    "head/": "head/logits/",
}


def set_weights(model: Any, weights: dict[str, np.ndarray]) -> None:
    """Assign by path; each array is used once and each weight is set."""
    assert sorted(weights) == sorted(weight.path for weight in model.weights)
    for weight in model.weights:
        weight.assign(weights[weight.path])


def timm_call(function: Any, images: np.ndarray) -> np.ndarray:
    """Call a timm model, or one of its methods, with channels-last images."""
    import torch

    with torch.no_grad(), torch.device("cpu"):
        channels_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        return function(torch.from_numpy(channels_first)).numpy()
