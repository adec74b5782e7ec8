"""The same path as in `model.py`, with what later families of models changed.

One function for each part of figure 1; it returns the layer that the options of a
config ask for. Any of them takes the paper's options, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_vit.config import ViTConfig
from keras_vit.layers.later.attention_pooling import AttentionPooling
from keras_vit.layers.later.differential_product import DifferentialProduct
from keras_vit.layers.later.distilled_head import DistilledHead
from keras_vit.layers.later.earlier_tokens import EarlierTokens
from keras_vit.layers.later.gated_mlp import GatedMLP
from keras_vit.layers.later.image_padding import ImagePadding
from keras_vit.layers.later.parallel_block import ParallelBlock
from keras_vit.layers.later.patch_dropout import PatchDropout
from keras_vit.layers.later.prefix_pooling import PrefixPooling
from keras_vit.layers.later.query_pooling import QueryPooling
from keras_vit.layers.later.rejecting_head import RejectingHead
from keras_vit.layers.later.rms_normalization import RMSNormalization
from keras_vit.layers.later.token_mean_pooling import TokenMeanPooling
from keras_vit.layers.later.twin_block import Branch, TwinBlock
from keras_vit.layers.mlp import MLP
from keras_vit.layers.mlp_head import MLPHead
from keras_vit.layers.normalization import LayerNormalization
from keras_vit.layers.patch_encoder import PatchEncoder
from keras_vit.layers.patches import Patches
from keras_vit.layers.pooling import ClassTokenPooling, MeanPooling
from keras_vit.layers.position_embedding import PositionEmbedding
from keras_vit.layers.positions.class_rotation import ClassRotation
from keras_vit.layers.positions.grid_position_embedding import GridPositionEmbedding
from keras_vit.layers.positions.rotary_positions import RotaryPositions
from keras_vit.layers.positions.sincos_position_embedding import (
    SinCosPositionEmbedding,
)
from keras_vit.layers.self_attention import AttentionProduct, SelfAttention
from keras_vit.layers.transformer_block import TransformerBlock

# From the path of a layer, name by name, to its `name` and `dtype`.
Named = Callable[..., dict[str, Any]]
Layer = Any  # keras.layers.Layer; its call takes what each layer of ours takes


def compose(config: ViTConfig, named: Named) -> tuple[Any, Any]:
    """Return the images and the outputs of a model of a later family.

    Args:
        config: of the model.
        named: function from the path of a layer to its `name` and `dtype`.
    """
    images = keras.Input(
        (*(config.image_size or (None, None)), config.channels), name="images"
    )
    pixels: Any = images
    if config.pad_images:
        pixels = ImagePadding(config.patch_size, **named("image_padding"))(images)
    x: Any = Patches(config.patch_size, **named("patches"))(pixels)
    is_sized = config.image_size is None and config.positions is not None
    sized = {"images": pixels} if is_sized else {}
    x = make_patch_encoder(config, named)(x, **sized)
    if config.patch_dropout_rate:
        prefix = config.num_prefix_tokens
        x = PatchDropout(config.patch_dropout_rate, prefix, **named("patch_dropout"))(x)
    if config.use_pre_norm:
        x = make_norm(config, **named("pre_norm"))(x)
    rotations, outputs = make_rotations(config, pixels, named), []
    for i, rotation in enumerate(rotations):
        block = make_block(config, i, named)
        x = block(x) if rotation is None else block(x, rotation=rotation)
        outputs.append(x)
    if config.num_pooled_blocks > 1:
        pooled = outputs[-config.num_pooled_blocks :]
        x = EarlierTokens(**named("earlier_tokens"))(pooled)
    if config.final_norm == "before_pooling":
        x = make_norm(config, **named("norm"))(x)
    for layer in make_pooling(config, named):
        x = layer(x)
    if config.final_norm == "after_pooling":
        x = make_norm(config, **named("norm"))(x)
    for layer in make_head(config, named):
        x = layer(x)
    return images, x


def make_patch_encoder(config: ViTConfig, named: Named) -> Layer:
    """Return the layer from patches to tokens with positions."""
    return PatchEncoder(
        config.hidden_dim,
        use_class_token=config.has_class_token,
        dropout_rate=config.dropout_rate,
        use_bias=config.use_patch_bias,
        norm=make_norm(config) if config.use_patch_norm else None,
        position_embedding=make_positions(
            config, **named("patch_encoder", "position_embedding")
        ),
        use_distillation_token=config.use_distillation_token,
        num_registers=config.num_registers,
        **named("patch_encoder"),
    )


def make_positions(config: ViTConfig, **kwargs: Any) -> Layer:
    """Return the layer that adds the positions to the tokens.

    Args:
        config: of the model.
        **kwargs: `name` and `dtype`.
    """
    prefix, rows = config.num_prefix_tokens, config.num_prefix_rows
    patch_size = None if config.image_size else config.patch_size
    if config.positions is None:
        return keras.layers.Identity(**kwargs)
    if config.has_learned_positions:
        if patch_size is None and rows == prefix:
            return PositionEmbedding(**kwargs)
        return GridPositionEmbedding(
            config.table_grid, prefix, rows, patch_size, config.resampling, **kwargs
        )
    return SinCosPositionEmbedding(
        config.grid_size if config.image_size else None,
        patch_size,
        prefix,
        use_endpoint=config.positions == "sincos",
        **kwargs,
    )


def make_norm(config: ViTConfig, **kwargs: Any) -> Layer:
    """Return a normalization of the last axis.

    Args:
        config: of the model.
        **kwargs: `name` and `dtype`.
    """
    kinds = {"layer": LayerNormalization, "rms": RMSNormalization}
    kind = kinds[config.normalization.removesuffix("_float16")]
    return kind(config.epsilon, config.use_float16_norms, **kwargs)


def make_rotations(config: ViTConfig, images: Any, named: Named) -> list[Any]:
    """Return the rotation of queries and keys for each block, None for none.

    Blocks share one, unless each learns its own.
    """
    if config.rotary == "mixed":
        names = [f"rotary_positions_{i}" for i in range(config.num_layers)]
        return [make_rotary_positions(config, **named(n))(images) for n in names]
    rotation = None
    if config.rotary is not None:
        layer = make_rotary_positions(config, **named("rotary_positions"))
        rotation = layer(images)
    if config.use_class_rotation:
        layer = ClassRotation(config.rotary_layout, **named("class_rotation"))
        rotation = layer(rotation)
    return [rotation] * config.num_layers


def make_rotary_positions(config: ViTConfig, **kwargs: Any) -> Layer:
    """Return the layer from images to the rotation of each token."""
    return RotaryPositions(
        config.head_dim,
        config.patch_size,
        kind=config.rotary or "axial",
        num_heads=config.num_heads if config.rotary == "mixed" else 1,
        num_prefix_tokens=config.num_prefix_tokens,
        temperature=config.rotary_temperature,
        offset=config.rotary_offset,
        order=config.rotary_order,
        reference_grid=config.rotary_grid,
        layout=_rotary_layout(config),
        **kwargs,
    )


def _rotary_layout(config: ViTConfig) -> str:
    layouts = {"centred": "half", "mixed": "interleaved"}
    return layouts.get(config.rotary or "", config.rotary_layout)


def make_block(config: ViTConfig, block: int, named: Named) -> Layer:
    """Return one block.

    Args:
        config: of the model.
        block: its number, 0 is the first.
        named: as for `compose`.
    """
    path = f"block_{block}"
    shared: dict[str, Any] = {
        "norm": make_norm(config),
        "stochastic_depth_rate": config.block_stochastic_depth(block),
        "layer_scale": config.layer_scale,
    }
    if config.is_parallel:
        return ParallelBlock(
            config.hidden_dim,
            config.num_heads,
            config.mlp_dim,
            config.activation,
            config.dropout_rate,
            product=make_product(config, block, **named(path, "product")),
            use_qkv_bias=config.qkv_bias is True,
            query_key_norm=make_norm(config) if config.query_key_norm else None,
            num_norm_parts=2 if config.attention == "differential" else 1,
            use_joint_output=config.block == "parallel_joint",
            **shared,
            **named(path),
        )
    if config.block == "twin":
        branches = []
        for name in TwinBlock.handed:
            make = make_attention if name.startswith("attention") else make_mlp
            layer = make(config, block, (path, name, "layer"), named)
            branches.append(Branch(layer, **shared, **named(path, name)))
        return TwinBlock(*branches, **named(path))
    return TransformerBlock(
        make_attention(config, block, (path, "attention"), named),
        make_mlp(config, block, (path, "mlp"), named),
        use_mlp_layer_scale=config.use_mlp_layer_scale,
        normalize_first=config.block == "pre_norm",
        **shared,
        **named(path),
    )


def make_attention(
    config: ViTConfig, block: int, path: tuple[str, ...], named: Named
) -> Layer:
    """Return the self-attention of a block: 0 is the first."""
    kv_heads = config.block_kv_heads(block)
    return SelfAttention(
        config.hidden_dim,
        config.num_heads,
        config.dropout_rate,
        config.attention_dropout_rate,
        qkv_bias=config.qkv_bias,
        use_output_bias=config.use_output_bias,
        num_kv_heads=None if config.num_kv_heads is None else kv_heads,
        query_key_norm=make_norm(config) if config.query_key_norm else None,
        is_norm_per_head=config.query_key_norm != "width",
        context_norm=make_norm(config) if config.use_context_norm else None,
        rotary_layout=_rotary_layout(config),
        product=make_product(config, block, **named(*path, "product")),
        **named(*path),
    )


def make_product(config: ViTConfig, block: int, **kwargs: Any) -> Layer:
    """Return the product of queries, keys and values in a block.

    Args:
        config: of the model.
        block: its number, 0 is the first.
        **kwargs: `name` and `dtype`.
    """
    rate = config.attention_dropout_rate
    if config.attention == "differential":
        return DifferentialProduct(block, rate, config.use_float16_norms, **kwargs)
    return AttentionProduct(rate, **kwargs)


def make_mlp(
    config: ViTConfig, block: int, path: tuple[str, ...], named: Named
) -> Layer:
    """Return the MLP of a block; those of all blocks are alike."""
    kinds = {"plain": MLP, "gated": GatedMLP}
    return kinds[config.mlp](
        config.hidden_dim,
        config.mlp_dim,
        activation=config.activation,
        dropout_rate=config.dropout_rate,
        use_bias=config.use_mlp_bias,
        norm=make_norm(config) if config.use_mlp_norm else None,
        **named(*path),
    )


def make_pooling(config: ViTConfig, named: Named) -> list[Layer]:
    """Return the layer from tokens to one vector; none if all tokens are returned."""
    prefix = config.num_prefix_tokens
    unread = 0 if config.pool_prefix else prefix
    dim, heads = config.hidden_dim, config.num_pooling_heads
    has_two_heads = config.use_distillation_token and config.num_classes is not None
    if config.pooling is None or (config.pooling == "token" and has_two_heads):
        return []  # The two classifiers see a token each.
    kwargs = named("pooling")
    blocks, has_mean = config.num_pooled_blocks, config.pooling == "token_mean"
    if blocks > 1:
        return [TokenMeanPooling(prefix + blocks - 1, blocks, has_mean, **kwargs)]
    if config.pooling == "token" and config.use_distillation_token:
        return [PrefixPooling(2, **kwargs)]
    if config.pooling == "token":
        return [ClassTokenPooling(**kwargs)]
    if config.pooling == "mean":
        return [MeanPooling(unread, **kwargs)]
    if config.pooling == "token_mean":
        return [TokenMeanPooling(prefix, **kwargs)]
    if config.pooling == "prefix":
        return [PrefixPooling(prefix, **kwargs)]
    if config.pooling == "query":
        has_bias = config.qkv_bias is True
        return [QueryPooling(dim, heads, unread, has_bias, **kwargs)]
    return [
        AttentionPooling(
            dim,
            heads,
            config.pooling_mlp_dim or config.mlp_dim,
            unread,
            config.activation,
            make_norm(config),
            **kwargs,
        )
    ]


def make_head(config: ViTConfig, named: Named) -> list[Layer]:
    """Return the layer from what is pooled to the outputs; none for a backbone."""
    if config.num_classes is None and config.representation_size is None:
        return []
    activation = config.classifier_activation
    if config.use_distillation_token and config.num_classes is not None:
        return [DistilledHead(config.num_classes, activation, **named("head"))]
    if config.rejection_dim is not None:
        return [
            RejectingHead(
                int(config.num_classes or 0),
                config.rejection_dim,
                config.representation_size,
                activation,
                config.use_head_bias,
                **named("head"),
            )
        ]
    return [
        MLPHead(
            config.num_classes,
            representation_size=config.representation_size,
            activation=activation,
            use_bias=config.use_head_bias,
            **named("head"),
        )
    ]
