"""The engine of JAX: `keras.distribution` in one process or several."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_vit import keras_internals
from keras_vit.distribution.base import Distribution
from keras_vit.distribution.layout import ViTParallel, check_rules, vit_layout_map
from keras_vit.distribution.processes import Processes, must_end_within, too_late

# Seconds after which a process that no longer answers counts as dead.
HEARTBEAT = 30


def find_kind(processes: Processes | None, devices: Any) -> str:
    """Return the kind that "auto" stands for."""
    if processes is not None or devices is not None:
        return "data_parallel"
    return "data_parallel" if len(keras.distribution.list_devices()) > 1 else "single"


def make(
    kind: str,
    devices: int | Sequence[str] | None,
    model_devices: int | None,
    processes: Processes | None,
    timeout: float,
) -> JaxDistribution:
    """Return the distribution of a kind; see `distribute`."""
    if processes is not None:
        _join(processes, timeout)
    names = _devices(devices, processes)
    if kind == "data_parallel":
        mesh = keras.distribution.DeviceMesh((len(names),), ["batch"], names)
        engine: Any = keras.distribution.DataParallel(
            device_mesh=mesh, auto_shard_dataset=False
        )
        return JaxDistribution(engine, kind)
    cut = len(names) if model_devices is None else model_devices
    if cut < 1 or len(names) % cut:
        raise ValueError(
            f"model_devices must divide the number of devices, received model_devices="
            f"{cut} for {len(names)} devices."
        )
    shape = (len(names) // cut, cut)
    if processes is not None and shape[0] % processes.num_processes:
        raise ValueError(
            "Each process needs a part of each batch, received model_devices="
            f"{cut}, which leaves {shape[0]} parts for {processes.num_processes} "
            "processes. Use a smaller model_devices."
        )
    mesh = keras.distribution.DeviceMesh(shape, ["batch", "model"], names)
    layout = vit_layout_map(mesh)
    engine = ViTParallel(
        layout_map=layout, batch_dim_name="batch", auto_shard_dataset=False
    )
    return JaxDistribution(engine, kind)


def from_distribution(engine: Any) -> JaxDistribution:
    """Return the distribution around an object of `keras.distribution`."""
    parallel = isinstance(engine, keras.distribution.ModelParallel)
    engine.auto_shard_dataset = False
    return JaxDistribution(engine, "model_parallel" if parallel else "data_parallel")


class JaxDistribution(Distribution):
    """An object of `keras.distribution`.

    Args:
        engine: DataParallel or ModelParallel.
        kind: "data_parallel" or "model_parallel".
    """

    shares_uneven_batches = False

    def __init__(self, engine: Any, kind: str) -> None:
        import jax

        self.engine = engine
        self.kind = kind
        self.num_replicas = int(engine.num_model_replicas)
        self.num_processes = jax.process_count()
        self.process_id = jax.process_index()

    @property
    def num_parallel_steps(self) -> int:
        return 1  # The compiler cuts one step, whose masks are of the whole batch.

    def describe(self) -> str:
        mesh = self.engine.device_mesh
        sizes = zip(mesh.axis_names, mesh.shape, strict=True)
        axes = ", ".join(f"{name} {size}" for name, size in sizes)
        number = self.num_processes
        processes = f" in {number} processes" if number > 1 else ""
        return f"{mesh.devices.size} devices{processes} ({self.kind}; {axes})"

    def check_weights(self, model: keras.Model) -> None:
        self._check_place(model, model.variables)
        if self.kind == "model_parallel":
            check_rules(keras_internals.layout_map_of(self.engine), model)

    def _check_compiled(self, model: keras.Model) -> None:
        optimizer: Any = model.optimizer
        self._check_place(model, [] if optimizer is None else optimizer.variables)

    def _check_place(self, model: keras.Model, variables: list[Any]) -> None:
        mesh = set(self.engine.device_mesh.backend_mesh.devices.flat)
        outside = [v.path for v in variables if v.value.sharding.device_set != mesh]
        if outside:
            raise ValueError(
                "The model must be made, loaded and compiled inside the scope of its "
                f"distribution, received {model.name!r} with {outside[0]!r} from "
                "outside. Write with keras_vit.distribute(...): model = ...; and train "
                "inside it."
            )

    def gather_outputs(self, outputs: Any) -> Any:
        if self.num_processes == 1:
            return outputs
        mesh = self.engine.device_mesh

        def everywhere(rows: Any) -> Any:
            layout = keras.distribution.TensorLayout((None,) * rows.ndim, mesh)
            return keras.distribution.distribute_tensor(rows, layout)

        return keras.tree.map_structure(everywhere, outputs)

    def to_numpy(self, variable: Any) -> np.ndarray:
        return _whole(variable.value)

    @contextlib.contextmanager
    def writing(self) -> Iterator[bool]:
        # Keras refuses to read weights in one process alone while they are distributed.
        if self.num_processes == 1:
            yield True
            return
        try:
            keras.distribution.set_distribution(None)
            yield self.is_main
        finally:
            keras.distribution.set_distribution(self.engine)
        self.barrier()

    def exchange(self, text: str) -> list[str]:
        if self.num_processes == 1:
            return [text]
        from jax.experimental import multihost_utils

        own = np.frombuffer(text.encode(), np.uint8)
        sizes = np.array([own.size], np.int32)
        lengths = np.asarray(multihost_utils.process_allgather(sizes))[:, 0]
        padded = np.zeros(max(1, int(lengths.max())), np.uint8)
        padded[: own.size] = own
        rows = np.asarray(multihost_utils.process_allgather(padded))
        pairs = zip(rows, lengths, strict=True)
        return [bytes(row[:length]).decode() for row, length in pairs]

    def _open(self) -> None:
        self._before = keras.distribution.distribution()
        if self.num_processes > 1:
            # All processes draw the same first weights and seeds: those of process 0.
            version, state, gauss = random.getstate()
            text = self.exchange(json.dumps([version, state, gauss]))[0]
            version, state, gauss = json.loads(text)
            random.setstate((version, tuple(state), gauss))
        keras.distribution.set_distribution(self.engine)

    def _close(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        keras.distribution.set_distribution(self._before)


def _whole(value: Any) -> np.ndarray:
    """Return the value of a JAX array, also where other processes have parts of it."""
    from jax.experimental import multihost_utils

    if value.is_fully_addressable or value.is_fully_replicated:
        return np.asarray(value)
    return np.asarray(multihost_utils.process_allgather(value, tiled=True))


def _join(processes: Processes, timeout: float) -> None:
    import jax

    if jax.distributed.is_initialized():
        return
    processes.check_port()
    try:
        with must_end_within(timeout, processes.describe_absence(timeout)):
            jax.distributed.initialize(
                coordinator_address=processes.addresses[0],
                num_processes=processes.num_processes,
                process_id=processes.process_id,
                initialization_timeout=int(timeout) + HEARTBEAT,
                heartbeat_timeout_seconds=HEARTBEAT,
                shutdown_timeout_seconds=HEARTBEAT,
            )
    except RuntimeError as error:
        if "before" not in str(error):
            raise
        raise too_late("JAX") from error


def _devices(
    devices: int | Sequence[str] | None, processes: Processes | None
) -> list[str]:
    names = keras.distribution.list_devices()
    if devices is None:
        return names
    if processes is not None:
        raise ValueError(
            f"Several processes use all their devices, received devices={devices!r}. "
            "Choose the devices of each with CUDA_VISIBLE_DEVICES."
        )
    if isinstance(devices, int):
        if not 1 <= devices <= len(names):
            raise ValueError(
                f"devices must be from 1 to {len(names)}, the number of devices here, "
                f"received devices={devices}. To try several on a CPU, set XLA_FLAGS="
                "--xla_force_host_platform_device_count=2 or more, before the start."
            )
        return names[:devices]
    unknown = [name for name in devices if name not in names]
    if unknown or not devices:
        raise ValueError(f"devices must be among {names}, received {list(devices)}.")
    return list(devices)
