"""Google's `.npz` files with random weights, and a forward pass in NumPy."""

from __future__ import annotations

import functools
import math
import re

import keras
import numpy as np

D, H, M, P, L, GRID = 16, 2, 24, 4, 2, 3
SIZE = GRID * P


def make_arrays(
    *,
    seed: int = 0,
    cls: bool = True,
    rows: int | None = GRID * GRID + 1,
    pooling: bool = False,
    pre_logits: int | None = None,
    classes: int | None = 5,
    channels: int = 3,
) -> dict[str, np.ndarray]:
    """Return random arrays as big_vision names them today, without a prefix."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int, around: float = 0.0) -> np.ndarray:
        return (around + 0.3 * rng.normal(size=shape)).astype("float32")

    def norm(name: str) -> dict[str, np.ndarray]:
        return {f"{name}/scale": draw(D, around=1.0), f"{name}/bias": draw(D)}

    def dense(name: str, rows: int, columns: int) -> dict[str, np.ndarray]:
        return {f"{name}/kernel": draw(rows, columns), f"{name}/bias": draw(columns)}

    def attention(name: str, heads: int) -> dict[str, np.ndarray]:
        arrays = {}
        for part in ("query", "key", "value"):
            arrays[f"{name}/{part}/kernel"] = draw(D, heads, D // heads)
            arrays[f"{name}/{part}/bias"] = draw(heads, D // heads)
        arrays[f"{name}/out/kernel"] = draw(heads, D // heads, D)
        return arrays | {f"{name}/out/bias": draw(D)}

    def mlp(name: str, width: int) -> dict[str, np.ndarray]:
        return dense(f"{name}/Dense_0", D, width) | dense(f"{name}/Dense_1", width, D)

    arrays = {"embedding/kernel": draw(P, P, channels, D), "embedding/bias": draw(D)}
    if cls:
        arrays["cls"] = draw(1, 1, D)
    if rows:
        arrays["pos_embedding"] = draw(1, rows, D)
    for i in range(L):
        block = f"Transformer/encoderblock_{i}"
        arrays |= norm(f"{block}/LayerNorm_0") | norm(f"{block}/LayerNorm_1")
        arrays |= attention(f"{block}/MultiHeadDotProductAttention_0", H)
        arrays |= mlp(f"{block}/MlpBlock_0", M)
    arrays |= norm("Transformer/encoder_norm")
    if pooling:
        arrays["MAPHead_0/probe"] = draw(1, 1, D)
        arrays |= attention("MAPHead_0/MultiHeadDotProductAttention_0", 4)
        arrays |= norm("MAPHead_0/LayerNorm_0") | mlp("MAPHead_0/MlpBlock_0", 20)
    if pre_logits:
        arrays |= dense("pre_logits", D, pre_logits)
    if classes:
        arrays |= dense("head", pre_logits or D, classes)
    return arrays


def forward(arrays: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """Compute what big_vision's Flax modules compute, in float64."""
    w = {name: array.astype("float64") for name, array in arrays.items()}

    def dense(name: str, x: np.ndarray) -> np.ndarray:
        return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)
        return x * w[f"{name}/scale"] + w[f"{name}/bias"]

    def mlp(name: str, x: np.ndarray) -> np.ndarray:
        x = dense(f"{name}/Dense_0", x)
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return dense(f"{name}/Dense_1", 0.5 * x * (1 + np.tanh(inner)))

    def attention(name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        def heads(part: str, z: np.ndarray) -> np.ndarray:
            kernel, bias = w[f"{name}/{part}/kernel"], w[f"{name}/{part}/bias"]
            return np.einsum("btD,Dhd->bthd", z, kernel) + bias

        q, k, v = heads("query", x), heads("key", y), heads("value", y)
        scores = np.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights = weights / weights.sum(-1, keepdims=True)
        x = np.einsum("bhqk,bkhd->bqhd", weights, v)
        kernel = w[f"{name}/out/kernel"]
        return np.einsum("bqhd,hdD->bqD", x, kernel) + w[f"{name}/out/bias"]

    batch = len(images)
    x = images.astype("float64")
    grid = x.shape[1] // P, x.shape[2] // P
    x = x.reshape(batch, grid[0], P, grid[1], P, -1)
    x = np.einsum("bipjqc,pqcD->bijD", x, w["embedding/kernel"])
    x = (x + w["embedding/bias"]).reshape(batch, -1, D)
    table = w.get("pos_embedding")
    has_class_row = table is not None and table.shape[1] == x.shape[1] + 1
    if not has_class_row:
        x = x + (sincos(*grid) if table is None else table)
    if "cls" in w:
        x = np.concatenate([np.tile(w["cls"], (batch, 1, 1)), x], axis=1)
    if has_class_row:
        x = x + table
    for i in range(L):
        block = f"Transformer/encoderblock_{i}"
        y = norm(f"{block}/LayerNorm_0", x)
        x = x + attention(f"{block}/MultiHeadDotProductAttention_0", y, y)
        x = x + mlp(f"{block}/MlpBlock_0", norm(f"{block}/LayerNorm_1", x))
    x = norm("Transformer/encoder_norm", x)
    if "MAPHead_0/probe" in w:
        probe = np.tile(w["MAPHead_0/probe"], (batch, 1, 1))
        x = attention("MAPHead_0/MultiHeadDotProductAttention_0", probe, x)
        x = (x + mlp("MAPHead_0/MlpBlock_0", norm("MAPHead_0/LayerNorm_0", x)))[:, 0]
    else:
        x = x[:, 0] if "cls" in w else x.mean(1)
    if "pre_logits/kernel" in w:
        x = np.tanh(dense("pre_logits", x))
    return dense("head", x) if "head/kernel" in w else x


def sincos(rows: int, columns: int) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns]
    omega = 1 / 10_000 ** (np.arange(D // 4) / (D // 4 - 1))
    x, y = np.outer(x.ravel(), omega), np.outer(y.ravel(), omega)
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1)


def in_old_names(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Number the parts of a block through, as the first code did."""
    table = "Transformer/posembed_input/pos_embedding"
    numbers = {
        r"^pos_embedding": table,
        r"(encoderblock_\d+)/LayerNorm_1": r"\1/LayerNorm_2",
        "^(Transformer.*)Attention_0": r"\1Attention_1",
        "^(Transformer.*)MlpBlock_0": r"\1MlpBlock_3",
    }

    def rename(name: str) -> str:
        return functools.reduce(lambda n, p: re.sub(*p, n), numbers.items(), name)

    return {rename(name): array for name, array in arrays.items()}


def stacked(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Put the arrays of all blocks behind each other, as nn.scan does."""
    first = "Transformer/encoderblock_0"
    result = {n: a for n, a in arrays.items() if "encoderblock" not in n}
    for name in arrays:
        if name.startswith(first):
            blocks = [name.replace("block_0", f"block_{i}") for i in range(L)]
            name = name.replace("block_0", "block")
            result[name] = np.stack([arrays[block] for block in blocks])
    return result


def prefixed(
    arrays: dict[str, np.ndarray], prefix: str, **others: np.ndarray
) -> dict[str, np.ndarray]:
    arrays = {prefix + name: array for name, array in arrays.items()}
    return arrays | {name.replace("__", "/"): a for name, a in others.items()}


def padded(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Give vectors as (1, 1, 1, n)."""
    return {n: a[None, None, None] if a.ndim == 1 else a for n, a in arrays.items()}


PATCHES = GRID * GRID
TEXT = {"params__t": np.ones(1), "params__txt__pos_embedding": np.ones((1, 7, 3))}
STATE = {"opt__state__step": np.array(3), "extra": np.ones(2)}
TOP_LEVEL_POOLING = {"MAPHead_0/": ""}
# Name of a form: the arrays as big_vision has them today, and from these to the file.
FORMS = {
    "vision_transformer": ({}, in_old_names),
    "in21k": ({"pre_logits": 6}, in_old_names),
    "augreg_optimizer": (
        {},
        lambda a: prefixed(in_old_names(a), "opt/target/", **STATE),
    ),
    "gsam": ({"cls": False, "rows": PATCHES}, in_old_names),
    "padded": ({"pre_logits": 6}, lambda a: padded(in_old_names(a))),
    "table_in_transformer": (
        {},
        lambda a: {
            n.replace("pos_emb", "Transformer/pos_emb"): v for n, v in a.items()
        },
    ),
    "big_vision": ({}, lambda a: a),
    "flexivit": ({"rows": PATCHES}, lambda a: prefixed(a, "params/")),
    "sincos": ({"cls": False, "rows": None, "pre_logits": 6}, lambda a: a),
    "siglip": (
        {"cls": False, "rows": PATCHES, "pooling": True, "classes": None},
        lambda a: prefixed(a, "params/img/", **TEXT),
    ),
    "siglip_scanned": (
        {"cls": False, "rows": PATCHES, "pooling": True, "classes": None},
        lambda a: prefixed(stacked(a), "params/img/", **TEXT),
    ),
    "vit_g_development": (
        {"cls": False, "rows": PATCHES, "pooling": True},
        lambda a: {n.replace("MAPHead_0/", ""): v for n, v in a.items()},
    ),
    "lit": ({}, lambda a: {n: v for n, v in a.items() if n != "head/bias"}),
    "scanned_padded": ({}, lambda a: stacked(padded(a))),
    "one_channel": ({"channels": 1}, in_old_names),
    "headless": ({"classes": None}, in_old_names),
}


def make_images(channels: int = 3, size: tuple[int, int] = (SIZE, SIZE)) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.normal(size=(2, *size, channels)).astype("float32")


def outputs(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(images))


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.shape == expected.shape
    assert abs(actual - expected).max() < 1e-4 * abs(expected).max()
