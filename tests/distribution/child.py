"""Run in a process of its own: one rank of one engine, results in a JSON file.

Usage: python child.py TASK RANK NUM_PROCESSES PORTS OUTPUT. The tests start it, because
logical devices and process groups can be made only once in a process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_vit
from keras_vit import training
from keras_vit.distribution.masks import seed_states

BACKEND = keras.backend.backend()
BATCH, BATCHES = 16, 4
EPOCHS = int(os.environ.get("EPOCHS", "2"))


class Slices(keras.utils.PyDataset):
    """The slice of one process of each global batch; the last one is padded."""

    def __init__(self, rank: int, count: int, *, padded: int = 0) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        shape = (BATCH * BATCHES, 16, 16, 3)
        self.images = rng.normal(size=shape).astype("float32")
        self.labels = rng.integers(0, 4, BATCH * BATCHES)
        self.weights = np.ones(BATCH * BATCHES, "float32")
        self.padded = padded
        if padded:
            self.images[-padded:] = 0
            self.weights[-padded:] = 0
        self.rank, self.share = rank, BATCH // count

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        first = index * BATCH + self.rank * self.share
        rows = slice(first, first + self.share)
        batch = (self.images[rows], self.labels[rows])
        return (*batch, self.weights[rows]) if self.padded else batch


def make_model(dropout_rate: float = 0.0) -> keras_vit.ViT:
    keras.utils.set_random_seed(0)
    return keras_vit.ViT.from_variant(
        "test",
        **{"num_classes": 4, "num_layers": 1, "hidden_dim": 16, "mlp_dim": 32},
        image_size=(16, 16),
        dropout_rate=dropout_rate,
    )


def compiled(model: Any, name: str) -> training.TrainingModel:
    if name == "sgd":
        optimizer: Any = training.SGD(0.05, momentum=0.9)
        trained = training.TrainingModel(model)
    else:
        optimizer = training.AdamW(
            *(1e-3,), weight_decay=0.05, global_clipnorm=0.2, use_ema=True
        )
        trained = training.TrainingModel(model, accumulation_steps=2)
    trained.compile(optimizer, training.CrossEntropy(), metrics=["accuracy"])
    return trained


def fit(distribution: Any, name: str) -> dict[str, Any]:
    """Train on all batches and evaluate with padding."""
    rank, count = distribution.process_id, distribution.num_processes
    trained = compiled(make_model(), name)
    distribution.start(trained)
    batches = distribution.prepare(Slices(rank, count))
    history = trained.fit(batches, epochs=EPOCHS, shuffle=False, verbose=0).history
    padded = distribution.prepare(Slices(rank, count, padded=5))
    logs = trained.evaluate(padded, return_dict=True, verbose=0)
    weights = [distribution.to_numpy(v) for v in trained.trainable_variables]
    outputs = trained.predict(distribution.prepare(Slices(rank, count)), verbose=0)
    return {
        "history": history,
        "predicted": outputs.tolist(),
        "evaluated": logs,
        "weights": np.concatenate([w.ravel() for w in weights]).tolist(),
    }


def masks(distribution: Any) -> list[list[float]]:
    """Return what a dropout layer of the model lets through, by replica."""
    trained = compiled(make_model(dropout_rate=0.5), "sgd")
    distribution.start(trained)
    dropout = trained.get_layer("block_0").mlp.expand_dropout
    ones = np.ones((BATCH // distribution.num_processes, 8), "float32")
    if BACKEND == "tensorflow" and distribution.kind != "single":
        import tensorflow as tf

        def draw() -> Any:
            with distribution.own_masks(trained):
                return dropout(keras.ops.ones((8, 8)), training=True)

        values = tf.function(lambda: distribution.strategy.run(draw))()
        results = distribution.strategy.experimental_local_results(values)
        return [result.numpy().ravel().tolist() for result in results]
    if BACKEND == "jax" and distribution.kind != "single":
        import jax

        layout = distribution.engine.get_data_layout(ones.shape).backend_layout
        seen = jax.jit(
            lambda seed, x: dropout.stateless_call([], [seed], x, training=True)[0]
        )(
            dropout.non_trainable_variables[0].value,
            jax.make_array_from_process_local_data(layout, ones),
        )
        return [
            np.asarray(part.data).ravel().tolist() for part in seen.addressable_shards
        ]
    with distribution.own_masks(trained):
        seen = keras.ops.convert_to_numpy(dropout(ones, training=True))
    return [part.ravel().tolist() for part in np.split(seen, max(1, len(seen) // 8))]


def seeds(distribution: Any) -> list[list[int]]:
    """Return the states of the seed generators after training, by replica."""
    trained = compiled(make_model(dropout_rate=0.5), "sgd")
    distribution.start(trained)
    batches = Slices(distribution.process_id, distribution.num_processes)
    trained.fit(distribution.prepare(batches), verbose=0, shuffle=False)
    replicas: list[list[int]] = []
    for state in seed_states(trained):
        parts = [state.value]
        if distribution.kind in ("mirrored", "multi_worker"):
            parts = distribution.strategy.experimental_local_results(state.value)
        elif BACKEND == "jax" and distribution.kind != "single":
            parts = [part.data for part in state.value.addressable_shards]
        replicas = replicas or [[] for _ in parts]
        for replica, part in zip(replicas, parts, strict=True):
            replica += keras.ops.convert_to_numpy(part).tolist()
    return replicas


def overflow(distribution: Any) -> dict[str, Any]:
    """Train one step with an image on the last replica that overflows float16."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        trained = compiled(make_model(), "sgd")
    finally:
        keras.config.set_dtype_policy("float32")
    distribution.start(trained)
    batches = Slices(distribution.process_id, distribution.num_processes)
    batches.images[BATCH - 1] = 1e6
    before = [distribution.to_numpy(v) for v in trained.trainable_variables]
    steps = []
    for _ in range(2):
        trained.fit(
            distribution.prepare(batches), steps_per_epoch=1, verbose=0, shuffle=False
        )
        after = [distribution.to_numpy(v) for v in trained.trainable_variables]
        same = all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
        finite = all(np.isfinite(a).all() for a in after)
        iterations = int(trained.optimizer.inner_optimizer.iterations.numpy())
        steps.append([same, finite, iterations])
        batches.images[BATCH - 1] = 0
    return {"planted": steps[0], "without": steps[1]}


