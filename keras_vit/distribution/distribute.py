"""Choose the engine: one call for each kind of device, checked before any work."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import keras

from keras_vit.distribution.base import Distribution
from keras_vit.distribution.processes import find_processes

# The backends that have each kind, and what to use on the others.
KINDS: dict[str, tuple[str, ...]] = {
    "auto": ("tensorflow", "jax", "torch"),
    "single": ("tensorflow", "jax", "torch"),
    "mirrored": ("tensorflow",),
    "multi_worker": ("tensorflow",),
    "tpu": ("tensorflow",),
    "data_parallel": ("jax", "torch"),
    "model_parallel": ("jax",),
}
INSTEAD = {
    "tensorflow": '"mirrored" (several devices) or "multi_worker" (several processes)',
    "jax": '"data_parallel" or "model_parallel"',
    "torch": '"data_parallel"',
}


def distribute(
    kind: Any = "auto",
    *,
    devices: int | Sequence[str] | None = None,
    model_devices: int | None = None,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    timeout: float = 60.0,
) -> Distribution:
    """Return the devices that share each batch, as a scope for a whole training run.

    Enter it before the model is made. The engines are those of the backends: on
    TensorFlow `tf.distribute`, on JAX `keras.distribution`, on torch
    `torch.distributed` with one process per device. `docs/distribution.md` says how to
    start several processes and what each engine can do.

    Args:
        kind: "auto" (what the machine and the environment have: several processes,
            else several devices, else one), "single"; on TensorFlow "mirrored",
            "multi_worker" or "tpu"; on JAX "data_parallel" or "model_parallel"; on
            torch "data_parallel"; or a `tf.distribute` strategy, or a
            `keras.distribution` object on JAX.
        devices: number or names of the devices of one process, such as
            ["GPU:0", "GPU:1"] on TensorFlow and ["cuda:0"] on JAX. On TensorFlow
            without a GPU a number divides the CPU into so many logical devices.
            Default None: all.
        model_devices: of "model_parallel": over how many devices each weight is cut.
            Default None: all.
        coordinator: "host:port" of process 0, on TensorFlow of all processes with
            commas between. Default None: from TF_CONFIG, torchrun or Slurm.
        num_processes: number of processes. Default None: as `coordinator`.
        process_id: number of this process, from 0. Default None: as `coordinator`.
        timeout: seconds to wait for the other processes at the start. Default 60.

    Raises:
        TypeError: if `kind` is neither a name nor one of these objects.
        ValueError: if the backend or the machine does not have what is asked for, or
            an option does not belong to the kind.
        RuntimeError: if the backend has started already and it is too late.
        OSError: if the port of this process is in use.

    Example:
        >>> with keras_vit.distribute("single") as distribution:
        ...     model = keras_vit.ViT.from_variant("test", num_classes=10)
        ...     distribution.num_replicas
        1
    """
    backend = keras.backend.backend()
    processes = find_processes(coordinator, num_processes, process_id)
    if not isinstance(kind, str):
        return _from_object(kind, backend)
    _check_kind(kind, backend)
    engine = _engine(backend)
    if kind == "auto":
        kind = engine.find_kind(processes, devices)
    _check_options(kind, devices, model_devices, coordinator)
    if kind == "single":
        return Distribution()
    return engine.make(kind, devices, model_devices, processes, timeout)


def _check_kind(kind: str, backend: str) -> None:
    if kind not in KINDS:
        raise ValueError(
            f"kind must be one of {list(KINDS)}, received kind={kind!r}. Check the "
            "spelling, or pass a strategy of tf.distribute."
        )
    if backend in KINDS[kind]:
        return
    if kind == "data_parallel" and backend == "tensorflow":
        why = "Keras accepts keras.distribution on TensorFlow and ignores it."
    else:
        why = f"The backend {backend!r} does not have it."
    raise ValueError(
        f"{kind!r} needs the backend {' or '.join(KINDS[kind])}, received backend="
        f"{backend!r}. {why} Use {INSTEAD[backend]}, or set KERAS_BACKEND."
    )


def _check_options(
    kind: str, devices: Any, model_devices: int | None, coordinator: str | None
) -> None:
    parallel = ("data_parallel", "model_parallel")
    options = {
        "devices": (devices, ("mirrored", *parallel)),
        "model_devices": (model_devices, ("model_parallel",)),
        "coordinator": (coordinator, ("multi_worker", *parallel)),
    }
    for option, (value, kinds) in options.items():
        if value is not None and kind not in kinds:
            raise ValueError(
                f"{option} belongs to {' or '.join(kinds)}, received "
                f"{option}={value!r} for kind={kind!r}. Remove it, or choose the kind."
            )


def _from_object(kind: Any, backend: str) -> Distribution:
    origins = {base.__module__.split(".")[0] for base in type(kind).__mro__}
    if "tensorflow" in origins and "tensorflow" in sys.modules:
        import tensorflow

        if isinstance(kind, tensorflow.distribute.Strategy):
            if backend != "tensorflow":
                raise ValueError(
                    f"{type(kind).__name__} needs the backend tensorflow, received "
                    f"backend={backend!r}. Use {INSTEAD[backend]}."
                )
            return _engine(backend).from_strategy(kind)
    parallel = (keras.distribution.DataParallel, keras.distribution.ModelParallel)
    if isinstance(kind, parallel):
        if backend != "jax":
            raise ValueError(
                f"keras.distribution needs the backend jax, received backend="
                f"{backend!r}, where Keras ignores it. Use {INSTEAD[backend]}."
            )
        return _engine(backend).from_distribution(kind)
    raise TypeError(
        f"kind must be one of {list(KINDS)}, a tf.distribute strategy or a "
        f"keras.distribution object, received {type(kind).__name__}."
    )


def _engine(backend: str) -> Any:
    return importlib.import_module(f"keras_vit.distribution.{backend}_engine")
