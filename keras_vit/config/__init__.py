"""The architecture of a Vision Transformer as one frozen dataclass, and named sizes."""

from keras_vit.config.config import VARIANTS, Variant, ViTConfig

__all__ = ["VARIANTS", "Variant", "ViTConfig"]
