"""The same Vision Transformer twice: ours and keras-hub's."""

from __future__ import annotations

import keras


def build_ours(variant: str) -> keras.Model:
    """Return our model for 1000 classes."""
    import keras_vit

    return keras_vit.ViT.from_variant(variant)


def build_keras_hub(variant: str) -> keras.Model:
    """Return keras-hub's model of the same shape, without its preprocessing."""
    import keras_hub

    from keras_vit.config import ViTConfig

    config = ViTConfig.from_variant(variant)
    backbone = keras_hub.models.ViTBackbone(
        image_shape=(*config.image_size, config.channels),
        patch_size=config.patch_size,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        hidden_dim=config.hidden_dim,
        mlp_dim=config.mlp_dim,
        layer_norm_epsilon=config.epsilon,
    )
    task = keras_hub.models.ViTImageClassifier(
        backbone, num_classes=config.num_classes, preprocessor=None, activation=None
    )
    # A plain functional model: keras-hub's pipeline methods stay out of the timing.
    return keras.Model(task.inputs, task.outputs[0])
