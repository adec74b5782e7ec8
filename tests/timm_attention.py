"""What timm's models attend to, and maps made of it, written without keras_vit.

B batch, h heads, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TimmAttention:
    """One forward and backward pass of a timm ViT.

    Args:
        blocks: attention weights of each block, float64 (B, h, T, T).
        for_class: mean over heads of relu(gradient * weights), (B, T, T) for each.
        pooled: weights of an attention pooling, (B, h, 1, seen), or None.
        pooled_for_class: as `for_class`, (B, 1, seen), or None.
        tokens: that each block reads, (B, T, D) for each.
        token_gradients: of the scores with respect to these.
        readers: share of each token after the last block in the vector, (T,); None
            where an attention pooling says it.
    """

    blocks: list[np.ndarray]
    for_class: list[np.ndarray]
    pooled: np.ndarray | None
    pooled_for_class: np.ndarray | None
    tokens: list[np.ndarray]
    token_gradients: list[np.ndarray]
    readers: np.ndarray | None

    def rollout(self) -> np.ndarray:
        """arXiv:2005.00928, section 3: what is read from each token, (B, T)."""
        total: Any = np.eye(self.blocks[0].shape[-1])
        for weights in self.blocks:
            total = (0.5 * weights.mean(axis=1) + 0.5 * np.eye(total.shape[-1])) @ total
        pooled = None if self.pooled is None else self.pooled.mean(axis=1)
        return self._read(total, pooled)

    def relevance(self) -> np.ndarray:
        """arXiv:2103.15679, equations 5 and 6: relevance of each token, (B, T)."""
        total: Any = np.eye(self.blocks[0].shape[-1])
        for step in self.for_class:
            total = total + step @ total
        return self._read(total, self.pooled_for_class)

    def grad_cam(self, num_prefix: int, block: int = -1) -> np.ndarray:
        """arXiv:1610.02391, equations 1 and 2, on the patches: (B, N)."""
        tokens, gradients = self.tokens[block], self.token_gradients[block]
        weights = gradients[:, num_prefix:].mean(axis=1, keepdims=True)
        return np.maximum((weights * tokens[:, num_prefix:]).sum(axis=-1), 0)

    def _read(self, total: np.ndarray, pooled: np.ndarray | None) -> np.ndarray:
        if pooled is None:
            assert self.readers is not None
            return self.readers @ total
        seen = pooled.shape[-1]
        return (pooled @ total[:, -seen:])[:, 0]


def timm_attention(model: Any, images: np.ndarray, target: int) -> TimmAttention:
    """Run a timm ViT without fused attention, and catch what its softmax returns.

    Args:
        model: of timm, in inference mode.
        images: channels last, (B, H, W, 3).
        target: class whose logits are differentiated.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    found: list[Any] = []

    class Softmax(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if function.__name__ == "softmax":
                found.append(result)
            return result

    read: list[Any] = []
    hooks = [
        block.register_forward_pre_hook(lambda _, given: read.append(given[0]))
        for block in model.blocks
    ]
    with torch.device("cpu"), torch.enable_grad(), Softmax():
        given = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        outputs = model(given)
    for hook in hooks:
        hook.remove()
    gradients = torch.autograd.grad(
        outputs[:, target].sum(), [*found, *read], allow_unused=True
    )
    steps = [gradient * x for gradient, x in zip(gradients, found, strict=False)]
    weights = [_double(x) for x in found]
    for_class = [np.maximum(_double(x), 0) for x in steps]
    differences = [block for block in model.blocks if _factor(block) is not None]
    if differences:
        for i, block in enumerate(differences):
            both, of_first = weights[i], gradients[i][:, ::2]
            # One after the other: those of a head and what is taken away from it.
            weights[i] = both[:, ::2] - _factor(block) * both[:, 1::2]
            for_class[i] = np.maximum(_double(of_first) * weights[i], 0)
    count = len(model.blocks)
    per_block = (len(found) - (len(found) % count)) // count
    parts = [slice(i * per_block, (i + 1) * per_block) for i in range(count)]
    has_pooling = len(found) % count == 1
    return TimmAttention(
        blocks=[np.concatenate(weights[part], axis=1) for part in parts],
        for_class=[
            np.concatenate(for_class[part], axis=1).mean(axis=1) for part in parts
        ],
        pooled=weights[-1] if has_pooling else None,
        pooled_for_class=for_class[-1].mean(axis=1) if has_pooling else None,
        tokens=[_double(x) for x in read],
        token_gradients=[
            np.zeros(x.shape) if gradient is None else _double(gradient)
            for gradient, x in zip(gradients[len(found) :], read, strict=True)
        ],
        readers=None if has_pooling else _readers(model, weights[0].shape[-1]),
    )


def relative_errors(
    ours: Any, theirs: Any, target: int = 2, *, with_gradients: bool = True
) -> dict[str, float]:
    """Compare maps of a ViT with those of the timm model that it was loaded from.

    Args:
        ours: a `keras_vit.ViT`.
        theirs: of timm, with the same weights.
        target: class for those that are of one.
        with_gradients: whether "relevance" and "grad_cam" are compared.

    Returns:
        For "attention" of all blocks, "rollout", "relevance" and "grad_cam", as far as
        they are defined: the largest difference, relative to the largest value.
    """
    import keras

    import keras_vit
    from keras_vit.explaining.token_reading import rollout_model

    def error(found: Any, expected: np.ndarray) -> float:
        difference = float(np.abs(np.asarray(found) - expected).max())
        return difference / (float(np.abs(expected).max()) or 1)  # All may be 0.

    def of_blocks(model: Any) -> dict[str, np.ndarray]:
        found = model(images)
        return {name: keras.ops.convert_to_numpy(x) for name, x in found.items()}

    config = ours.config
    size, first = ours.input_shape[1:3], config.num_prefix_tokens
    images = np.random.default_rng(1).normal(size=(1, *size, 3)).astype("float32")
    expected = timm_attention(theirs, images, target)
    weights = of_blocks(keras_vit.attention_scores(ours, None))
    errors = {
        "attention": max(
            error(weights[f"block_{i}"], x) for i, x in enumerate(expected.blocks)
        )
    }
    if config.attention == "softmax":
        found = of_blocks(rollout_model(ours))["map"]
        errors["rollout"] = error(found, expected.rollout())
    if not with_gradients:
        return errors
    maps = {"relevance": expected.relevance()[0, first:]}
    if len(expected.tokens) == config.num_layers:
        maps["grad_cam"] = expected.grad_cam(first)[0]
    ours.preprocessing = keras_vit.Preprocessing(  # Which changes nothing.
        image_size=size, value_range=(-9, 9), mean=0.5, std=1 / 18
    )
    for method, values in maps.items():
        [one] = keras_vit.explain(ours, images, method=method, target=target)
        errors[method] = error(one.patches.ravel(), values)
    return errors


def _readers(model: Any, num_tokens: int) -> np.ndarray:
    """Return which tokens the vector of an image is the mean of."""
    shares = np.zeros(num_tokens)
    if hasattr(model, "dist_token") and model.dist_token is not None:
        shares[:2] = 0.5
    elif model.global_pool == "token":
        shares[0] = 1
    else:
        assert model.global_pool == "avg"
        includes = getattr(model, "pool_include_prefix", False)
        first = 0 if includes else model.num_prefix_tokens
        shares[first:] = 1 / (num_tokens - first)
    return shares


def _factor(block: Any) -> float | None:
    """Return lambda of differential attention, None of another one."""
    for module in (block, getattr(block, "attn", None)):
        if hasattr(module, "_compute_lambda"):
            return float(module._compute_lambda().detach())
    return None


def _double(x: Any) -> np.ndarray:
    return x.detach().cpu().numpy().astype("float64")
