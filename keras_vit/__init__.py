"""keras_vit: Vision Transformers for Keras 3."""

from keras_vit import layers
from keras_vit.config import VARIANTS, ViTConfig
from keras_vit.model import ViT
from keras_vit.preprocessing import Preprocessing
