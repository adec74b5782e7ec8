"""From a config to the layers of later families: which layer stands for which option.

`model.py` puts them together; the paper's ViT takes the first branch everywhere.
"""

from __future__ import annotations

from typing import Any

from keras_vit.config import ViTConfig
from keras_vit.layers.attention_pooling import AttentionPooling
from keras_vit.layers.axial_rotary_positions import AxialRotaryPositions
from keras_vit.layers.centred_rotary_positions import CentredRotaryPositions
from keras_vit.layers.class_rotation import ClassRotation
from keras_vit.layers.class_token_pooling import ClassTokenPooling
from keras_vit.layers.differential_attention import DifferentialAttention
from keras_vit.layers.distilled_head import DistilledHead
from keras_vit.layers.extended_self_attention import ExtendedSelfAttention
from keras_vit.layers.gated_mlp import GatedMLP
from keras_vit.layers.mean_pooling import MeanPooling
from keras_vit.layers.mixed_rotary_positions import MixedRotaryPositions
from keras_vit.layers.mlp import MLP
from keras_vit.layers.mlp_head import MLPHead
from keras_vit.layers.normalization import make_normalization
from keras_vit.layers.parallel_block import ParallelBlock
from keras_vit.layers.patch_dropout import PatchDropout
from keras_vit.layers.patch_encoder import PatchEncoder
from keras_vit.layers.policies import Policy
from keras_vit.layers.post_norm_block import PostNormBlock
from keras_vit.layers.prefix_pooling import PrefixPooling
from keras_vit.layers.query_pooling import QueryPooling
from keras_vit.layers.self_attention import SelfAttention
from keras_vit.layers.token_mean_pooling import TokenMeanPooling
from keras_vit.layers.transformer_block import TransformerBlock
from keras_vit.layers.twin_block import TwinBlock

Layer = Any  # keras.layers.Layer; its call takes what each layer of ours takes


def make_patch_encoder(config: ViTConfig, dtype: Policy) -> Layer:
    """Return the layer from patches to tokens with positions."""
    is_free = config.image_size is None
    return PatchEncoder(
        config.hidden_dim,
        use_class_token=config.has_class_token,
        dropout_rate=config.dropout_rate,
        use_distillation_token=config.use_distillation_token,
        num_registers=config.num_registers,
        positions=config.positions,
        grid_size=config.position_grid if is_free else config.grid_size,
        patch_size=config.patch_size if is_free else None,
        use_bias=config.use_patch_bias,
        normalization=config.normalization if config.use_patch_norm else None,
        epsilon=config.epsilon,
        dtype=dtype,
        name="patch_encoder",
    )


def make_patch_dropout(config: ViTConfig, dtype: Policy) -> Layer:
    """Return the layer that leaves out patches in training, None for all patches."""
    if not config.patch_dropout_rate:
        return None
    return PatchDropout(
        config.patch_dropout_rate,
        config.num_prefix_tokens,
        dtype=dtype,
        name="patch_dropout",
    )


def make_norm(config: ViTConfig, name: str, dtype: Policy) -> Layer:
    """Return a normalization of tokens or of the pooled token."""
    return make_normalization(
        config.normalization, config.epsilon, dtype=dtype, name=name
    )


def make_rotary_positions(config: ViTConfig, name: str, dtype: Policy) -> Layer:
    """Return the layer from images to the rotation of each token."""
    shared: dict[str, Any] = {
        "head_dim": config.head_dim,
        "patch_size": config.patch_size,
        "num_prefix_tokens": config.num_prefix_tokens,
        "temperature": config.rotary_temperature,
        "dtype": dtype,
        "name": name,
    }
    if config.rotary == "axial":
        return AxialRotaryPositions(
            offset=config.rotary_offset,
            order=config.rotary_order,
            reference_grid=config.rotary_grid,
            layout=config.rotary_layout,
            **shared,
        )
    if config.rotary == "centred":
        return CentredRotaryPositions(**shared)
    return MixedRotaryPositions(config.num_heads, **shared)


def make_class_rotation(config: ViTConfig, dtype: Policy) -> Layer:
    """Return the layer that gives the class token a rotation of its own."""
    return ClassRotation(config.rotary_layout, dtype=dtype, name="class_rotation")


def make_block(config: ViTConfig, block: int, dtype: Policy) -> Layer:
    """Return one block: 0 is the first."""
    rates: dict[str, Any] = {
        "stochastic_depth_rate": config.block_stochastic_depth(block),
        "epsilon": config.epsilon,
        "normalization": config.normalization,
        "dtype": dtype,
        "name": f"block_{block}",
    }
    if config.block == "twin":
        return TwinBlock(
            _attention(config, block) or _plain_attention(config),
            _mlp(config) or _plain_mlp(config),
            layer_scale=config.layer_scale,
            **rates,
        )
    sizes = (config.hidden_dim, config.num_heads, config.mlp_dim)
    rates["dropout_rate"] = config.dropout_rate
    rates["attention_dropout_rate"] = config.attention_dropout_rate
    rates["activation"] = config.activation
    if config.block in ("parallel", "parallel_joint"):
        return ParallelBlock(
            *sizes,
            layer_scale=config.layer_scale,
            use_qkv_bias=config.qkv_bias is True,
            use_query_key_norm=config.query_key_norm is not None,
            use_joint_output=config.block == "parallel_joint",
            depth=block if config.attention == "differential" else None,
            **rates,
        )
    rates["attention"] = _attention(config, block)
    rates["mlp"] = _mlp(config)
    if config.block == "post_norm":
        return PostNormBlock(*sizes, **rates)
    return TransformerBlock(
        *sizes,
        layer_scale=config.layer_scale,
        use_mlp_layer_scale=config.use_mlp_layer_scale,
        **rates,
    )


