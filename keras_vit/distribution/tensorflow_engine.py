"""The engines of TensorFlow: strategies of `tf.distribute`."""

from __future__ import annotations

import functools
import json
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np

from keras_vit import keras_internals
from keras_vit.distribution.base import Distribution
from keras_vit.distribution.masks import seed_offset, shifted_seeds
from keras_vit.distribution.processes import Processes, must_end_within, too_late

# Bytes of a text that processes exchange at once.
CHUNK = 4096


def find_kind(processes: Processes | None, devices: Any) -> str:
    """Return the kind that "auto" stands for."""
    import tensorflow as tf

    if processes is not None:
        return "multi_worker"
    if os.environ.get("TPU_NAME") or tf.config.list_physical_devices("TPU"):
        return "tpu"
    several = len(tf.config.list_physical_devices("GPU")) > 1
    return "mirrored" if several or devices is not None else "single"


def make(
    kind: str,
    devices: int | Sequence[str] | None,
    model_devices: int | None,
    processes: Processes | None,
    timeout: float,
) -> TensorFlowDistribution:
    """Return the distribution of a kind; see `distribute`."""
    if kind == "mirrored":
        return TensorFlowDistribution(_mirrored(devices), kind)
    if kind == "tpu":
        return TensorFlowDistribution(_tpu(), kind)
    if processes is None:
        raise ValueError(
            '"multi_worker" needs several processes, received neither TF_CONFIG nor '
            "coordinator. Set TF_CONFIG in each process, start them with srun, or "
            'pass coordinator="a:1234,b:1234", num_processes=2, process_id=0. On one '
            'machine with several GPUs use "mirrored".'
        )
    return TensorFlowDistribution(_multi_worker(processes, timeout), kind)


def from_strategy(strategy: Any) -> TensorFlowDistribution:
    """Return the distribution around a strategy of the user.

    Raises:
        ValueError: if Keras cannot train with it.
    """
    import tensorflow as tf

    distribute = tf.distribute
    # Their variables lie in one place, where Keras's optimizers cannot update them.
    unfit = {
        distribute.ParameterServerStrategy: "multi_worker",
        distribute.experimental.CentralStorageStrategy: "mirrored",
    }
    for cls, instead in unfit.items():
        if isinstance(strategy, cls):
            raise ValueError(
                f"Keras 3 cannot train with a {cls.__name__}. Use {instead!r}, where "
                "each replica has all weights."
            )
    if isinstance(strategy, distribute.MultiWorkerMirroredStrategy):
        return TensorFlowDistribution(strategy, "multi_worker")
    is_tpu = isinstance(strategy, distribute.TPUStrategy)
    return TensorFlowDistribution(strategy, "tpu" if is_tpu else "mirrored")


def of_this_replica() -> TensorFlowDistribution | None:
    """Return the distribution around the strategy that runs this step, if one does."""
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return None
    return from_strategy(context.strategy)