def error_of(function: Any) -> str:
    """Return type and message of what a function raises, and how long it took."""
    started = time.perf_counter()
    try:
        function()
    except Exception as error:
        seconds = time.perf_counter() - started
        return f"{type(error).__name__}: {error} [{seconds:.0f} s]"
    return "no error"


def start_error(distribution: Any, optimizer: Any, **options: Any) -> str:
    def start() -> None:
        trained = training.TrainingModel(make_model())
        trained.compile(optimizer, training.CrossEntropy(), **options)
        distribution.start(trained)

    return error_of(start)


def plain_model_errors(distribution: Any) -> list[str]:
    """Return the errors for a model that is no `TrainingModel`."""
    model: Any = make_model()
    model.compile(training.SGD(), training.CrossEntropy())
    batches = Slices(distribution.process_id, distribution.num_processes)
    return [
        error_of(lambda: distribution.start(model)),
        error_of(lambda: model.fit(distribution.prepare(batches), verbose=0)),
    ]


def by_hand(strategy: Any) -> list[float]:
    """Train with an optimizer of this package under a strategy without `distribute`."""
    with strategy.scope():
        model: Any = make_model()
        clipping = training.SGD(0.05, global_clipnorm=0.2)
        model.compile(clipping, training.CrossEntropy())
        batches = Slices(0, 1)
        model.fit(batches.images, batches.labels, BATCH, verbose=0, shuffle=False)
    weights = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    return np.concatenate([w.ravel() for w in weights]).tolist()


def refusals(distribution: Any, outside: Any) -> dict[str, str]:
    """Return the errors of models that an engine refuses."""
    found = {"outside": error_of(lambda: distribution.start(outside))}

    trained = compiled(make_model(), "sgd")
    distribution.start(trained)
    images, labels = np.zeros((BATCH, 16, 16, 3)), np.zeros(BATCH)
    found["odd batch"] = error_of(lambda: trained.fit(images, labels, batch_size=15))
    if BACKEND == "tensorflow":
        stock, start = keras.optimizers.SGD, partial(start_error, distribution)
        found["jit"] = start(training.SGD(), jit_compile=True)
        found["accumulation"] = start(stock(gradient_accumulation_steps=2))
        found["overwrite"] = start(stock(use_ema=True, ema_overwrite_frequency=2))
        found["clipping"] = start(stock(global_clipnorm=1.0))
        found["scaling"] = start(keras.optimizers.LossScaleOptimizer(training.SGD()))
    return found


