"""How the weights of a ViT are cut over the devices of a model axis."""

from __future__ import annotations

import re
from typing import Any

import keras

# Each matrix that a block multiplies its tokens by is cut along its wide side, so that
# a device holds whole columns of the first product and the same rows of the second.
RULES: dict[str, tuple[str | None, ...]] = {
    r"(.*/)?block_\d+/(.*/)?(qkv|expand)/kernel": (None, "model"),
    (
        r"(.*/)?block_\d+/(.*/)?"
        r"(output_projection|contract|attention_output|mlp_output)/kernel"
    ): ("model", None),
}


def vit_layout_map(device_mesh: Any) -> keras.distribution.LayoutMap:
    """Return which axis of each weight of a ViT is cut over the axis "model".

    Kernels alone are cut: their biases are small, and some families have none.

    Args:
        device_mesh: `keras.distribution.DeviceMesh` with an axis "model".

    Raises:
        ValueError: if the mesh has no such axis.

    Reference: arXiv:1909.08053, section 3.
    """
    if "model" not in device_mesh.axis_names:
        raise ValueError(
            'The mesh must have an axis "model", received axis_names='
            f"{list(device_mesh.axis_names)}. Make it with "
            "keras.distribution.DeviceMesh((2, 2), ['batch', 'model'])."
        )
    layouts = keras.distribution.LayoutMap(device_mesh)
    for rule, axes in RULES.items():
        layouts[rule] = axes
    return layouts


class ViTParallel(keras.distribution.ModelParallel):
    """`keras.distribution.ModelParallel` that says what cannot be cut."""

    def get_variable_layout(self, variable: Any) -> Any:
        layout = super().get_variable_layout(variable)
        mesh = self.device_mesh
        sizes = dict(zip(mesh.axis_names, mesh.shape, strict=True))
        axes = tuple(getattr(layout, "axes", ()))
        for size, axis in zip(variable.shape, axes, strict=False):
            if axis is not None and size % sizes[axis]:
                raise ValueError(
                    f"The axis {axis!r} of the mesh has {sizes[axis]} devices, which "
                    f"must divide the weight {variable.path!r}, received shape "
                    f"{tuple(variable.shape)}. Use a model_devices that divides "
                    "hidden_dim and mlp_dim."
                )
        return layout


def check_rules(layout_map: Any, model: keras.Model) -> None:
    """Raise a ValueError if a rule matches no weight; Keras would copy it instead."""
    paths = [variable.path for variable in model.variables]
    unused = [r for r in layout_map if not any(re.fullmatch(r, path) for path in paths)]
    if unused:
        raise ValueError(
            "Each rule of a layout map must match a weight of the model as a whole, "
            f"received {unused}, which match none of {len(paths)} weights such as "
            f"{paths[:3]}. Remove the rule, or begin it with '.*'."
        )