class TensorFlowDistribution(Distribution):
    """A strategy of `tf.distribute`.

    Args:
        strategy: of TensorFlow.
        kind: "mirrored", "multi_worker" or "tpu".
    """

    def __init__(self, strategy: Any, kind: str) -> None:
        self.strategy = strategy
        self.kind = kind
        self.num_replicas = int(strategy.num_replicas_in_sync)
        if kind == "multi_worker":
            resolver = strategy.cluster_resolver
            spec = resolver.cluster_spec().as_dict() if resolver else {}
            chiefs = len(spec.get("chief", []))
            self.num_processes = chiefs + len(spec.get("worker", [])) or 1
            if self.num_processes > 1:
                first = 0 if resolver.task_type == "chief" else chiefs
                self.process_id = first + int(resolver.task_id)
        self._num_local = max(1, self.num_replicas // self.num_processes)
        self.has_own_metrics = self.num_replicas > 1

    def describe(self) -> str:
        names = self.strategy.extended.worker_devices
        devices = ", ".join(name.split("device:")[-1] for name in names)
        number = self.num_processes
        processes = f" in {number} processes" if number > 1 else ""
        name = type(self.strategy).__name__
        return f"{self.num_replicas} replicas{processes} ({name}; here {devices})"

    def check_weights(self, model: keras.Model) -> None:
        created = self.strategy.extended.variable_created_in_scope
        outside = [v.path for v in model.variables if not created(v.value)]
        if outside:
            raise ValueError(
                "The model must be made, or loaded, inside the scope of its "
                f"distribution, received {model.name!r} from outside with weights such "
                f"as {outside[0]!r}. Write with keras_vit.distribute(...): model = "
                "...; and train inside it."
            )

    def _check_compiled(self, model: Any) -> None:
        if model.jit_compile:
            raise ValueError(
                "XLA cannot compile a step under tf.distribute, received "
                "jit_compile=True. Compile with jit_compile=False, or train on JAX, "
                "which compiles the step for all devices."
            )
        if self.kind == "multi_worker" and model.steps_per_execution > 1:
            raise ValueError(
                "Several processes need steps_per_execution=1, received "
                f"steps_per_execution={model.steps_per_execution}."
            )
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        if getattr(optimizer, "ema_overwrite_frequency", None):
            raise ValueError(
                "Keras's optimizers cannot overwrite weights by their average under "
                "tf.distribute, received ema_overwrite_frequency="
                f"{optimizer.ema_overwrite_frequency}. Compile with None and take the "
                "average at the end."
            )
        clips = ("clipnorm", "global_clipnorm", "clipvalue")
        clips = [name for name in clips if getattr(optimizer, name, None)]
        scales = model.optimizer is not optimizer
        if (clips or scales) and not keras_internals.reduces_first(model.optimizer):
            what = clips[0] if clips else "a loss scale"
            raise ValueError(
                "Keras's optimizers clip, and look for overflow, on each replica "
                f"alone, received {type(model.optimizer).__name__} with {what}. Use "
                "the optimizers of keras_vit.training, which sum over the replicas "
                "first."
            )

    def prepare(self, batches: Any) -> Any:
        if self.num_processes > 1:
            dataset = self._dataset(batches)
            distribute = self.strategy.distribute_datasets_from_function
            batches = distribute(lambda _: dataset)
        return super().prepare(batches)

    def reduce_gradients(self, gradients: list[Any]) -> list[Any]:
        known = [g for g in gradients if g is not None]
        # Keras divides a loss by the number of replicas, so that the sum is a mean.
        sums = iter(_all_reduce(known) if known else [])
        return [None if g is None else next(sums) for g in gradients]

    def reduce_sum(self, value: Any) -> Any:
        return _all_reduce(value)

    def local_values(self, variable: Any) -> np.ndarray:
        # Read as a whole, a counter is the sum over the replicas, which cannot be
        # divided among them again as it was.
        parts = self.strategy.experimental_local_results(variable.value)
        return np.stack([part.numpy() for part in parts])

    def set_local_values(self, variable: Any, values: np.ndarray) -> None:
        parts = self.strategy.experimental_local_results(variable.value)
        for part, value in zip(parts, values, strict=True):
            part.assign(value)

    @property
    def loss_divisor(self) -> int:
        return self.num_replicas

    def own_masks(self, model: keras.Model) -> AbstractContextManager[None]:
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        replica = 0 if context is None else context.replica_id_in_sync_group
        return shifted_seeds(model, keras.ops.cast(replica, "int64") * seed_offset(1))

    def logs_of_step(self, logs: Any) -> Any:
        if self.num_processes == 1:
            return logs
        # Keras 3.15 takes the mean over processes along an axis that scalars lack.
        return {name: keras.ops.reshape(value, (1,)) for name, value in logs.items()}

    def _dataset(self, batches: Any) -> Any:
        """Return a tf.data.Dataset of the batches of each replica of this process."""
        import tensorflow as tf

        if not isinstance(batches, keras.utils.PyDataset):
            return batches
        first = keras.tree.map_structure(np.asarray, batches[0])

        def rows() -> Iterator[Any]:
            batches.on_epoch_begin()
            for batch in _made_ahead(batches):
                batch = keras.tree.map_structure(np.asarray, batch)
                for part in range(self._num_local):
                    yield keras.tree.map_structure(
                        lambda v, i=part: np.array_split(v, self._num_local)[i], batch
                    )
            batches.on_epoch_end()

        spec = keras.tree.map_structure(
            lambda v: tf.TensorSpec((None, *v.shape[1:]), v.dtype), first
        )
        count = tf.data.experimental.assert_cardinality(len(batches) * self._num_local)
        dataset = tf.data.Dataset.from_generator(rows, output_signature=spec)
        return dataset.apply(count).prefetch(2)

    def exchange(self, text: str) -> list[str]:
        if self.num_processes == 1:
            return [text]
        data = text.encode()
        parts = [data[i : i + CHUNK] for i in range(0, len(data), CHUNK)]
        texts = [bytearray() for _ in range(self.num_processes)]
        longest, done = 1, 0
        while done < longest:
            part = parts[done] if done < len(parts) else b""
            row = np.zeros(1 + CHUNK, np.int32)
            row[0] = len(data)
            row[1 : 1 + len(part)] = np.frombuffer(part, np.uint8)
            rows = self._gather(row).numpy()[:: self._num_local]
            for found, other in zip(texts, rows, strict=True):
                left = int(other[0]) - len(found)
                found += other[1 : 1 + min(left, CHUNK)].astype(np.uint8).tobytes()
            longest, done = -(-int(rows[:, 0].max()) // CHUNK), done + 1
        return [found.decode() for found in texts]

    @functools.cached_property
    def _gather(self) -> Any:
        """Function from a row to those of all replicas.

        One graph with one shape: outside of a graph each call would make its own.
        """
        import tensorflow as tf

        def of_replica(row: Any) -> Any:
            context: Any = tf.distribute.get_replica_context()
            return context.all_gather(row[None], axis=0)

        @tf.function(input_signature=[tf.TensorSpec((1 + CHUNK,), tf.int32)])
        def gather(row: Any) -> Any:
            rows = self.strategy.run(of_replica, args=(row,))
            return self.strategy.experimental_local_results(rows)[0]

        return gather

    def _open(self) -> None:
        self._scope = self.strategy.scope()
        self._scope.__enter__()

    def _close(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._scope.__exit__(kind, error, trace)


def _made_ahead(batches: Any) -> Iterator[Any]:
    """Yield the batches of a PyDataset in order, made by as many threads as it wants.

    Keras would start these for a PyDataset, but not for what `prepare` makes of it.
    """
    workers = max(1, batches.workers)
    ahead: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for index in range(len(batches)):
            ahead.append(pool.submit(batches.__getitem__, index))
            if len(ahead) > workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _all_reduce(values: Any) -> Any:
    """Return the sums over the replicas, inside the step of one; else the values."""
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce("SUM", values)


def _mirrored(devices: int | Sequence[str] | None) -> Any:
    import tensorflow as tf

    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    kind = "GPU" if has_gpu else "CPU"
    if isinstance(devices, int):
        if not has_gpu:
            _divide_cpu(devices)
        names = [device.name for device in tf.config.list_logical_devices(kind)]
        if not 1 <= devices <= len(names):
            raise ValueError(
                f"devices must be from 1 to {len(names)}, the number of {kind}s here, "
                f"received devices={devices}."
            )
        devices = names[:devices]
    names = [device.name for device in tf.config.list_logical_devices()]
    unknown = [d for d in devices or () if not any(n.endswith(d) for n in names)]
    if unknown:
        raise ValueError(
            f"devices must be among {names}, received {unknown}. Names are such as "
            "'GPU:0'."
        )
    on_cpu = not has_gpu if devices is None else "CPU" in str(devices[0]).upper()
    if devices is None and on_cpu:
        devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    # The default all-reduce on CPUs fails for a second strategy in one process and
    # with steps_per_execution.
    operations = tf.distribute.ReductionToOneDevice() if on_cpu else None
    chosen = None if devices is None else list(devices)
    return tf.distribute.MirroredStrategy(chosen, cross_device_ops=operations)


def _divide_cpu(number: int) -> None:
    import tensorflow as tf

    cpus = tf.config.list_physical_devices("CPU")
    parts = [tf.config.LogicalDeviceConfiguration()] * number
    configured = tf.config.get_logical_device_configuration(cpus[0])
    if configured is not None and len(configured) >= number:
        return
    try:
        tf.config.set_logical_device_configuration(cpus[0], parts)
    except RuntimeError as error:
        raise RuntimeError(
            f"The CPU can be divided into {number} devices only before TensorFlow "
            "computes anything, received a call after that. Call "
            "keras_vit.distribute first."
        ) from error


def _multi_worker(processes: Processes, timeout: float) -> Any:
    import tensorflow as tf

    number = processes.num_processes
    if len(processes.addresses) != number:
        raise ValueError(
            "TensorFlow needs the address of each process, received coordinator="
            f"{processes.addresses[0]!r} for num_processes={number}. Separate them by "
            "commas, or set TF_CONFIG."
        )
    processes.check_port(processes.process_id)
    if "TF_CONFIG" not in os.environ:
        task = {"type": "worker", "index": processes.process_id}
        cluster = {"worker": list(processes.addresses)}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
    with must_end_within(timeout, processes.describe_absence(timeout)):
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        except RuntimeError as error:
            if "startup" not in str(error):
                raise
            raise too_late("TensorFlow") from error


def _tpu() -> Any:
    import tensorflow as tf

    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
    except ValueError as error:
        raise ValueError(
            '"tpu" needs a TPU that TensorFlow can see, received none '
            f"({str(error).splitlines()[0]}). Set TPU_NAME, or train on JAX with "
            '"data_parallel", which is the way to use TPUs on Kaggle.'
        ) from error
    tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    return tf.distribute.TPUStrategy(resolver)
