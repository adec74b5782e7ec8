"""How much memory a training step needs, and how large a part of a batch fits.

Shapes: B batch, T tokens, D hidden, M of the MLP, h heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras

from keras_vit.data.prefetching import spare_cores
from keras_vit.keras_internals import rematerialization_of
from keras_vit.lora import has_lora
from keras_vit.training.free_memory import (
    FreeMemory,
    computes_on_cpu,
    free_device_memory,
    free_memory,
)
from keras_vit.training.recipe import Recipe

# Of what is free, for what is not foreseen.
_USED_SHARE = 0.9
# Images that should go through the model together, rather than that more threads than
# one make batches; and padding, as a share of a batch.
_FEWEST_AT_ONCE = 8
_MOST_PADDING = 1 / 16
_MIB = 2**20
_FLOAT_BYTES = 4


class _Costs(NamedTuple):
    """What a backend keeps, fitted to `benchmarks/training_memory.py`.

    Args:
        fixed: compiling, threads and buffers, bytes.
        width: values of width D per token and block, for the backward pass.
        mlp: of width M.
        scores: of width h T.
        passing: how many times what one block needs at a time is there.
        again_width: with rematerialization, values of width D per token and block.
        again_block: and how many times those of one block.
        half: size of the values in bfloat16 and float16, whose products and softmax
            are wider in part, as a share of those in float32.
    """

    fixed: float
    width: float
    mlp: float
    scores: float
    passing: float
    again_width: float
    again_block: float
    half: float


_COSTS = {
    "tensorflow": _Costs(120 * _MIB, 10.0, 4.9, 2.0, 1.0, 1.5, 1.5, 0.7),
    "jax": _Costs(200 * _MIB, 14.0, 4.6, 4.1, 1.5, 1.5, 1.5, 0.92),
    "torch": _Costs(120 * _MIB, 16.0, 1.4, 0.0, 2.2, 8.0, 2.0, 0.75),
}
# Vectors per trained weight that an optimizer keeps.
_SLOTS = {"adamw": 2, "lamb": 2, "sgd": 1, "adafactor": 0}


def step_bytes(
    model: Any,
    accumulation_steps: int,
    batch_size: int,
    size: tuple[int, int, int] | None = None,
) -> int | None:
    """Return what a step needs beside model, optimizer and one batch, bytes.

    None for a model of which that is not known: no ViT, for images of any size.

    Args:
        model: `TrainingModel`, prepared as it trains.
        accumulation_steps: micro-batches.
        batch_size: images of a step.
        size: of the images, (H, W, C). Default None: that of the model.
    """
    size = size or image_size(model)
    per_image = _image_bytes(model.model, size, training=True)
    if per_image is None:
        return None
    if model.distillation is not None:
        per_image += _image_bytes(model.distillation.teacher, size, training=False) or 0
    micro = -(-batch_size // accumulation_steps)
    trained = _FLOAT_BYTES * _count(model.trainable_weights)
    # torch adds to them where they are; the others have sums, parts and copies.
    is_summed = accumulation_steps > 1 and keras.backend.backend() != "torch"
    gradients = trained * (4 if is_summed else 1)
    return int(_costs().fixed + gradients + micro * per_image)


def inference_bytes(model: Any, batch_size: int) -> int | None:
    """Return what a batch of evaluation needs beside model and batch, bytes."""
    per_image = _image_bytes(model.model, image_size(model), training=False)
    return None if per_image is None else int(batch_size * per_image)


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """How a run shares its batches out so that they fit.

    Args:
        accumulation_steps: micro-batches of a step.
        images_at_once: of a micro-batch, and of a batch of evaluation.
        workers: threads that make batches ahead; None: as many as usual.
        needed: bytes beside what is there already; None: not known.
        needed_whole: the same for the batches of the recipe.
        free: what is free; None: not known.
    """

    accumulation_steps: int
    images_at_once: int
    workers: int | None = None
    needed: int | None = None
    needed_whole: int | None = None
    free: FreeMemory | None = None

    def text(self, recipe: Recipe) -> str | None:
        """Return one line for people, None if nothing is known."""
        if self.needed is None:
            return None
        line = f"about {in_words(self.needed)}"
        if self.free is not None:
            free, place = self.free
            line += f" of the {in_words(free)} that are free ({place})"
        if self.accumulation_steps != recipe.accumulation_steps:
            line += (
                f"; a step takes {self.images_at_once:,} images at a time, "
                f"{self.accumulation_steps} times, with the result of one step, as "
                f"all at once need {in_words(self.needed_whole or 0)}"
            )
        if self.workers is not None:
            line += "; one thread alone makes batches ahead"
        return line


def memory_plan(
    model: Any,
    recipe: Recipe,
    *,
    batch_size: int,
    batches_per_epoch: int,
    has_validation: bool,
    replicas: int = 1,
    stored: int | None = None,
    refuses: bool = True,
) -> MemoryPlan:
    """Choose how many micro-batches a step has: as few as fit, the recipe's at least.

    Args:
        model: `TrainingModel`, prepared as it trains, not compiled yet.
        recipe: to train it with.
        batch_size: images of a step, of this process.
        batches_per_epoch: of training; no more are made ahead.
        has_validation: whether a part is evaluated after each epoch.
        replicas: of this process, which share its batch.
        stored: micro-batches of the run that goes on, which it keeps. Default None.
        refuses: whether what does not fit is an error. Default True.

    Raises:
        ValueError: if not even one image at a time fits.
    """
    device, host = free_device_memory(), free_memory()
    on_cpu = computes_on_cpu()
    share = batch_size if on_cpu else batch_size // replicas  # of what is free
    free = host if on_cpu else device
    lowest = recipe.accumulation_steps
    steps = [
        n
        for n in range(lowest, batch_size + 1)
        if _divides(replicas * n, batch_size, fills_up=replicas == 1)
    ]
    steps = [stored] if stored is not None else steps or [lowest]
    if lowest not in steps and stored is None:
        steps.insert(0, lowest)

    def plan(number: int, workers: int | None) -> MemoryPlan:
        at_once = -(-batch_size // number)
        whole = number == recipe.accumulation_steps
        evaluated = min(recipe.batch_size, batch_size) if whole else at_once
        evaluated *= has_validation
        # Those that threads make, those that wait, and those that the step has.
        ahead = min((workers or spare_cores()) + 1, batches_per_epoch) + 2
        needs = [
            _needed(model, recipe, share, n, images, ahead, on_cpu)
            for n, images in (
                (number, evaluated),
                (recipe.accumulation_steps, recipe.batch_size),
            )
        ]
        return MemoryPlan(
            accumulation_steps=number,
            images_at_once=at_once,
            workers=workers,
            needed=needs[0],
            needed_whole=needs[1],
            free=free,
        )

    plans = [
        plan(number, workers)
        for workers, fewest in ((None, _FEWEST_AT_ONCE), (1, 1))
        for number in steps
        if batch_size // number >= min(fewest, batch_size // steps[0])
    ]
    if plans[0].needed is None or free is None:
        return plans[0]
    budget = _USED_SHARE * free.num_bytes
    fitting = [p for p in plans if p.needed is not None and p.needed <= budget]
    if fitting:
        return fitting[0]
    if stored is not None or not refuses:
        return plans[-1]  # A run that fitted once goes on.
    least = plans[-1]
    at_once = (
        "one image" if least.images_at_once == 1 else (f"{least.images_at_once} images")
    )
    raise ValueError(
        f"Training must fit into the memory that is free: {at_once} at a time of "
        f"{_size(model)} needs about {in_words(least.needed or 0)}, received "
        f"{in_words(free.num_bytes)} ({free.place}). Use a smaller image_size, a "
        "smaller model or batch_size, recipe 'linear_probe' or 'lora', "
        "rematerialization='full', or a machine with more memory."
    )


def check_copy(model: Any) -> None:
    """Raise a ValueError if a second copy of the weights of a model does not fit."""
    free = free_memory() if computes_on_cpu() else free_device_memory()
    size = _bytes(model.weights)
    if free is not None and size > free.num_bytes:
        raise ValueError(
            f"Training makes a copy of the model, {in_words(size)}, received "
            f"{in_words(free.num_bytes)} of free memory ({free.place}). Use a smaller "
            "model, or a machine with more memory."
        )


def in_words(num_bytes: float) -> str:
    """Return a size as people say it, such as "3.2 GB"."""
    if num_bytes < 1e6:
        return f"{round(num_bytes / 1e3)} kB"
    if num_bytes < 1e9:
        return f"{round(num_bytes / 1e6)} MB"
    return f"{num_bytes / 1e9:.{1 if num_bytes < 1e11 else 0}f} GB"


def _needed(
    model: Any,
    recipe: Recipe,
    batch_size: int,
    steps: int,
    evaluated: int,
    ahead: int,
    on_cpu: bool,
) -> int | None:
    size = largest_size(model, recipe)
    step = step_bytes(model, steps, batch_size, size)
    if step is None:
        return None
    trained = _FLOAT_BYTES * _count(model.trainable_weights)
    slots = _SLOTS[recipe.optimizer_name] + (recipe.ema_decay is not None)
    # Afterwards a copy of the weights is written to the file of the best epoch.
    kept = slots * trained + _bytes(model.weights)
    image = _FLOAT_BYTES * math.prod(size) if size else 0
    if not on_cpu:
        return int(kept + step + 2 * batch_size * image)
    evaluation = inference_bytes(model, evaluated) or 0
    return int(kept + max(step, evaluation) + ahead * batch_size * image)


def _divides(number: int, batch_size: int, *, fills_up: bool) -> bool:
    """Return whether a batch can be cut into so many parts.

    One device fills the last ones up with padding, which may cost a little.
    """
    rest = -batch_size % number
    return rest == 0 or (fills_up and rest <= _MOST_PADDING * batch_size)


def largest_size(model: Any, recipe: Recipe) -> tuple[int, int, int] | None:
    """Return the largest (H, W, C) of a run, None if nothing says."""
    size = image_size(model)
    if size is None or not recipe.image_sizes:
        return size
    side = max(pixels for _, pixels in recipe.image_sizes)
    return max(size[0], side), max(size[1], side), size[2]


def image_size(model: Any) -> tuple[int, int, int] | None:
    """Return the (H, W, C) of the images of a model, None if nothing says."""
    height, width, channels = model.input_shape[1:]
    if height is None:
        preprocessing = model.preprocessing
        if preprocessing is None:
            return None
        height, width = preprocessing.image_size
    return height, width, channels


def _image_bytes(
    inner: Any, size: tuple[int, int, int] | None, *, training: bool
) -> float | None:
    """Return what one image of a batch needs inside a model, bytes."""
    if size is None:
        return None
    config = getattr(inner, "config", None)
    if config is None:
        return _bytes_of_layers(inner, size, training=training)
    config = config.changed(image_size=size[:2])
    item = keras.backend.standardize_dtype(inner.compute_dtype)
    costs = _costs()
    share = costs.half if item in ("float16", "bfloat16") else 1.0
    item_bytes, tokens = _FLOAT_BYTES * share, config.num_tokens
    mlp = config.mlp_dim * (1.9 if config.mlp == "gated" else 1.0)
    scores = config.num_heads * tokens
    width = config.hidden_dim
    # What one block needs at a time, whether it trains or not.
    passing = costs.passing * max(2 * width + 2 * mlp, 5 * width + 2 * scores)
    if not training:
        return tokens * item_bytes * passing
    kept = costs.width * width + costs.mlp * mlp + costs.scores * scores
    blocks = config.num_layers - _first_trained(inner, config.num_layers)
    mode = rematerialization(inner)
    if mode == "full":
        # Inputs of all blocks; one is computed again and goes backward.
        again = blocks * costs.again_width * width + costs.again_block * kept
        values = min(again, blocks * kept)
    elif mode == "activations":
        values = blocks * (kept - mlp)
    else:
        values = blocks * kept
    if has_lora(inner):
        values *= _LORA_SHARE
    return tokens * item_bytes * max(values, passing)


# LoRA needs no inputs of the matrices whose own weights are frozen.
_LORA_SHARE = 0.85


def _bytes_of_layers(model: Any, size: Any, *, training: bool) -> float | None:
    """Return an estimate for any functional model: its layers' outputs, twice.

    Once as they are and once for what is computed on the way.
    """
    shapes = [shape for layer in model.layers for shape in _output_shapes(layer)]
    if any(None in shape[1:] for shape in shapes):
        return None
    sizes = [_FLOAT_BYTES * math.prod(shape[1:]) for shape in shapes]
    first = next((i for i, x in enumerate(model.layers) if x.trainable_weights), 0)
    kept = sizes if not training else sizes[first:]
    return 2.0 * (sum(kept) if training else 4 * max(sizes, default=0))


def _output_shapes(layer: Any) -> list[tuple]:
    inner = getattr(layer, "layers", None)
    if inner and isinstance(layer, keras.Model):
        return [shape for part in inner for shape in _output_shapes(part)]
    try:
        outputs = layer.output
    except (AttributeError, ValueError, RuntimeError):
        return []
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [tuple(output.shape) for output in outputs if hasattr(output, "shape")]


def _first_trained(model: Any, num_blocks: int) -> int:
    """Return the first block through which gradients go; `num_blocks` for none."""
    for layer in model.layers:
        if layer.trainable_weights:
            name = layer.name
            if name.startswith("block_"):
                return int(name.removeprefix("block_"))
            before = model.layers[: model.layers.index(layer)]
            is_after = any(x.name == f"block_{num_blocks - 1}" for x in before)
            return num_blocks if is_after else 0
    return num_blocks


def trained_share(model: Any) -> float:
    """Return the share of a model through which gradients go, 0 for the head alone."""
    config = getattr(model, "config", None)
    if config is None:
        return 1.0
    blocks = config.num_layers
    return (blocks - _first_trained(model, blocks)) / blocks


def rematerialization(model: Any) -> str | None:
    """Return "full", "activations" or None."""
    if keras.backend.backend() == "jax" and computes_on_cpu():
        return None  # XLA for processors computes nothing again, and keeps all.
    mode: Any = rematerialization_of(model)
    if mode.mode == "list_of_layers":
        return "full"
    return mode.mode


def _costs() -> _Costs:
    costs = _COSTS[keras.backend.backend()]
    if keras.backend.backend() == "jax" and not computes_on_cpu():
        # One op, which keeps no scores; and nothing is wider than asked for.
        return costs._replace(scores=0.0, half=0.6)
    return costs


def _size(model: Any) -> str:
    size = image_size(model)
    return "images" if size is None else f"{size[0]} x {size[1]} pixels"


def _count(weights: Any) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _bytes(weights: Any) -> int:
    sizes = {"float16": 2, "bfloat16": 2, "int8": 1, "uint8": 1}
    return sum(
        math.prod(weight.shape) * sizes.get(str(weight.dtype), _FLOAT_BYTES)
        for weight in weights
    )
