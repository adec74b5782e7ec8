"""What the layers of this package share: types, checks, and how sub-layers are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeAlias

import keras
from keras import ops
from keras.dtype_policies import DTypePolicyMap

from keras_vit.layers.base.rematerialization import rematerialize
from keras_vit.own_arguments import own_arguments

Shape = tuple[int | None, ...]
# A KerasTensor or a tensor of the backend. Keras has no name for both, and type
# checkers take what its ops return for a tensor of one of its backends.
Tensor = Any
Policy: TypeAlias = keras.DTypePolicy | DTypePolicyMap

# Modes of `keras.RematScope` that a layer with its sub-layers follows as a whole.
WHOLE = ("full", "larger_than")
NO_MODE: dict[str, Any] = {"mode": None}


class PlainLayer(keras.layers.Layer):
    """A layer that torch.compile follows fast; see `compiled_call`."""

    # Whether models have many that are alike: one is compiled, and serves all.
    is_repeated = False

    if keras.backend.backend() == "torch":

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            import torch

            if torch.compiler.is_compiling():
                return self._call_compiled(*args, **kwargs)
            return super().__call__(*args, **kwargs)

        def _call_compiled(self, *args: Any, **kwargs: Any) -> Any:
            from keras_vit.layers.base.compiled_call import call_compiled

            output = call_compiled(self, args, kwargs)
            if output is NotImplemented:
                return super().__call__(*args, **kwargs)
            return output


@keras.saving.register_keras_serializable(package="keras_vit")
class Dense(PlainLayer, keras.layers.Dense):
    """`keras.layers.Dense`, which torch.compile follows fast."""

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        # Keras refuses subclasses, which may compute something else.
        super().quantize(*args, **{**kwargs, "type_check": False})


class CompositeLayer(PlainLayer):
    """A layer made of sub-layers.

    A subclass keeps each argument of its `__init__` under its own name; they make its
    config. It makes its sub-layers in `with self.sublayers() as named`, each under the
    name of the attribute that holds it. Layers that it is handed it uses as they are:
    `handed` names these arguments. Norms it copies, one for each place. The output has
    the shape of the input unless the subclass says otherwise.
    """

    handed: tuple[str, ...] = ()
    # Whether it is made for being handed to a layer that rematerializes it, too.
    is_part = False

    @contextmanager
    def sublayers(self) -> Iterator[Callable[[str], dict[str, Any]]]:
        """Yield the function from the name of a sub-layer to its `dtype` and `name`."""
        policy, names = self.dtype_policy, [*self.handed]
        if isinstance(policy, DTypePolicyMap):
            self.dtype_policy = policy.default_policy

        def named(name: str) -> dict[str, Any]:
            names.append(name)
            return {"dtype": policy_below(policy, name), "name": name}

        with keras.RematScope(**NO_MODE) if self._is_whole() else nullcontext():
            yield named
        self.sublayer_names = tuple(names)

    def _is_whole(self) -> bool:
        """Whether `keras.RematScope` means layers as a whole, without what is in them.

        Its other modes name or select layers and go through to the sub-layers.
        """
        return bool(self._remat_mode and self._remat_mode.mode in WHOLE)

    def rematerialized_call(
        self, layer_call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Callable[..., Any]:
        if self.is_part and self._is_whole():
            return layer_call
        return rematerialize(self, self._remat_mode, layer_call, args[0])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("return_attention_scores"):
            # Two outputs, and `compute_output_shape` tells one: Keras traces `call`.
            return keras.Operation.compute_output_spec(self, *args, **kwargs)
        return super().compute_output_spec(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        arguments = {n: _serialize(value) for n, value in own_arguments(self).items()}
        return {**super().get_config(), "dtype": serialize_policy(self), **arguments}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        layers = {
            name: keras.saving.deserialize_keras_object(value)
            for name, value in config.items()
            if name != "dtype" and isinstance(value, dict) and "class_name" in value
        }
        return super().from_config({**config, **layers})


def _serialize(value: Any) -> Any:
    """Return an argument as JSON values, a layer without the shapes it has."""
    if not isinstance(value, keras.layers.Layer):
        return value
    description: Any = keras.saving.serialize_keras_object(value)
    description.pop("build_config", None)
    return description


def check_layer(name: str, layer: Any) -> None:
    """Raise an error unless `layer` is one that can be handed to another layer.

    Args:
        name: of the argument.
        layer: its value.

    Raises:
        TypeError: if it is no layer.
        ValueError: if it is built, and so may be in another layer already.
    """
    if not isinstance(layer, keras.layers.Layer):
        raise TypeError(
            f"{name} must be a keras.layers.Layer, received {name}={layer!r}. Pass a "
            "layer such as SelfAttention(...)."
        )
    if layer.built and layer.weights:
        raise ValueError(
            f"{name} must be new, as it becomes a part of this layer, received "
            f"{layer.name!r}, which has weights already. Make one for each."
        )


def copy_norm(norm: keras.layers.Layer | None, name: str, dtype: Policy) -> Any:
    """Return a new normalization like the given one, None for None."""
    named: dict[str, Any] = {"name": name, "dtype": dtype}
    if norm is not None and hasattr(norm, "copied"):
        # Without a config: to write its dtype Keras imports TensorFlow where it can.
        return norm.copied(**named)
    return norm and type(norm).from_config({**norm.get_config(), **named})


def build_each(input_shape: Shape, *layers: keras.layers.Layer | None) -> None:
    """Build layers, in this order, for inputs of one shape; None is left out."""
    for layer in layers:
        if layer is not None:
            # Two layers may have been handed the same one before it was built.
            check_layer(layer.name, layer)
            layer.build(input_shape)


# The dtype policies of sub-layers. `model.quantize(...)` and mixed settings give them
# policies of their own. Keras rebuilds sub-layers from the config of the outer layer,
# which therefore has to tell them: as a `DTypePolicyMap` from the path below the outer
# layer, such as "attention/qkv", to the policy. Each inner layer receives its own plain
# policy, never the map, because Keras's dense layers cannot be saved a second time with
# a map (Keras 3.15 reads `dtype_policy.quantization_mode`, which is the map's default).


def policy_below(policy: Policy, name: str) -> Policy:
    """Return what `policy` says of the sub-layer `name`: a plain policy or a map.

    What a map does not name has the policy of the layer around it.
    """
    is_map = isinstance(policy, DTypePolicyMap)
    return _policy_in_map(policy, name) if is_map else policy


def _policy_in_map(policy: DTypePolicyMap, name: str) -> Policy:
    own = policy[name] if name in policy else policy.default_policy
    prefix = name + "/"
    below = {
        key[len(prefix) :]: policy[key] for key in policy if key.startswith(prefix)
    }
    return DTypePolicyMap(default_policy=own, policy_map=below) if below else own


def serialize_policy(layer: keras.layers.Layer) -> dict[str, Any]:
    """Return what belongs under "dtype" in the `get_config()` of an outer layer."""
    own = layer.dtype_policy
    policies = DTypePolicyMap(default_policy=own, policy_map=dict(_differing(layer)))
    config: Any = keras.dtype_policies.serialize(policies if len(policies) else own)
    return config


def _differing(
    layer: keras.layers.Layer, prefix: str = ""
) -> Iterator[tuple[str, keras.DTypePolicy]]:
    """Yield path and policy of the sub-layers whose policy is not that around them."""
    for name, sublayer in _sublayers(layer):
        if sublayer.dtype_policy != layer.dtype_policy:
            yield prefix + name, sublayer.dtype_policy
        yield from _differing(sublayer, f"{prefix}{name}/")


def _sublayers(layer: Any) -> list[tuple[str, Any]]:
    """Return the layers directly in a model or a layer, with their names in it."""
    if isinstance(layer, keras.Model):
        kept = (x for x in layer.layers if not isinstance(x, keras.layers.InputLayer))
        return [(x.name, x) for x in kept]
    names = getattr(layer, "sublayer_names", ())
    found = ((name, getattr(layer, name)) for name in names)
    return [(name, x) for name, x in found if x is not None]


def wide_dtype(layer: keras.layers.Layer) -> str:
    """Return the dtype for sums over many values: float32, or float64 in float64."""
    return "float64" if layer.compute_dtype == "float64" else "float32"


def drop(dropout: keras.layers.Layer, x: Tensor, training: bool | None) -> Tensor:
    """Apply dropout in training; else it is not called, which would cost time."""
    return dropout(x, training=True) if training else x


def scores_options(is_asked: bool, offset: Tensor | None) -> dict[str, Any]:
    """Return what a layer hands on of attention weights: only what is asked for."""
    options: dict[str, Any] = {"return_attention_scores": True} if is_asked else {}
    return options if offset is None else {**options, "attention_offset": offset}


def pad(x: Tensor, axis: int, before: int, after: Any = 0) -> Tensor:
    """Return x of rank 3 with zeros before and after it along one axis."""
    if keras.backend.backend() == "torch":
        import torch

        # ops.pad makes a new Operation in each call, where torch.compile gives up.
        widths = [0, 0] * (2 - axis) + [before, after]
        return torch.nn.functional.pad(x, widths)
    widths = [[0, 0], [0, 0], [0, 0]]
    widths[axis] = [before, after]
    return ops.pad(x, widths)


def check_rank(layer: keras.layers.Layer, input_shape: Shape, legend: str) -> None:
    """Raise a ValueError unless the input has as many axes as `legend` names."""
    rank = legend.count(",") + 1
    if len(input_shape) != rank:
        raise ValueError(
            f"{type(layer).__name__} takes inputs of shape {legend}, received shape "
            f"{tuple(input_shape)}. Reshape the inputs to rank {rank}."
        )


def check_width(layer: keras.layers.Layer, input_shape: Shape, hidden_dim: int) -> None:
    """Raise a ValueError unless the input is a sequence (B, T, D), D = hidden_dim."""
    check_rank(layer, input_shape, "(B, T, D)")
    if input_shape[-1] != hidden_dim:
        raise ValueError(
            f"{type(layer).__name__} was made with hidden_dim={hidden_dim}, received "
            f"shape {tuple(input_shape)}. Make it with hidden_dim={input_shape[-1]}."
        )


def check_prefix(
    layer: keras.layers.Layer, input_shape: Shape, num_prefix_tokens: int
) -> None:
    """Raise a ValueError unless a token follows the first `num_prefix_tokens`."""
    check_rank(layer, input_shape, "(B, T, D)")
    if input_shape[1] is not None and input_shape[1] <= num_prefix_tokens:
        raise ValueError(
            f"{type(layer).__name__} needs a token after num_prefix_tokens="
            f"{num_prefix_tokens}, received shape {tuple(input_shape)}. Use a longer "
            "sequence or a smaller num_prefix_tokens."
        )


def check_count(name: str, value: int, least: int) -> None:
    """Raise a ValueError unless `value` is at least `least`."""
    if value < least:
        raise ValueError(
            f"{name} must be at least {least}, received {name}={value}. Pass such a "
            "number."
        )


def check_heads(
    hidden_dim: int, num_heads: int, num_kv_heads: int | None = None
) -> None:
    """Raise a ValueError unless tokens can be split into heads of equal width."""
    groups = num_heads if num_kv_heads is None else num_kv_heads
    if num_heads < 1 or hidden_dim % num_heads or groups < 1 or num_heads % groups:
        raise ValueError(
            "hidden_dim must be a multiple of num_heads, and that of num_kv_heads, "
            f"received {hidden_dim=}, {num_heads=}, num_kv_heads={groups}. Choose a "
            "num_heads that divides hidden_dim."
        )


def check_rate(name: str, rate: float) -> None:
    """Raise a ValueError unless `rate` is a share that can be dropped, [0, 1)."""
    if not 0 <= rate < 1:
        raise ValueError(
            f"{name} must be at least 0 and below 1, received {name}={rate}. It is the "
            "share that is dropped in training."
        )
