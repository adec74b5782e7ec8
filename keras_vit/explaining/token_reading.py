"""What the vector of an image reads from each token.

B batch, h heads, T tokens, L blocks.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.config import ViTConfig
from keras_vit.features import attention_scores


def attention_model(model: Any, block: int, head: int | None) -> keras.Model:
    """Return a model from images to "outputs" and "map", what one block reads, (B, T).

    Args:
        model: a ViT.
        block: number of the block, from 0.
        head: number of the head. None: the mean of all.
    """
    images = model.inputs[0]
    found: Any = attention_scores(model, block)(images)
    weights = found[f"block_{block}"]
    read = _mean(weights) if head is None else weights[:, head]  # (B, T, T)
    last = model.config.num_layers - 1
    readers = readers_after(model.config, read, last, _pooled(found))
    readers = readers / ops.sum(readers, axis=-1, keepdims=True)
    read = _read_through(readers, ops.cast(read, "float32"))
    return _with_map(model, found, read)


def pooling_model(model: Any) -> keras.Model:
    """Return a model from images to "outputs" and "map", what the pooling reads."""
    found: Any = attention_scores(model)(model.inputs[0])
    last = model.config.num_layers - 1
    tokens = found[f"block_{last}"][:, 0]
    read = readers_after(model.config, tokens, last, _pooled(found))
    return _with_map(model, found, read)


def rollout_model(model: Any) -> keras.Model:
    """Return a model from images to "outputs" and "map", what all blocks read, (B, T).

    In each block a token is taken to be half of what it was and half of what it reads,
    on average over the heads: A = (I + weights) / 2. The product of all A says what the
    vector of the image is made of; it is computed from the last block to the first, so
    that one row is enough. The class tokens of several blocks, which some heads see,
    count the same.

    Reference: Abnar and Zuidema, Quantifying Attention Flow in Transformers,
    arXiv:2005.00928, section 3.
    """
    config = model.config
    found: Any = attention_scores(model, None)(model.inputs[0])
    read: Any = None
    for block in reversed(range(config.num_layers)):
        weights = _mean(found[f"block_{block}"])
        readers = readers_after(config, weights, block, _pooled(found))
        if readers is not None:
            read = readers if read is None else read + readers
        read = (read + _read_through(read, weights)) / 2
    return _with_map(model, found, read)


def readers_after(config: ViTConfig, weights: Any, block: int, pooled: Any) -> Any:
    """Return how much of each token after a block the vector of the image holds.

    Args:
        config: of the model.
        weights: of the block, (B, T, T), for the number of images and tokens.
        block: its number, from 0.
        pooled: how much an attention pooling reads from each token that it sees, (B, 1,
            T or N). None for other poolings.

    Returns:
        (B, 1, T), None if the vector holds nothing of this block; all blocks together
        add up to 1, unless an attention pooling says something else.
    """
    is_last = block == config.num_layers - 1
    first = config.num_prefix_tokens
    if config.pooling in ("token", "token_mean"):
        count = config.num_pooled_blocks
        parts = count + (config.pooling == "token_mean")
        if block < config.num_layers - count:
            return None
        # A distillation token has a classifier of its own, which counts the same.
        tokens = 2 if config.use_distillation_token else 1
        token = _even(weights, 0, tokens) / parts
        if config.pooling == "token" or not is_last:
            return token
        return token + _even(weights, first, None) / parts
    if not is_last:
        return None
    if config.pooling == "mean":
        return _even(weights, 0 if config.pool_prefix else first, None)
    if config.pooling == "prefix":
        return _even(weights, 0, first)
    if config.pool_prefix or not first:
        return pooled
    return ops.concatenate([ops.zeros_like(weights[:, :1, :first]), pooled], axis=-1)


def _pooled(found: dict[str, Any]) -> Any:
    """Return what an attention pooling reads, (B, 1, tokens that it sees), or None."""
    return _mean(found["pooling"]) if "pooling" in found else None


def _read_through(read: Any, weights: Any) -> Any:
    """Return read, (B, 1, T), times weights, (B, T, T).

    As a sum: what reads first is a constant, by which the graphics cards of phones and
    browsers multiply no matrix from the left.
    """
    shares = ops.transpose(read, (0, 2, 1))  # (B, T, 1)
    return ops.sum(shares * weights, axis=1, keepdims=True)


def _even(weights: Any, start: int, stop: int | None) -> Any:
    """Return equal shares of the tokens from `start` up to `stop`, (B, 1, T)."""
    row = weights[:, :1]
    ones = ops.ones_like(row[..., start:stop])
    shares = ones / ops.sum(ones, axis=-1, keepdims=True)
    parts = [ops.zeros_like(row[..., :start])] if start else []
    parts.append(shares)
    if stop is not None:
        parts.append(ops.zeros_like(row[..., stop:]))
    return ops.concatenate(parts, axis=-1)


def _mean(weights: Any) -> Any:
    """Return the mean of the heads, (B, T, T), of weights (B, h, T, T)."""
    return ops.mean(ops.cast(weights, "float32"), axis=1)


def _with_map(model: Any, found: dict[str, Any], read: Any) -> keras.Model:
    # A sum over one row: graphics cards of phones cut no axis away, and of images of
    # any size Keras does not know that it is one.
    outputs = {"outputs": found["outputs"], "map": ops.sum(read, axis=1)}
    return keras.Model(model.inputs[0], outputs, name=f"{model.name}_map")