def several_devices(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    """Everything of an engine with several devices in one process."""
    distribution: Any = keras_vit.distribute(kind, **options)
    results: dict[str, Any] = {}
    outside = compiled(make_model(), "sgd")
    if kind != "model_parallel":
        results["single"] = one_device()
    with distribution:
        results["described"] = distribution.describe()
        for name in ("sgd", "adamw"):
            results[name] = fit(distribution, name)
        results["masks"] = masks(distribution)
        results["seeds"] = seeds(distribution)
        results["plain"] = plain_model_errors(distribution)
        results["refusals"] = refusals(distribution, outside)
        if BACKEND == "tensorflow":
            results["overflow"] = overflow(distribution)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        strategies = [distribution.strategy, tf.distribute.get_strategy()]
        results["by hand"] = [by_hand(strategy) for strategy in strategies]
    return results


def one_device() -> dict[str, Any]:
    """What the engines are compared with."""
    with keras_vit.distribute("single") as single:
        results = {name: fit(single, name) for name in ("sgd", "adamw")}
        return {**results, "masks": masks(single), "seeds": seeds(single)}


def process(
    kind: str, rank: int, count: int, coordinator: str, file: Path
) -> dict[str, Any]:
    """Everything of an engine with one device in each of several processes."""
    distribution = keras_vit.distribute(
        kind, coordinator=coordinator, num_processes=count, process_id=rank
    )
    results: dict[str, Any] = {}
    with distribution:
        for name in ("sgd", "adamw"):
            results[name] = fit(distribution, name)
        results["masks"] = masks(distribution)
        results["seeds"] = seeds(distribution)
        results["plain"] = plain_model_errors(distribution)
        results["exchanged"] = distribution.exchange(str(rank) * (rank + 1) * 5000)
        results["not started"] = error_of(
            lambda: compiled(make_model(), "sgd").fit(
                distribution.prepare(Slices(rank, count)), verbose=0
            )
        )
        results["same"] = error_of(lambda: distribution.check_same({"a": 1}, "x"))
        stock = keras.optimizers.SGD()
        results["stock"] = start_error(distribution, stock)
        configuration = {"model": "B/16", "seed": rank}
        results["different"] = error_of(
            lambda: distribution.check_same(configuration, "configuration")
        )
        model = compiled(make_model(), "sgd").model
        with distribution.writing() as is_writer:
            results["writer"] = is_writer
            if is_writer:
                model.save(file)
        results["file seen"] = file.is_file()
        if BACKEND != "jax":  # whose CPU code has no float16
            results["overflow"] = overflow(distribution)
        expected = [distribution.to_numpy(v) for v in model.variables]
    loaded = keras.models.load_model(file)
    results["loaded"] = all(
        np.array_equal(value, keras.ops.convert_to_numpy(variable))
        for value, variable in zip(expected, loaded.variables, strict=True)
    )
    return results


def dying(kind: str, rank: int, count: int, coordinator: str, how: str) -> None:
    """Train for ever; one process is killed, or fails, in its third epoch."""
    victim = 0 if how == "main killed" else count - 1
    distribution = keras_vit.distribute(
        kind, coordinator=coordinator, num_processes=count, process_id=rank
    )

    class Dying(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2 and rank == victim:
                print(f"dying at {time.time()}", flush=True)
                if how != "failed":
                    os.kill(os.getpid(), 9)
                raise ValueError("planted")

    with distribution:
        trained = compiled(make_model(), "sgd")
        distribution.start(trained)
        batches = distribution.prepare(Slices(rank, count))
        trained.fit(
            batches, epochs=10**6, callbacks=[Dying()], verbose=0, shuffle=False
        )


def main() -> None:
    task, rank, count, ports, output = sys.argv[1:]
    coordinator = ",".join(f"127.0.0.1:{port}" for port in ports.split(","))
    several = "multi_worker" if BACKEND == "tensorflow" else "data_parallel"
    if task == "mirrored":
        results = several_devices("mirrored", {"devices": 2})
    elif task == "data_parallel":
        results = several_devices("data_parallel", {})
    elif task == "model_parallel":
        results = several_devices("model_parallel", {"model_devices": 2})
    elif task == "processes":
        file = Path(output).parent / f"{BACKEND}.keras"
        results = process(several, int(rank), int(count), coordinator, file)
    elif task == "single":
        results = {"single": one_device()}
    else:
        dying(several, int(rank), int(count), coordinator, task)
        results = {}
    Path(output).write_text(json.dumps(results))


if __name__ == "__main__":
    main()
