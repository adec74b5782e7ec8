"""A `.keras` file becomes StableHLO in the container of `jax.export`, under JAX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_vit.export.converters.function import inference, load_model, named_outputs

# Devices that one file runs on.
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def convert(job: dict[str, Any]) -> None:
    """Write the file `job["target"]`."""
    import jax
    from jax import export

    serve = named_outputs(job, inference(load_model(job)))
    given = job["input"]
    batch, *sizes = given["shape"]
    shape = (batch, *sizes)
    if batch is None:
        shape = export.symbolic_shape(", ".join(["batch", *map(str, sizes)]))
    exported = export.export(jax.jit(serve), platforms=PLATFORMS)(
        jax.ShapeDtypeStruct(shape, given["dtype"])
    )
    Path(job["target"]).write_bytes(exported.serialize())