def make_pooling(config: ViTConfig, dtype: Policy) -> Layer:
    """Return the layer from tokens to one vector, None if all tokens are returned."""
    prefix = config.num_prefix_tokens
    kwargs: dict[str, Any] = {"dtype": dtype, "name": "pooling"}
    if config.pooling == "token" and config.use_distillation_token:
        # The two classifiers see a token each; a backbone returns their average.
        return None if config.num_classes else PrefixPooling(2, **kwargs)
    if config.pooling == "token":
        return ClassTokenPooling(**kwargs)
    if config.pooling == "mean":
        return MeanPooling(0 if config.pool_prefix else prefix, **kwargs)
    if config.pooling == "token_mean":
        return TokenMeanPooling(prefix, **kwargs)
    if config.pooling == "prefix":
        return PrefixPooling(prefix, **kwargs)
    if config.pooling == "query":
        return QueryPooling(
            config.hidden_dim,
            config.num_pooling_heads,
            num_prefix_tokens=0 if config.pool_prefix else prefix,
            use_key_value_bias=config.qkv_bias is True,
            **kwargs,
        )
    if config.pooling == "attention":
        return AttentionPooling(
            config.hidden_dim,
            config.num_pooling_heads,
            config.pooling_mlp_dim or config.mlp_dim,
            num_prefix_tokens=0 if config.pool_prefix else prefix,
            activation=config.activation,
            normalization=config.normalization,
            epsilon=config.epsilon,
            **kwargs,
        )
    return None


def make_head(config: ViTConfig, dtype: Policy) -> Layer:
    """Return the classifier, None for a backbone."""
    if config.num_classes is None and config.representation_size is None:
        return None
    if config.use_distillation_token and config.num_classes is not None:
        return DistilledHead(
            config.num_classes,
            activation=config.classifier_activation,
            dtype=dtype,
            name="head",
        )
    return MLPHead(
        config.num_classes,
        representation_size=config.representation_size,
        activation=config.classifier_activation,
        use_bias=config.use_head_bias,
        dtype=dtype,
        name="head",
    )


def _attention(config: ViTConfig, block: int) -> Layer:
    """Return the attention of later families, None for the paper's."""
    shared: dict[str, Any] = {
        "dropout_rate": config.dropout_rate,
        "attention_dropout_rate": config.attention_dropout_rate,
        "use_output_bias": config.use_output_bias,
    }
    if config.attention == "differential":
        return DifferentialAttention(
            config.hidden_dim,
            config.num_heads,
            depth=block,
            use_qkv_bias=config.qkv_bias is True,
            **shared,
        )
    is_extended = (
        config.rotary is not None
        or config.num_kv_heads is not None
        or config.qkv_bias == "qv"
        or config.query_key_norm is not None
        or config.use_context_norm
    )
    if is_extended:
        layout = config.rotary_layout
        if config.rotary in ("centred", "mixed"):
            layout = "half" if config.rotary == "centred" else "interleaved"
        kv_heads = config.block_kv_heads(block)
        return ExtendedSelfAttention(
            config.hidden_dim,
            config.num_heads,
            num_kv_heads=None if config.num_kv_heads is None else kv_heads,
            qkv_bias=config.qkv_bias,
            normalization=config.normalization,
            query_key_norm=config.query_key_norm,
            use_context_norm=config.use_context_norm,
            rotary_layout=None if config.rotary is None else layout,
            epsilon=config.epsilon,
            **shared,
        )
    if config.qkv_bias and config.use_output_bias:
        return None
    return _plain_attention(config)


def _plain_attention(config: ViTConfig) -> Layer:
    return SelfAttention(
        config.hidden_dim,
        config.num_heads,
        dropout_rate=config.dropout_rate,
        attention_dropout_rate=config.attention_dropout_rate,
        use_qkv_bias=config.qkv_bias is True,
        use_output_bias=config.use_output_bias,
    )


def _mlp(config: ViTConfig) -> Layer:
    """Return the MLP of later families, None for the paper's."""
    shared: dict[str, Any] = {
        "activation": config.activation,
        "dropout_rate": config.dropout_rate,
        "use_bias": config.use_mlp_bias,
        "normalization": config.normalization if config.use_mlp_norm else None,
        "epsilon": config.epsilon,
    }
    if config.mlp == "gated":
        return GatedMLP(config.hidden_dim, config.mlp_dim, **shared)
    if config.use_mlp_bias and not config.use_mlp_norm:
        return None
    return MLP(config.hidden_dim, config.mlp_dim, **shared)


def _plain_mlp(config: ViTConfig) -> Layer:
    return MLP(
        config.hidden_dim,
        config.mlp_dim,
        activation=config.activation,
        dropout_rate=config.dropout_rate,
        use_bias=config.use_mlp_bias,
    )
