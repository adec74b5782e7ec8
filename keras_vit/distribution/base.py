"""What training asks of the devices that share a batch."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np

from keras_vit.distribution.prepared import PreparedBatches, refusal
from keras_vit.distribution.processes import give_back_sigterm

entered: list[Distribution] = []


class Distribution:
    """Devices and processes that share a batch; this class stands for one device.

    Made by `keras_vit.distribute` and used as a scope: make, compile and train the
    model inside it. The order of a training run is

    1. `with distribute(...) as distribution:`
    2. `check_batch_size` and `check_same`, before any work;
    3. make and compile the model;
    4. `start(model)`, once after each `compile`; several replicas train no
       `TrainingModel` without it;
    5. `model.fit(distribution.prepare(batches))`, where `batches` are the slices of
       the global batches for process `process_id` of `num_processes`;
    6. write files if `is_main`, inside `writing()`.

    In several processes an exception that leaves the scope ends the process at once,
    so that the others notice it instead of waiting for ever.

    Attributes:
        kind: as passed to `distribute`, "auto" resolved.
        num_replicas: number of copies of the model that share a global batch.
        num_processes: number of processes.
        process_id: number of this process, from 0.
        is_main: whether this process writes files and prints.
    """

    kind = "single"
    num_replicas = 1
    num_processes = 1
    process_id = 0
    # Whether the counters of metrics are those of a replica alone until they are read.
    has_own_metrics = False
    # Whether replicas can share a last batch of any size.
    shares_uneven_batches = True

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.process_id == 0

    @property
    def num_parallel_steps(self) -> int:
        """Replicas that run the step side by side, each on its share of the batch.

        Each of them has masks of its own, so that a stopped run goes on with as many.
        """
        return self.num_replicas

    def describe(self) -> str:
        """Return one line about the devices for the start of a run."""
        return f"1 device ({keras.backend.backend()})"

    def __enter__(self) -> Distribution:
        self._open()
        entered.append(self)
        if self.num_processes > 1:
            give_back_sigterm()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        entered.remove(self)
        if error is not None and self.num_processes > 1:
            self._end_process(error)
        self._close(kind, error, trace)

    def check_batch_size(
        self,
        batch_size: int,
        accumulation_steps: int = 1,
        *,
        num_images: int | None = None,
    ) -> None:
        """Raise a ValueError unless the replicas can share a global batch.

        Args:
            batch_size: images of a global batch.
            accumulation_steps: micro-batches into which each replica cuts its share.
            num_images: of the set, which no batch exceeds. Default None: not known.
        """
        share = self.num_replicas * accumulation_steps
        if batch_size % share or batch_size < 1:
            steps = f" in {accumulation_steps} steps" if accumulation_steps > 1 else ""
            above = batch_size // share * share + share
            most = above if num_images is None else num_images
            near = [str(size) for size in (above - share, above) if 0 < size <= most]
            advice = f"Use {' or '.join(near)}" if near else "Use fewer of them"
            raise ValueError(
                f"batch_size must be a multiple of {share}, because "
                f"{self.num_replicas} replicas share a batch{steps}; received "
                f"batch_size={batch_size}. {advice}."
            )

    def check_weights(self, model: keras.Model) -> None:
        """Raise a ValueError unless the weights of a model lie on these devices."""
        _check_no_engine_by_hand(model)

    def check_arrays(self, loop: str, num_images: int, batch_size: int) -> None:
        """Raise a ValueError unless the replicas can share each batch of arrays.

        Args:
            loop: "fit", "evaluate" or "predict".
            num_images: of this process.
            batch_size: images of a batch of this process.
        """
        share = self.num_replicas // self.num_processes
        if self.shares_uneven_batches and loop == "predict":
            return
        sizes = [min(batch_size, num_images)]
        if not self.shares_uneven_batches and num_images > batch_size:
            sizes.append(num_images % batch_size)
        if any(size % share for size in sizes):
            raise ValueError(
                f"Each batch must be a multiple of {share}, because {share} replicas "
                f"share it, received batches of {' and '.join(map(str, sizes))} "
                f"images. Choose another batch_size than {batch_size}, and drop an "
                "incomplete last batch or fill it up with images of sample weight 0."
            )

    def check_same(self, value: Any, what: str) -> None:
        """Raise a ValueError on every process if they were given different values.

        Args:
            value: JSON value; the error names the keys of a dict that differ.
            what: what the value is, for the error, such as "configuration".
        """
        texts = self.exchange(json.dumps(value, sort_keys=True, default=str))
        if len(set(texts)) > 1:
            # None ends while another still reads; that one may fail here instead.
            with contextlib.suppress(Exception):
                self.barrier()
            raise ValueError(
                f"All processes must have the same {what}, received different ones: "
                f"{_differences(texts)}. Start each with the same command."
            )

    def start(self, model: Any) -> None:
        """Make a compiled `TrainingModel` ready for `fit` on these devices.

        Gives all replicas the same weights.

        Raises:
            TypeError: if the model is another one of Keras.
            ValueError: if this engine cannot train it: of where its weights lie, and
                what was compiled.
        """
        if not hasattr(model, "started_by"):
            raise refusal(f"{model.name!r}, a {type(model).__name__}")
        self.check_weights(model)
        if model.compiled:
            self._check_compiled(model)
        model.started_by = self

    def check_started(self, model: Any) -> None:
        """Raise a ValueError unless several replicas train a model that was started.

        Also if an engine was set without `distribute`, which is ignored, or wrong.
        """
        if self.num_replicas == 1:
            _check_no_engine_by_hand(model)
        elif model.started_by is not self:
            raise ValueError(
                f"{self.num_replicas} replicas train a model only after "
                f"distribution.start(model), received {model.name!r} without it. Call "
                "it after compile, before fit."
            )

    def prepare(self, batches: Any) -> Any:
        """Return what `fit` and `evaluate` of a `TrainingModel` take.

        Args:
            batches: `keras.utils.PyDataset` or `tf.data.Dataset` of the slices of
                this process.
        """
        return batches if self.num_replicas == 1 else PreparedBatches(batches)

    def reduce_gradients(self, gradients: list[Any]) -> list[Any]:
        """Return the gradients of the global batch from those of this replica.

        The optimizers of this package call it before they clip, and the loss scaling
        before it looks for overflow, so that both see the same values on each replica.

        Args:
            gradients: tensors or None, of the loss of this replica as Keras scales it.
        """
        return gradients

    def reduce_sum(self, value: Any) -> Any:
        """Return the sum of a scalar over the parallel steps, such as of images."""
        return value

    @property
    def loss_divisor(self) -> int:
        """What Keras divides a loss by, beside the number of images."""
        return 1

    def own_masks(self, model: keras.Model) -> AbstractContextManager[None]:
        """Return a scope in which the layers of a model draw masks of this replica.

        The seeds are the same on all replicas before and after it, and the first one
        draws what a single device draws.
        """
        return contextlib.nullcontext()

    def logs_of_step(self, logs: Any) -> Any:
        """Return what a step returns in the form in which Keras reduces it."""
        return logs

    def summed_metrics(self, model: keras.Model) -> AbstractContextManager[None]:
        """Return a scope in which the metrics of a model count for all processes."""
        return contextlib.nullcontext()

    def gather_outputs(self, outputs: Any) -> Any:
        """Return the outputs of all processes for a batch, in `predict`."""
        return outputs

    def exchange(self, text: str) -> list[str]:
        """Return the text of each process, in their order."""
        return [text]

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self.exchange("")

    def to_numpy(self, variable: Any) -> np.ndarray:
        """Return the whole value of a variable; call it on all processes."""
        return np.asarray(keras.ops.convert_to_numpy(variable))

    def local_values(self, variable: Any) -> np.ndarray:
        """Return what each replica of this process holds, (replicas, *shape)."""
        return self.to_numpy(variable)[None]

    def set_local_values(self, variable: Any, values: np.ndarray) -> None:
        """Give each replica of this process what it had, (replicas, *shape)."""
        variable.assign(values[0])

    @contextlib.contextmanager
    def writing(self) -> Iterator[bool]:
        """Give whether this process writes; at the end all wait for the file.

        >>> with keras_vit.distribute("single").writing() as is_writer:
        ...     print(is_writer)
        True
        """
        yield self.is_main
        self.barrier()

    def _check_compiled(self, model: keras.Model) -> None:
        """Raise a ValueError if the engine cannot do what was compiled."""

    def _open(self) -> None:
        """Make this distribution the one of the backend."""

    def _close(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Undo `_open`."""

    def _end_process(self, error: BaseException) -> None:
        # Peers wait in a collective for a process that unwinds its stack or waits for
        # them at its exit. Its closed sockets are what tells them.
        code: Any = 1
        if isinstance(error, SystemExit):
            # As Python does: no code is success, and a text is shown.
            code = 0 if error.code is None else error.code
            if str(error) not in ("", str(code)) or isinstance(code, str):
                print(error, file=sys.stderr)
            code = code if isinstance(code, int) else 1
        else:
            traceback.print_exception(error)
            print(
                f"Process {self.process_id} of {self.num_processes} ends. If its error "
                "is of a connection or a collective, look at what the process that "
                "ended first says, and whether all make the same model.",
                file=sys.stderr,
            )
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _check_no_engine_by_hand(model: Any) -> None:
    """Raise a ValueError if several devices were chosen past `keras_vit.distribute`."""
    backend = keras.backend.backend()
    if backend == "jax":
        return  # keras.distribution works there, whoever sets it.
    strategy = model.distribute_strategy if backend == "tensorflow" else None
    if keras.distribution.distribution() is not None:
        found = "keras.distribution, which Keras ignores on this backend"
    elif strategy is not None and strategy.num_replicas_in_sync > 1:
        found = f"the scope of a {type(strategy).__name__}"
    else:
        return
    raise ValueError(
        "Several devices are chosen by keras_vit.distribute, which repairs what Keras "
        f"does wrong on them, received {found}. Write with keras_vit.distribute(...): "
        "around model and training."
    )


def differing_keys(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the keys under which two dicts have different values, sorted."""
    return [k for k in sorted({*one, *other}) if one.get(k) != other.get(k)]


def _differences(texts: list[str]) -> str:
    values = [json.loads(text) for text in texts]
    if not all(isinstance(value, dict) for value in values):
        return ", ".join(f"{text} (process {i})" for i, text in enumerate(texts))
    first = values[0]
    for other, value in enumerate(values):
        keys = differing_keys(first, value)
        if keys:
            return "; ".join(
                f"{k}: {first.get(k)!r} (process 0), {value.get(k)!r} (process {other})"
                for k in keys[:5]
            )
    return "the order of keys"
