"""The dtype policies of sub-layers, in the config of the layer that holds them.

`model.quantize(...)` and mixed settings give sub-layers policies of their own. Keras
rebuilds sub-layers from the config of the outer layer, which therefore has to tell them:
as a `DTypePolicyMap` from the path below the outer layer, such as "attention/qkv", to
the policy. Each inner layer receives its own plain policy, never the map, because Keras's
dense layers cannot be saved a second time with a map (Keras 3.15, EinsumDense and Dense
read `dtype_policy.quantization_mode`, which is the map's default).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras.dtype_policies import DTypePolicyMap

Policy = keras.DTypePolicy | DTypePolicyMap


def sublayer_policies(layer: keras.layers.Layer) -> Callable[[str], Policy]:
    """Return the function from the name of a sub-layer to its policy.

    A layer calls this first in its `__init__`, after `super().__init__`. If it was given
    a map, it keeps the map's default for itself.
    """
    policy = layer.dtype_policy
    if isinstance(policy, DTypePolicyMap):
        layer.dtype_policy = policy.default_policy
    return lambda name: policy_below(policy, name)


def policy_below(policy: Policy, name: str) -> Policy:
    """Return what `policy` says of the sub-layer `name`: a plain policy or a map."""
    if not isinstance(policy, DTypePolicyMap):
        return policy
    prefix = name + "/"
    below = {
        key[len(prefix) :]: policy[key] for key in policy if key.startswith(prefix)
    }
    if below:
        return DTypePolicyMap(default_policy=policy.default_policy, policy_map=below)
    return policy[name] if name in policy else policy.default_policy


def serialize_policy(layer: keras.layers.Layer) -> dict[str, Any]:
    """Return what belongs under "dtype" in the `get_config()` of an outer layer."""
    default = layer.dtype_policy
    policies = DTypePolicyMap(default_policy=default)
    for path, sublayer in _walk(layer):
        if sublayer.dtype_policy != default:
            policies[path] = sublayer.dtype_policy
    return keras.dtype_policies.serialize(policies if len(policies) else default)


def _walk(
    layer: keras.layers.Layer, prefix: str = ""
) -> Iterator[tuple[str, keras.layers.Layer]]:
    # Keras has no public way to list the sub-layers of a layer.
    for sublayer in layer._flatten_layers(include_self=False, recursive=False):
        path = prefix + sublayer.name
        yield path, sublayer
        yield from _walk(sublayer, path + "/")
