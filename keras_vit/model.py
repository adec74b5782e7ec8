"""The Vision Transformer of figure 1: image, patches, tokens, L blocks, head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import keras

from keras_vit.config import Pooling, ViTConfig, check_options
from keras_vit.layers.patches import Patches
from keras_vit.layers.policies import Policy, policy_below, serialize_policy
from keras_vit.parts import (
    make_block,
    make_class_rotation,
    make_head,
    make_norm,
    make_patch_dropout,
    make_patch_encoder,
    make_pooling,
    make_rotary_positions,
)
from keras_vit.preprocessing import Preprocessing


@keras.saving.register_keras_serializable(package="keras_vit")
class ViT(keras.Model):
    """Vision Transformer; the default is ViT-B/16 for 224 pixels and 1000 classes.

    A functional model: its layers are `images`, `patches`, `patch_encoder`, `block_0`
    to `block_{num_layers - 1}`, `norm`, `pooling` and `head`, and `get_layer`, surgery,
    `keras.models.clone_model`, `quantize` and the exporters work on it as on each other
    functional Keras model. `ViT.from_variant("S/16")` builds a named size.

    Args:
        image_size: pixels, one number or (height, width), at least one patch each.
            Border pixels short of a patch are dropped. None takes images of any size;
            learned positions need `position_grid` then, the grid of patches that they
            belong to, and are resampled to that of the images. Default 224.
        patch_size: pixels, one number or (height, width). Default 16.
        channels: values per pixel. Default 3.
        num_classes: width of the classifier. None makes a headless backbone.
            Default 1000.
        hidden_dim: width of a token, a multiple of `num_heads`. Default 768.
        num_layers: number of transformer blocks. Default 12.
        num_heads: number of attention heads. Default 12.
        mlp_dim: width inside the MLP of a block. Default 3072.
        dropout_rate: share that is dropped in training after the positions, the
            attention and each layer of the MLP, [0, 1). Default 0.
        attention_dropout_rate: share of the attention weights that is dropped in
            training, [0, 1). Default 0.
        stochastic_depth_rate: share of the images that skip a branch of the last block
            in training, [0, 1); it grows linearly from 0 in the first block
            unless `stochastic_depth_curve="constant"`. Default 0.
        epsilon: of the layer normalizations. Default 1e-6.
        activation: of the MLPs: "gelu" (exact, default), "gelu_tanh", "quick_gelu" or
            the name of a Keras activation.
        pooling: what the head sees: "token", the class token (default), or "mean", the
            average of the patch tokens. None returns all tokens and needs
            `num_classes=None`.
        use_class_token: whether a class token stands before the patches. Default None:
            exactly if `pooling="token"`.
        representation_size: width of a tanh layer before the classifier. Default None:
            no such layer.
        classifier_activation: name of a Keras activation such as "softmax". Default
            None: logits.
        preprocessing: `keras_vit.Preprocessing` that images need before this model. It
            is saved with the model and used by `predict`, `evaluate` and `export`;
            calling the model itself does not apply it. Default None.
        class_names: one name per class, saved with the model. Default None.
        dtype: dtype policy of all layers, for example "mixed_bfloat16". Default: the
            global policy.
        name: of the model. Default "vit".
        trainable: whether the weights train. Default True.
        **options: what later families changed; each further field of
            `keras_vit.ViTConfig`, where they are described.

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

    def __init__(
        self,
        image_size: int | tuple[int, int] | None = 224,
        patch_size: int | tuple[int, int] = 16,
        *,
        channels: int = 3,
        num_classes: int | None = 1000,
        hidden_dim: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
        mlp_dim: int = 3072,
        dropout_rate: float = 0.0,
        attention_dropout_rate: float = 0.0,
        stochastic_depth_rate: float = 0.0,
        epsilon: float = 1e-6,
        activation: str = "gelu",
        pooling: Pooling | None = "token",
        use_class_token: bool | None = None,
        representation_size: int | None = None,
        classifier_activation: str | None = None,
        preprocessing: Preprocessing | dict[str, Any] | None = None,
        class_names: Sequence[str] | None = None,
        dtype: str | keras.DTypePolicy | None = None,
        name: str = "vit",
        trainable: bool = True,
        **options: Any,
    ) -> None:
        check_options(
            options, "preprocessing", "class_names", "dtype", "name", "trainable"
        )
        config = ViTConfig(
            image_size=image_size,  # pyright: ignore[reportArgumentType]
            patch_size=patch_size,  # pyright: ignore[reportArgumentType]
            channels=channels,
            num_classes=num_classes,
            hidden_dim=hidden_dim,
            num_layers=num_layers,
            num_heads=num_heads,
            mlp_dim=mlp_dim,
            dropout_rate=dropout_rate,
            attention_dropout_rate=attention_dropout_rate,
            stochastic_depth_rate=stochastic_depth_rate,
            epsilon=epsilon,
            activation=activation,
            pooling=pooling,
            use_class_token=use_class_token,
            representation_size=representation_size,
            classifier_activation=classifier_activation,
            **options,
        )
        policies = keras.dtype_policies.get(dtype)

        def policy(layer: str) -> Policy:
            return policy_below(policies, layer)

        size = config.image_size or (None, None)
        images = keras.Input((*size, config.channels), name="images")
        x = Patches(config.patch_size, dtype=policy("patches"), name="patches")(images)
        patch_encoder = make_patch_encoder(config, policy("patch_encoder"))
        x = patch_encoder(x) if config.image_size else patch_encoder(x, images=images)
        patch_dropout = make_patch_dropout(config, policy("patch_dropout"))
        if patch_dropout is not None:
            x = patch_dropout(x)
        if config.use_pre_norm:
            x = make_norm(config, "pre_norm", policy("pre_norm"))(x)
        rotation = None
        if config.rotary in ("axial", "centred"):
            layer = "rotary_positions"
            rotation = make_rotary_positions(config, layer, policy(layer))(images)
        if config.use_class_rotation:
            rotation = make_class_rotation(config, policy("class_rotation"))(rotation)
        for i in range(config.num_layers):
            if config.rotary == "mixed":
                layer = f"rotary_positions_{i}"
                rotation = make_rotary_positions(config, layer, policy(layer))(images)
            block = make_block(config, i, policy(f"block_{i}"))
            x = block(x) if rotation is None else block(x, rotation=rotation)
        if config.final_norm == "before_pooling":
            x = make_norm(config, "norm", policy("norm"))(x)
        pool = make_pooling(config, policy("pooling"))
        if pool is not None:
            x = pool(x)
        if config.final_norm == "after_pooling":
            x = make_norm(config, "norm", policy("norm"))(x)
        head = make_head(config, policy("head"))
        if head is not None:
            x = head(x)
        # The blocks do the rematerialization, not the model around them.
        with keras.RematScope(mode=None):  # pyright: ignore[reportArgumentType]
            super().__init__(inputs=images, outputs=x, name=name, trainable=trainable)

        self.dtype_policy = getattr(policies, "default_policy", policies)
        self.config = config
        # Keras's own check lets one channel pass for three.
        shape = (None, *size, config.channels)
        self.input_spec = [keras.InputSpec(shape=shape, name="images")]
        self.preprocessing = preprocessing
        self.class_names = class_names

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

    @property
    def preprocessing(self) -> Preprocessing | None:
        """What images go through before this model; saved with it."""
        return self._preprocessing

    @preprocessing.setter
    def preprocessing(self, value: Preprocessing | dict[str, Any] | None) -> None:
        if isinstance(value, dict):
            value = Preprocessing(**value)
        if value is not None:
            made = (*value.image_size, value.channels)
            size = self.config.image_size or value.image_size
            needed = (*size, self.config.channels)
            if made != needed:
                raise ValueError(
                    "preprocessing must make images of the size that the model takes, "
                    f"{needed} (height, width, channels), received one that makes "
                    f"{made}. Use dataclasses.replace to change its image_size."
                )
        self._preprocessing = value

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """One name per class, in the order of the logits; saved with the model."""
        return self._class_names

    @class_names.setter
    def class_names(self, names: Sequence[str] | None) -> None:
        if names is not None:
            names = tuple(str(name) for name in names)
            if len(names) != self.config.num_classes:
                raise ValueError(
                    "class_names must hold one name per class, received "
                    f"{len(names)} names for num_classes={self.config.num_classes}."
                )
        self._class_names = names

    def get_config(self) -> dict[str, Any]:
        # Not the layer-by-layer config of a functional model: these are the arguments.
        preprocessing = self.preprocessing
        return {
            **asdict(self.config),
            "preprocessing": preprocessing and asdict(preprocessing),
            "class_names": self.class_names,
            "dtype": serialize_policy(self),
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> ViT:
        """Build the model that `get_config` described, with new weights."""
        return cls(**config)
