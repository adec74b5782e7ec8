"""Models that return what a ViT computes on the way. B batch, T tokens, D hidden."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import keras

from keras_vit.layers.base.attention_scores import AttentionScores
from keras_vit.layers.later.attention_pooling import AttentionPooling
from keras_vit.layers.later.earlier_tokens import EarlierTokens
from keras_vit.layers.later.prefix_pooling import PrefixPooling
from keras_vit.layers.later.query_pooling import QueryPooling
from keras_vit.layers.later.token_grid import TokenGrid


def features(
    model: keras.Model,
    layers: int | Sequence[int] | None = -1,
    *,
    as_grid: bool = True,
    use_norm: bool = True,
) -> keras.Model:
    """Return a model from images to the outputs of some blocks.

    It shares its layers with `model`, so training one trains the other, and leaves out
    the blocks after the last one asked for.

    Args:
        model: a `keras_vit.ViT`.
        layers: number of a block, 0 is the first and -1 (default) the last; or several;
            or None for all.
        as_grid: whether the patches come as maps and the tokens before them apart;
            otherwise all tokens come as the block returns them. Default True.
        use_norm: whether the final norm of the model is applied to each output. Models
            that normalize after pooling or not at all have none for tokens, and give
            them as they are. Default True.

    Returns:
        A functional model whose output is a dictionary, in the order of the blocks:
        "block_3" is (B, rows, columns, D) and "block_3_prefix" (B, K, D), the K class,
        distillation and register tokens, left out if there are none. With
        `as_grid=False`: "block_3" alone, (B, T, D).

    Raises:
        TypeError: if `model` is no ViT, or a layer is no whole number.
        ValueError: if there is no such block, or one is asked for twice.

    Example:
        ```python
        model = keras_vit.load("saved_models/photos")
        maps = keras_vit.features(model, layers=[0, -1])
        images = model.preprocessing("cat.jpg")[None]
        {name: value.shape for name, value in maps.predict(images, verbose=0).items()}
        # {'block_0': (1, 4, 4, 32), 'block_0_prefix': (1, 1, 32),
        #  'block_3': (1, 4, 4, 32), 'block_3_prefix': (1, 1, 32)}
        ```
    """
    config = _config(model)
    images = model.inputs[0]
    pixels = model.get_layer("patches").input  # The images, perhaps with padding.
    split = TokenGrid(config.patch_size, config.num_prefix_tokens, name="token_grid")
    norm = None
    if use_norm and config.final_norm == "before_pooling":
        norm = model.get_layer("norm")
    outputs: dict[str, Any] = {}
    for block in _block_numbers(layers, config.num_layers):
        name = f"block_{block}"
        tokens = model.get_layer(name).output
        if norm is not None:
            tokens = norm(tokens)
        outputs[name] = split(tokens, pixels) if as_grid else tokens
        if as_grid and config.num_prefix_tokens:
            outputs[f"{name}_prefix"] = tokens[:, : config.num_prefix_tokens]
    return keras.Model(images, outputs, name=f"{model.name}_features")


def attention_scores(
    model: keras.Model, layers: int | Sequence[int] | None = -1
) -> keras.Model:
    """Return a model from images to its outputs and to attention weights.

    It shares its layers with `model` and computes each of them once.

    Args:
        model: a `keras_vit.ViT`.
        layers: number of a block, 0 is the first and -1 (default) the last; or several;
            or None for all.

    Returns:
        A functional model whose output is a dictionary: "outputs", what `model`
        returns; and for each block "block_3", (B, h, T, T), how much each token (third
        axis) reads from each token (last axis), in each head. With differential
        attention these are the differences, and two attentions side by side give their
        heads in a row. A pooling that reads with attention adds "pooling", (B, h, 1,
        number of tokens that it reads).

    Raises:
        TypeError: if `model` is no ViT, or a layer is no whole number.
        ValueError: if there is no such block, or one is asked for twice.

    Example:
        >>> model = keras_vit.ViT.from_variant("test")
        >>> outputs = keras_vit.attention_scores(model)(keras.ops.zeros((2, 32, 32, 3)))
        >>> {name: tuple(value.shape) for name, value in sorted(outputs.items())}
        {'block_1': (2, 2, 17, 17), 'outputs': (2, 1000)}
    """
    config = _config(model)
    asked = [f"block_{n}" for n in _block_numbers(layers, config.num_layers)]
    found: dict[str, Any] = {}

    def call(layer: Any, x: Any, **options: Any) -> Any:
        if layer.name not in asked and not attends(layer):
            return layer(x, **options)
        scored = AttentionScores(layer, name=f"{layer.name}_attention_scores")
        x, found[layer.name] = scored(x, **options)
        return x

    outputs = replayed(model, int(asked[0].removeprefix("block_")), call)
    name = f"{model.name}_attention_scores"
    return keras.Model(model.inputs[0], {"outputs": outputs, **found}, name=name)


def replayed(model: keras.Model, start: int, call: Callable[..., Any]) -> Any:
    """Call the layers of a ViT from a block on once more, and return the outputs.

    Args:
        model: a ViT.
        start: number of the block, from 0.
        call: from a layer, its tokens and its options, such as `rotation`, to what
            takes the place of its output.
    """
    num_layers = _config(model).num_layers
    last = model.get_layer(f"block_{num_layers - 1}")
    blocks = [model.get_layer(f"block_{n}") for n in range(start, num_layers)]
    # What stands after the last block: norm, pooling and head, as far as there are.
    others = model.layers[model.layers.index(last) + 1 :]
    x, made = None, {}  # From the model's tensors to those made here.
    for layer in [*blocks, *others]:
        given: list[Any] = [made.get(id(t), t) for t in _inputs(layer)]
        if isinstance(layer, EarlierTokens):
            given = [given]
        options: dict[str, Any] = {"rotation": given[1]} if len(given) > 1 else {}
        x = call(layer, given[0], **options)
        made[id(layer.output)] = x
    return x


def attends(layer: keras.layers.Layer) -> bool:
    """Return whether a layer after the blocks reads the tokens by attention."""
    return isinstance(layer, (AttentionPooling, QueryPooling))


def _inputs(layer: keras.layers.Layer) -> list[Any]:
    """Return what a layer is called with in its model: tokens, perhaps a rotation."""
    return layer.input if isinstance(layer.input, list) else [layer.input]


def pre_logits(model: keras.Model) -> keras.Model:
    """Return the model without its classifier: from images to (B, num_features).

    It shares its layers with `model`. A model with a distillation token gives the
    average of its two tokens.

    Args:
        model: a `keras_vit.ViT` with a pooling; it stays as it is.

    Raises:
        TypeError: if `model` is no ViT.
        ValueError: if it has no pooling.

    Example:
        ```python
        model = keras_vit.load("saved_models/photos")
        vectors = keras_vit.pre_logits(model)
        vectors.output_shape  # (None, 32)
        ```
    """
    config = _config(model)
    if config.pooling is None:
        raise ValueError(
            "Pre-logits are one vector per image and need a pooling, received a model "
            "with pooling=None. Use keras_vit.features, or build it with a pooling."
        )
    if config.num_classes is None:
        return model
    head: Any = model.get_layer("head")
    x: Any = head.input
    if config.use_distillation_token:
        x = PrefixPooling(2, name="pooling")(x)
    elif head.representation is not None:
        x = head.representation(x)
    return keras.Model(model.inputs[0], x, name=f"{model.name}_pre_logits")


def _config(model: keras.Model) -> Any:
    config = getattr(model, "config", None)
    if not hasattr(config, "num_prefix_tokens"):
        raise TypeError(
            f"model must be a keras_vit.ViT, received {type(model).__name__}. Pass the "
            "ViT inside: outer_model.get_layer(name_of_the_vit)."
        )
    return config


def _block_numbers(layers: Any, num_layers: int) -> list[int]:
    """Return the numbers in the order of the blocks, from 0."""
    if layers is None:
        return list(range(num_layers))
    is_several = isinstance(layers, Sequence) and not isinstance(layers, str)
    numbers = [
        _block_number(n, num_layers) for n in (layers if is_several else [layers])
    ]
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(
            "layers must name at least one block and each once, received "
            f"layers={layers!r} for num_layers={num_layers}. Pass None for all."
        )
    return sorted(numbers)


def _block_number(layer: Any, num_layers: int) -> int:
    if isinstance(layer, bool) or not isinstance(layer, Integral):
        raise TypeError(
            f"layers must be numbers of blocks, received {layer!r}. Pass such as -1, "
            "[3, 7, 11], or None for all."
        )
    number = int(layer)
    if not -num_layers <= number < num_layers:
        raise ValueError(
            f"layers must be from {-num_layers} to {num_layers - 1}, the blocks of "
            f"this model, received {number}. Negative numbers count from the last."
        )
    return number % num_layers
