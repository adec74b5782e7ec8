"""The engine of torch: one process per device, joined by `torch.distributed`."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import keras

from keras_vit import keras_internals
from keras_vit.distribution.base import Distribution
from keras_vit.distribution.masks import seed_offset, shifted_seeds
from keras_vit.distribution.processes import Processes, must_end_within

# Seconds that a process may be slower than the others in a step, such as rank 0 while
# it writes. A process that ends is noticed at once, because its connections close.
PATIENCE = 1800
# Seconds that torch has to report an absence itself.
GRACE = 5
BUCKET_BYTES = 64 * 2**20


def find_kind(processes: Processes | None, devices: Any) -> str:
    """Return the kind that "auto" stands for."""
    return "single" if processes is None else "data_parallel"


def make(
    kind: str,
    devices: int | Sequence[str] | None,
    model_devices: int | None,
    processes: Processes | None,
    timeout: float,
) -> TorchDistribution:
    """Return the distribution of a kind; see `distribute`."""
    if devices is not None:
        raise ValueError(
            "torch trains with one process per device, received devices="
            f"{devices!r}. Start the processes with torchrun --nproc-per-node."
        )
    if processes is None:
        raise ValueError(
            'On torch "data_parallel" needs one process per device, received neither '
            "RANK and WORLD_SIZE nor coordinator. Start them with torchrun "
            "--nproc-per-node=2 script.py or srun, or pass "
            'coordinator="localhost:1234", num_processes=2, process_id=0.'
        )
    return TorchDistribution(processes, timeout)


class TorchDistribution(Distribution):
    """Processes that average their gradients.

    Args:
        processes: which.
        timeout: seconds to wait for the others at the start.
    """

    kind = "data_parallel"
    has_own_metrics = True

    def __init__(self, processes: Processes, timeout: float) -> None:
        import torch
        import torch.distributed as dist

        self.num_replicas = self.num_processes = processes.num_processes
        self.process_id = processes.process_id
        self._owns_group = not dist.is_initialized()
        if self._owns_group:
            processes.check_port()
            if torch.cuda.is_available():
                local = self.process_id % torch.cuda.device_count()
                given = os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID")
                torch.cuda.set_device(int(given or local))
            self._join(processes, timeout)
        self.backend = dist.get_backend()

    def _join(self, processes: Processes, timeout: float) -> None:
        import torch
        import torch.distributed as dist

        host, port = processes.addresses[0].rsplit(":", 1)
        absence = processes.describe_absence(timeout)
        try:
            # torch waits for ever if another program takes the call and is silent.
            with must_end_within(timeout + GRACE, absence):
                store = dist.TCPStore(
                    host,
                    int(port),
                    self.num_processes,
                    is_master=self.is_main and not processes.holds_port,
                    timeout=datetime.timedelta(seconds=timeout),
                )
                dist.init_process_group(
                    "nccl" if torch.cuda.is_available() else "gloo",
                    store=store,
                    rank=self.process_id,
                    world_size=self.num_processes,
                    timeout=datetime.timedelta(seconds=max(PATIENCE, timeout)),
                )
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise RuntimeError(f"{absence} torch says: {reason}") from error

    def describe(self) -> str:
        return f"{self.num_replicas} processes (torch.distributed, {self.backend})"

    def _check_compiled(self, model: keras.Model) -> None:
        optimizer = model.optimizer
        if optimizer is None or keras_internals.reduces_first(optimizer):
            return
        raise ValueError(
            "Keras's optimizers do not know of other processes on torch, received "
            f"{type(optimizer).__name__}, with which each process would train a model "
            "of its own. Use the optimizers of keras_vit.training, which sum over the "
            "processes."
        )

    def start(self, model: keras.Model) -> None:
        import torch
        import torch.distributed as dist

        super().start(model)
        paths = [variable.path for variable in model.variables]
        self.check_same(paths, "weights")
        values = [v.value.detach() for v in model.variables]
        if getattr(model, "compiled", False):  # `predict` needs no optimizer.
            values += [v.value.detach() for v in model.optimizer.variables]
        for value in values:
            # gloo has no uint32 and needs one piece of memory.
            copy = value.contiguous()
            dist.broadcast(copy, src=0)
            value.copy_(copy)
        if self.process_id:
            # Dropout without a seed draws from the generator of torch itself.
            seed = torch.initial_seed() + seed_offset(self.process_id)
            torch.manual_seed(seed % 2**32)

    def reduce_gradients(self, gradients: list[Any]) -> list[Any]:
        sums = iter(self.all_reduce([g for g in gradients if g is not None]))
        # A loss is the mean over the images of its process.
        count = self.num_replicas
        return [None if g is None else next(sums).div_(count) for g in gradients]

    def reduce_sum(self, value: Any) -> Any:
        return self.all_reduce([value])[0]

    def own_masks(self, model: keras.Model) -> AbstractContextManager[None]:
        return shifted_seeds(model, seed_offset(self.process_id))

    @contextmanager
    def summed_metrics(self, model: keras.Model) -> Iterator[None]:
        counters: list[Any] = [v for metric in model.metrics for v in metric.variables]
        own = [counter.value.detach().clone() for counter in counters]
        for counter, total in zip(counters, self.all_reduce(own), strict=True):
            counter.assign(total)
        yield
        for counter, value in zip(counters, own, strict=True):
            counter.assign(value)

    def gather_outputs(self, outputs: Any) -> Any:
        return keras.tree.map_structure(self._gather, outputs)

    def _gather(self, rows: Any) -> Any:
        """Return the rows of all processes, as many of each, in their order."""
        import torch
        import torch.distributed as dist

        parts = [torch.empty_like(rows) for _ in range(self.num_processes)]
        dist.all_gather(parts, rows.detach().contiguous())
        return torch.cat(parts)

    def all_reduce(self, tensors: list[Any]) -> list[Any]:
        """Return the sums over the processes, of tensors in the same order on each."""
        import torch
        import torch.distributed as dist

        sums: list[Any] = [None] * len(tensors)
        for indices in _buckets(tensors):
            flat = torch.cat([tensors[i].detach().reshape(-1) for i in indices])
            dist.all_reduce(flat)
            parts = flat.split([tensors[i].numel() for i in indices])
            for i, part in zip(indices, parts, strict=True):
                sums[i] = part.view(tensors[i].shape)
        return sums

    def exchange(self, text: str) -> list[str]:
        import torch.distributed as dist

        texts: list[Any] = [None] * self.num_processes
        dist.all_gather_object(texts, text)
        return texts

    def _close(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        import torch.distributed as dist

        if self._owns_group and dist.is_initialized():
            self.barrier()
            dist.destroy_process_group()


def _buckets(tensors: list[Any]) -> list[list[int]]:
    """Return the indices of tensors that go together: of one dtype, in order."""
    buckets: list[list[int]] = []
    bytes_left: dict[Any, int] = {}
    last: dict[Any, list[int]] = {}
    for i, tensor in enumerate(tensors):
        size = tensor.numel() * tensor.element_size()
        if tensor.dtype not in last or bytes_left[tensor.dtype] < size:
            last[tensor.dtype] = []
            bytes_left[tensor.dtype] = BUCKET_BYTES
            buckets.append(last[tensor.dtype])
        last[tensor.dtype].append(i)
        bytes_left[tensor.dtype] -= size
    return buckets
