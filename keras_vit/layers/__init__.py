"""The layers of a Vision Transformer, the paper's first.

Example:
    ```python
    from keras_vit import layers

    images = keras.ops.ones((2, 224, 224, 3))
    tokens = layers.PatchEncoder(hidden_dim=64)(layers.Patches(patch_size=16)(images))
    attention = layers.SelfAttention(hidden_dim=64, num_heads=4)
    block = layers.TransformerBlock(attention, layers.MLP(hidden_dim=64, mlp_dim=256))
    token = layers.ClassTokenPooling()(layers.LayerNormalization()(block(tokens)))
    tuple(layers.MLPHead(num_classes=10)(token).shape)  # (2, 10)
    ```
"""

from keras_vit.layers.base.attention_scores import AttentionScores
from keras_vit.layers.class_token import ClassToken
from keras_vit.layers.later.attention_pooling import AttentionPooling
from keras_vit.layers.later.channel_bias import ChannelBias
from keras_vit.layers.later.differential_product import DifferentialProduct
from keras_vit.layers.later.distilled_head import DistilledHead
from keras_vit.layers.later.earlier_tokens import EarlierTokens
from keras_vit.layers.later.gated_mlp import GatedMLP
from keras_vit.layers.later.image_padding import ImagePadding
from keras_vit.layers.later.layer_scale import LayerScale
from keras_vit.layers.later.parallel_block import ParallelBlock
from keras_vit.layers.later.patch_dropout import PatchDropout
from keras_vit.layers.later.prefix_pooling import PrefixPooling
from keras_vit.layers.later.query_pooling import QueryPooling
from keras_vit.layers.later.query_value_bias import QueryValueBias
from keras_vit.layers.later.register_tokens import RegisterTokens
from keras_vit.layers.later.rejecting_head import RejectingHead
from keras_vit.layers.later.rms_normalization import RMSNormalization
from keras_vit.layers.later.token_grid import TokenGrid
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
from keras_vit.layers.positions.grid_position_embedding import (
    GridPositionEmbedding,
)
from keras_vit.layers.positions.rotary_positions import RotaryPositions
from keras_vit.layers.positions.sincos_position_embedding import (
    SinCosPositionEmbedding,
)
from keras_vit.layers.self_attention import AttentionProduct, SelfAttention
from keras_vit.layers.transformer_block import TransformerBlock

__all__ = [
    "MLP",
    "AttentionPooling",
    "AttentionProduct",
    "AttentionScores",
    "Branch",
    "ChannelBias",
    "ClassRotation",
    "ClassToken",
    "ClassTokenPooling",
    "DifferentialProduct",
    "DistilledHead",
    "EarlierTokens",
    "GatedMLP",
    "GridPositionEmbedding",
    "ImagePadding",
    "LayerNormalization",
    "LayerScale",
    "MLPHead",
    "MeanPooling",
    "ParallelBlock",
    "PatchDropout",
    "PatchEncoder",
    "Patches",
    "PositionEmbedding",
    "PrefixPooling",
    "QueryPooling",
    "QueryValueBias",
    "RMSNormalization",
    "RegisterTokens",
    "RejectingHead",
    "RotaryPositions",
    "SelfAttention",
    "SinCosPositionEmbedding",
    "TokenGrid",
    "TokenMeanPooling",
    "TransformerBlock",
    "TwinBlock",
]
