"""The Vision Transformer of figure 1: image, patches, tokens, L blocks, head.

Shapes: B batch, H W C image, P patch, N patches, T tokens, D hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from functools import reduce
from typing import Any

import keras

from keras_vit import families
from keras_vit.config import ViTConfig
from keras_vit.config.options import describe_options, takes_options_of
from keras_vit.layers.base.layer import policy_below, serialize_policy
from keras_vit.layers.mlp import MLP
from keras_vit.layers.mlp_head import MLPHead
from keras_vit.layers.normalization import LayerNormalization
from keras_vit.layers.patch_encoder import PatchEncoder
from keras_vit.layers.patches import Patches
from keras_vit.layers.pooling import ClassTokenPooling, MeanPooling
from keras_vit.layers.self_attention import SelfAttention
from keras_vit.layers.transformer_block import TransformerBlock
from keras_vit.model_facts import ModelFacts
from keras_vit.preprocessing import Preprocessing

# named("block_0", "mlp") returns the arguments `name` and `dtype` of that layer.
Named = Callable[..., dict[str, Any]]


def figure_1(config: ViTConfig, named: Named) -> tuple[Any, Any]:
    """Return the images and the outputs of the paper's model.

    Args:
        config: of the model.
        named: returns the arguments `name` and `dtype` of the layer at a path.

    Reference: arXiv:2010.11929, figure 1 and equations 1 to 4.
    """
    size, dim, rate = config.image_size or (), config.hidden_dim, config.dropout_rate
    images = keras.Input((*size, config.channels), name="images")  # (B, H, W, C)
    x = Patches(config.patch_size, **named("patches"))(images)  # (B, N, P * P * C)
    has_token, encoder = config.has_class_token, named("patch_encoder")
    x = PatchEncoder(dim, has_token, dropout_rate=rate, **encoder)(x)  # (B, T, D)
    for i in range(config.num_layers):
        block, attention_rate = f"block_{i}", config.attention_dropout_rate
        x = TransformerBlock(
            SelfAttention(
                dim, config.num_heads, rate, attention_rate, **named(block, "attention")
            ),
            MLP(dim, config.mlp_dim, config.activation, rate, **named(block, "mlp")),
            norm=LayerNormalization(config.epsilon),  # the block makes two of it
            stochastic_depth_rate=config.block_stochastic_depth(i),
            **named(block),
        )(x)  # (B, T, D)
    x = LayerNormalization(config.epsilon, **named("norm"))(x)
    if config.pooling == "token":
        x = ClassTokenPooling(**named("pooling"))(x)  # (B, D)
    else:
        x = MeanPooling(config.num_prefix_tokens, **named("pooling"))(x)  # (B, D)
    sizes = (config.num_classes, config.representation_size)
    head = MLPHead(*sizes, config.classifier_activation, **named("head"))
    return images, head(x)  # (B, num_classes)


@keras.saving.register_keras_serializable(package="keras_vit")
class ViT(keras.Model, ModelFacts):
    """Vision Transformer; the default is ViT-B/16 for 224 pixels and 1000 classes.

    A functional model: its layers are `images`, `patches`, `patch_encoder`, `block_0`
    to `block_{num_layers - 1}`, `norm`, `pooling` and `head`, and `get_layer`,
    `keras.models.clone_model`, `quantize` and the exporters work on it as on each other
    functional Keras model. `ViT.from_variant("S/16")` builds a named size.

    Args:
        {options}
        preprocessing: `keras_vit.Preprocessing` that images need before this model. It
            is saved with the model and used by `predict`, `evaluate` and `export`;
            calling the model itself does not apply it. Default None.
        class_names: one per class (one output: no, yes), saved with it. Default None.
            So is the attribute `thresholds`, where an image may have several classes.
        dtype: dtype policy of all layers, for example "mixed_bfloat16". Default: the
            global policy.
        name: of the model. Default "vit".
        trainable: whether the weights train. Default True.

    Input shape: (B, H, W, C), preprocessed; see `preprocessing`.
    Output shape: (B, num_classes), logits unless `classifier_activation` is given. With
        `num_classes=None`: (B, representation_size or hidden_dim). With `pooling=None`:
        (B, T, hidden_dim), the class token first if there is one.

    Raises:
        TypeError: if an option does not exist or has the wrong type.
        ValueError: if an option is out of range or contradicts another.

    Example:
        >>> model = keras_vit.ViT(
        ...     image_size=32, patch_size=8, num_classes=10,
        ...     hidden_dim=32, num_layers=2, num_heads=2, mlp_dim=64,
        ... )
        >>> tuple(model(keras.ops.zeros((4, 32, 32, 3))).shape)
        (4, 10)

    Reference: arXiv:2010.11929, figure 1. Initialization as in google-research/
    vision_transformer, vit_jax/models_vit.py; each layer says its own.
    """

    @takes_options_of(ViTConfig)
    def __init__(
        self,
        config: ViTConfig,
        *,
        preprocessing: Preprocessing | dict[str, Any] | None = None,
        class_names: Sequence[str] | None = None,
        dtype: str | keras.DTypePolicy | None = None,
        name: str = "vit",
        trainable: bool = True,
    ) -> None:
        policy = keras.dtype_policies.get(dtype)

        def named(*path: str) -> dict[str, Any]:
            return {"dtype": reduce(policy_below, path, policy), "name": path[-1]}

        compose = figure_1 if config.is_of_the_paper else families.compose
        images, outputs = compose(config, named)
        super().__init__(inputs=images, outputs=outputs, name=name, trainable=trainable)
        self.dtype_policy = getattr(policy, "default_policy", policy)
        self.config = config
        # Keras's own check lets one channel pass for three.
        self.input_spec = [keras.InputSpec(shape=images.shape, name="images")]
        if preprocessing is not None:
            self.preprocessing = preprocessing
        if class_names is not None:
            self.class_names = class_names

    __repr__ = ModelFacts.__repr__

    @classmethod
    def from_variant(cls, variant: str, **changes: Any) -> ViT:
        """Build a named variant, for example "B/16", with some options changed.

        Args:
            variant: a key of `keras_vit.VARIANTS`.
            **changes: any argument of `ViT`, for example `num_classes=10`.

        Raises:
            ValueError: if there is no such variant; the message lists them.
        """
        names = {field.name for field in fields(ViTConfig)}
        sizes = {name: changes[name] for name in changes if name in names}
        config = ViTConfig.from_variant(variant, **sizes)
        return cls(**{**changes, **asdict(config)})

    def rematerialized_call(
        self, layer_call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Callable[..., Any]:
        return (
            layer_call  # Each layer does it for itself; the model must not do it again.
        )

    def get_config(self) -> dict[str, Any]:
        # Not the layer-by-layer config of a functional model: these are the arguments.
        return {
            **asdict(self.config),
            **self.facts(),
            "dtype": serialize_policy(self),
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> ViT:
        """Build the model that `get_config` described, with new weights."""
        return cls.with_facts(config)


ViT.__doc__ = describe_options(ViTConfig, ViT.__doc__)
