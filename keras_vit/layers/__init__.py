"""The layers of a Vision Transformer."""

from keras_vit.layers.attention_pooling import AttentionPooling
from keras_vit.layers.attention_product import AttentionProduct
from keras_vit.layers.axial_rotary_positions import AxialRotaryPositions
from keras_vit.layers.branch import Branch
from keras_vit.layers.centred_rotary_positions import CentredRotaryPositions
from keras_vit.layers.channel_bias import ChannelBias
from keras_vit.layers.class_rotation import ClassRotation
from keras_vit.layers.class_token import ClassToken
from keras_vit.layers.class_token_pooling import ClassTokenPooling
from keras_vit.layers.differential_attention import DifferentialAttention
from keras_vit.layers.differential_product import DifferentialProduct
from keras_vit.layers.distilled_head import DistilledHead
from keras_vit.layers.extended_self_attention import ExtendedSelfAttention
from keras_vit.layers.free_sincos_position_embedding import (
    FreeSinCosPositionEmbedding,
)
from keras_vit.layers.gated_mlp import GatedMLP
from keras_vit.layers.layer_normalization import LayerNormalization
from keras_vit.layers.layer_scale import LayerScale
from keras_vit.layers.mean_pooling import MeanPooling
from keras_vit.layers.mixed_rotary_positions import MixedRotaryPositions
from keras_vit.layers.mlp import MLP
from keras_vit.layers.mlp_head import MLPHead
from keras_vit.layers.parallel_block import ParallelBlock
from keras_vit.layers.partial_position_embedding import PartialPositionEmbedding
from keras_vit.layers.patch_dropout import PatchDropout
from keras_vit.layers.patch_encoder import PatchEncoder
from keras_vit.layers.patches import Patches
from keras_vit.layers.position_embedding import PositionEmbedding
from keras_vit.layers.post_norm_block import PostNormBlock
from keras_vit.layers.prefix_pooling import PrefixPooling
from keras_vit.layers.query_pooling import QueryPooling
from keras_vit.layers.query_value_bias import QueryValueBias
from keras_vit.layers.register_tokens import RegisterTokens
from keras_vit.layers.resampled_position_embedding import ResampledPositionEmbedding
from keras_vit.layers.rms_normalization import RMSNormalization
from keras_vit.layers.self_attention import SelfAttention
from keras_vit.layers.sincos_position_embedding import SinCosPositionEmbedding
from keras_vit.layers.stochastic_depth import StochasticDepth
from keras_vit.layers.token_grid import TokenGrid
from keras_vit.layers.token_mean_pooling import TokenMeanPooling
from keras_vit.layers.transformer_block import TransformerBlock
from keras_vit.layers.twin_block import TwinBlock

__all__ = [
    "MLP",
    "AttentionPooling",
    "AttentionProduct",
    "AxialRotaryPositions",
    "Branch",
    "CentredRotaryPositions",
    "ChannelBias",
    "ClassRotation",
    "ClassToken",
    "ClassTokenPooling",
    "DifferentialAttention",
    "DifferentialProduct",
    "DistilledHead",
    "ExtendedSelfAttention",
    "FreeSinCosPositionEmbedding",
    "GatedMLP",
    "LayerNormalization",
    "LayerScale",
    "MLPHead",
    "MeanPooling",
    "MixedRotaryPositions",
    "ParallelBlock",
    "PartialPositionEmbedding",
    "PatchDropout",
    "PatchEncoder",
    "Patches",
    "PositionEmbedding",
    "PostNormBlock",
    "PrefixPooling",
    "QueryPooling",
    "QueryValueBias",
    "RMSNormalization",
    "RegisterTokens",
    "ResampledPositionEmbedding",
    "SelfAttention",
    "SinCosPositionEmbedding",
    "StochasticDepth",
    "TokenGrid",
    "TokenMeanPooling",
    "TransformerBlock",
    "TwinBlock",
]
