"""How arrays of a foreign format stand for weights of ours, in both directions.

Each format is a list of entries. Reading asks each entry for a weight, writing for its
arrays, so that a format is written down once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Layout:
    """How one array is laid out.

    Args:
        load: from the foreign array to ours.
        store: back.
    """

    load: Callable[[np.ndarray], np.ndarray]
    store: Callable[[np.ndarray], np.ndarray]


SAME = Layout(lambda x: x, lambda x: x)
# torch stores (out, in), Keras (in, out).
LINEAR = Layout(lambda x: x.T, lambda x: np.ascontiguousarray(x.T))


def patch_kernel(patch_size: tuple[int, int], channels: int) -> Layout:
    """Return torch's (D, C, P, P) against ours, (P * P * C, D).

    A kernel for other patches stays, for the error that lists it.
    """

    def load(kernel: np.ndarray) -> np.ndarray:
        if kernel.shape[1:] != (channels, *patch_size):
            return kernel
        return kernel.transpose(2, 3, 1, 0).reshape(-1, kernel.shape[0])

    def store(kernel: np.ndarray) -> np.ndarray:
        kernel = kernel.reshape(*patch_size, channels, kernel.shape[-1])
        return np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))

    return Layout(load, store)


def flat_patch_kernel(patch_size: tuple[int, int], channels: int) -> Layout:
    """Return a linear layer's (D, C * P * P) against ours, (P * P * C, D)."""
    layout = patch_kernel(patch_size, channels)

    def load(kernel: np.ndarray) -> np.ndarray:
        if kernel.shape[1:] != (channels * patch_size[0] * patch_size[1],):
            return kernel
        return layout.load(kernel.reshape(-1, channels, *patch_size))

    def store(kernel: np.ndarray) -> np.ndarray:
        return layout.store(kernel).reshape(kernel.shape[-1], -1)

    return Layout(load, store)


def reshaped(ours: tuple[int, ...], theirs: tuple[int, ...]) -> Layout:
    """Return the same values in the same order in another shape.

    An array that is not of their shape stays, for the error that lists it.
    """

    def load(array: np.ndarray) -> np.ndarray:
        return array.reshape(ours) if array.shape == theirs else array

    return Layout(load, lambda array: array.reshape(theirs))


def layer_slice(layer: int, axis: int) -> Layout:
    """Return one layer of an array that holds all layers along `axis`."""
    return Layout(
        lambda x: np.take(x, layer, axis=axis), lambda x: np.expand_dims(x, axis)
    )


@dataclass(frozen=True)
class Entry:
    """One weight and the arrays that hold it.

    Args:
        weight: path of the weight, such as "block_0/attention/qkv/kernel".
        names: of the arrays. Several are parts of the weight, in a row along `axis`.
        layout: of each array.
        axis: of our weight, along which parts follow each other.
        widths: of the parts along that axis; for writing, needed for several.
        shared_axis: axis of the array along which it holds other weights, too.
    """

    weight: str
    names: tuple[str, ...]
    layout: Layout = SAME
    axis: int = -1
    widths: tuple[int, ...] = ()
    shared_axis: int | None = None

    def load(self, arrays: Arrays) -> np.ndarray:
        """Return the weight."""
        parts = [self.layout.load(np.asarray(arrays[name])) for name in self.names]
        if len(parts) == 1:
            return parts[0]
        try:
            return np.concatenate(parts, axis=self.axis)
        except ValueError as error:
            shapes = [f"{n} {arrays[n].shape}" for n in self.names]
            raise ValueError(
                f"The parts of {self.weight!r} must have the same shape apart from one "
                f"axis, received {_listed(shapes)}. Check that the files are complete "
                "and the configuration is that of the weights."
            ) from error

    def store(self, weight: np.ndarray) -> dict[str, np.ndarray]:
        """Return the arrays."""
        parts = [weight]
        if len(self.names) > 1:
            parts = np.split(weight, np.cumsum(self.widths)[:-1], axis=self.axis)
        return {
            name: np.ascontiguousarray(self.layout.store(part))
            for name, part in zip(self.names, parts, strict=True)
        }


def read_values(
    model: Any,
    entries: Iterable[Entry],
    arrays: Arrays,
    *,
    source: str,
    is_ignored: Callable[[str], bool] = lambda name: False,
    convert: Callable[[str, np.ndarray], np.ndarray] = lambda path, x: x,
    is_new: Callable[[str], bool] = lambda path: False,
) -> dict[str, np.ndarray]:
    """Return the value of each weight of a model by its path, each array used once.

    Args:
        model: a built model; its weights need no values yet.
        entries: of the format.
        arrays: what was read.
        source: for messages.
        is_ignored: tells names of arrays that are left out on purpose.
        convert: from path and value of a weight to its new value, such as a resampled
            one.
        is_new: tells paths of weights that keep their first value, such as a new head.

    Raises:
        ValueError: if an array is missing, left over or of another shape; the message
            lists them.
    """
    weights = {weight.path: weight for weight in model.weights}
    entries = [entry for entry in entries if entry.weight in weights]
    given, needed = set(arrays), {n for entry in entries for n in entry.names}
    missing = sorted(
        name
        for entry in entries
        for name in entry.names
        if name not in given and not is_new(entry.weight)
    )
    filled = {entry.weight for entry in entries}
    unset = sorted(
        path
        for path in weights
        if path not in filled and not is_new(path) and "seed_generator" not in path
    )
    unused = sorted(name for name in given - needed if not is_ignored(name))
    if missing or unused or unset:
        raise ValueError(
            f"{source!r} does not match the model: "
            + "; ".join(
                f"{len(names)} {what}: {_listed(names)}"
                for what, names in (
                    ("arrays are missing", missing),
                    ("arrays are left over", unused),
                    ("weights have no array", unset),
                )
                if names
            )
            + ". Check that the configuration is that of the weights."
        )
    values = {
        entry.weight: convert(entry.weight, entry.load(arrays))
        for entry in entries
        if not is_new(entry.weight)
    }
    wrong = [
        f"{path} {tuple(weights[path].shape)} from {tuple(value.shape)}"
        for path, value in values.items()
        if tuple(value.shape) != tuple(weights[path].shape)
    ]
    if wrong:
        raise ValueError(
            f"{source!r} does not match the model: {len(wrong)} shapes differ: "
            f"{_listed(wrong)}. Check that the configuration is that of the weights."
        )
    return values


def store(model: Any, entries: Iterable[Entry]) -> dict[str, np.ndarray]:
    """Return the arrays of a model in a foreign format."""
    import keras

    weights = {weight.path: weight for weight in model.weights}
    arrays: dict[str, np.ndarray] = {}
    used = set()
    for entry in entries:
        if entry.weight in weights:
            value = keras.ops.convert_to_numpy(weights[entry.weight].value)
            for name, array in entry.store(np.asarray(value)).items():
                if name in arrays and entry.shared_axis is not None:
                    array = np.concatenate([arrays[name], array], entry.shared_axis)
                arrays[name] = array
            used.add(entry.weight)
    left = sorted(path for path in weights if path not in used)
    left = [path for path in left if "seed_generator" not in path]
    if left:
        raise ValueError(
            f"The format has no place for {len(left)} weights: {_listed(left)}."
        )
    return arrays


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f", … ({len(names)})" if len(names) > 8 else "")
