"""The layers of a Vision Transformer, largest first."""

from keras_vit.layers.class_token import ClassToken
from keras_vit.layers.class_token_pooling import ClassTokenPooling
from keras_vit.layers.layer_normalization import LayerNormalization
from keras_vit.layers.mean_pooling import MeanPooling
from keras_vit.layers.mlp import MLP
from keras_vit.layers.mlp_head import MLPHead
from keras_vit.layers.patch_encoder import PatchEncoder
from keras_vit.layers.patches import Patches
from keras_vit.layers.position_embedding import PositionEmbedding
from keras_vit.layers.self_attention import SelfAttention
from keras_vit.layers.stochastic_depth import StochasticDepth
from keras_vit.layers.transformer_block import TransformerBlock

__all__ = [
    "MLP",
    "ClassToken",
    "ClassTokenPooling",
    "LayerNormalization",
    "MLPHead",
    "MeanPooling",
    "PatchEncoder",
    "Patches",
    "PositionEmbedding",
    "SelfAttention",
    "StochasticDepth",
    "TransformerBlock",
]
