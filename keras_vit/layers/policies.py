"""The dtype policies of sub-layers, in the config of the layer that holds them.

`model.quantize(...)` and mixed settings give sub-layers policies of their own. Keras
rebuilds sub-layers from the config of the outer layer, which therefore has to tell
them: as a `DTypePolicyMap` from the path below the outer layer, such as
"attention/qkv", to the policy. Each inner layer receives its own plain policy, never
the map, because Keras's dense layers cannot be saved a second time with a map (Keras
3.15, EinsumDense and Dense read `dtype_policy.quantization_mode`, which is the map's
default).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import keras
from keras.dtype_policies import DTypePolicyMap

Policy: TypeAlias = keras.DTypePolicy | DTypePolicyMap


def sublayer_policies(layer: keras.layers.Layer) -> Callable[[str], Policy]:
    """Return the function from the name of a sub-layer to its policy.

    A layer calls this first in its `__init__`, after `super().__init__`. If it was
    given a map, it keeps the map's default for itself.
    """
    policy = layer.dtype_policy
    if isinstance(policy, DTypePolicyMap):
        layer.dtype_policy = policy.default_policy
    return lambda name: policy_below(policy, name)


def policy_below(policy: Policy, name: str) -> Policy:
    """Return what `policy` says of the sub-layer `name`: a plain policy or a map.

    What a map does not name has the policy of the layer around it.
    """
    if not isinstance(policy, DTypePolicyMap):
        return policy
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


def wide_dtype(layer: keras.layers.Layer) -> str:
    """Return the dtype for sums over many values: float32, or float64 in float64."""
    return "float64" if layer.compute_dtype == "float64" else "float32"


def _differing(
    layer: keras.layers.Layer, prefix: str = ""
) -> Iterator[tuple[str, keras.DTypePolicy]]:
    """Yield path and policy of the sub-layers whose policy is not that around them."""
    # Keras has no public way to list the sub-layers of a layer.
    for sublayer in layer._flatten_layers(include_self=False, recursive=False):
        if isinstance(sublayer, keras.layers.InputLayer):
            continue  # Always float32, and never made by us.
        path = prefix + sublayer.name
        if sublayer.dtype_policy != layer.dtype_policy:
            yield path, sublayer.dtype_policy
        yield from _differing(sublayer, path + "/")
