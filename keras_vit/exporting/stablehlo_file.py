"""A `.keras` file becomes StableHLO in the container of `jax.export`, under JAX."""

from __future__ import annotations

from collections import OrderedDict

from keras_vit.exporting.conversion import ConversionJob
from keras_vit.exporting.served_function import served_function

# Devices that one file runs on.
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def convert(job: ConversionJob) -> None:
    """Write the file `job.target`."""
    import jax
    from jax import export

    shape = batch, *sizes = job.input["shape"]
    if batch is None:
        shape = export.symbolic_shape(", ".join(["batch", *map(str, sizes)]))
    serve = served_function(job)
    # JAX sorts the names of a plain dictionary.
    ordered = jax.jit(lambda images: OrderedDict(serve(images)))
    exported = export.export(ordered, platforms=PLATFORMS)(
        jax.ShapeDtypeStruct(shape, job.input["dtype"])
    )
    job.target.write_bytes(exported.serialize())
