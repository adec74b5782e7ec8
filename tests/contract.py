"""What each public layer of keras_vit promises, checked in one call."""

from __future__ import annotations

import inspect
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

Make = Callable[..., keras.layers.Layer]
Shape = tuple[int | None, ...]


def check_layer(
    make: Make, input_shape: Shape | list[Shape], output_shape: Shape
) -> None:
    """Check the contract of one layer; `make(**kwargs)` passes on `name` and `dtype`.

    Layers that it hands over get that `dtype`, too, and the names of the arguments.

    Both shapes are those of a real batch; a list of shapes is for a layer that takes
    several tensors. The first axis of the first input is the batch, and an axis in
    front of the others, too, if it is as long.
    """
    shapes = input_shape if isinstance(input_shape, list) else [input_shape]
    check_shapes(make, shapes, output_shape)
    check_config(make)
    check_direct_build(make, shapes)
    check_round_trip(make, shapes)
    check_policy(make, shapes)
    check_sublayer_names(make)


def check_shapes(make: Make, input_shapes: list[Shape], output_shape: Shape) -> None:
    """Static shape, symbolic shape and real shape agree."""
    batch = input_shapes[0][0]
    unknown = [any_batch(shape, batch) for shape in input_shapes]
    expected = any_batch(output_shape, batch)
    symbols = [keras.Input(batch_shape=shape) for shape in unknown]
    assert _with_shapes(make().compute_output_shape, input_shapes) == output_shape
    assert _with_shapes(make().compute_output_shape, unknown) == expected
    assert tuple(make()(*symbols).shape) == expected
    assert tuple(make()(*examples(input_shapes)).shape) == output_shape


def check_scores(
    make: Make, input_shape: Shape | list[Shape], scores_shape: Shape
) -> np.ndarray:
    """Check `return_attention_scores` of a layer and return the scores.

    They come after the outputs, which stay the same, also in a functional model with
    an unknown batch, which can be saved.
    """
    shapes = input_shape if isinstance(input_shape, list) else [input_shape]
    batch, x = shapes[0][0], examples(shapes)
    inputs = [keras.Input(batch_shape=any_batch(shape, batch)) for shape in shapes]
    layer = make()
    symbols = layer(*inputs, return_attention_scores=True)
    set_random_weights(layer, scale=0.5)
    outputs, scores = layer(*x, return_attention_scores=True)
    expected = to_numpy(layer(*x))
    assert tuple(symbols[0].shape) == any_batch(expected.shape, batch)
    assert tuple(symbols[1].shape) == any_batch(scores_shape, batch)
    assert tuple(scores.shape) == scores_shape
    np.testing.assert_allclose(to_numpy(outputs), expected, atol=1e-5)
    model = keras.Model(inputs, symbols)
    clone = keras.Model.from_config(model.get_config())
    clone.set_weights(model.get_weights())
    for functional in (model, clone):
        found = functional(x)
        np.testing.assert_allclose(to_numpy(found[0]), expected, atol=1e-5)
        np.testing.assert_allclose(to_numpy(found[1]), to_numpy(scores), atol=1e-6)
    return to_numpy(scores)


def any_batch(shape: Shape, batch: int | None) -> Shape:
    """Return a shape with the axis of the batch unknown."""
    return (None, *shape[1:]) if shape[0] == batch else shape


def _with_shapes(function: Any, shapes: list[Shape]) -> Any:
    # As Keras does: a method with one parameter takes the shape of the first tensor.
    return function(*shapes[: len(inspect.signature(function).parameters)])


def examples(shapes: list[Shape]) -> list[np.ndarray]:
    """Return different inputs of these shapes."""
    return [example(shape, seed=i + 1) for i, shape in enumerate(shapes)]


def check_config(make: Make) -> None:
    """The config has the arguments of `__init__` and those of each Keras layer."""
    layer = make()
    parameters = inspect.signature(type(layer).__init__).parameters
    assert "kwargs" in parameters
    own = set(parameters) - {"self", "kwargs"}
    assert set(layer.get_config()) == own | {"name", "trainable", "dtype"}
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    json.dumps(layer.get_config())


def check_direct_build(make: Make, input_shapes: list[Shape]) -> None:
    """`layer.build(shape)` warns of nothing and builds all that a call builds."""
    direct, called = make(), make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _with_shapes(direct.build, input_shapes)
    called(*examples(input_shapes))
    assert direct.built
    assert all(sublayer.built for _, sublayer in sublayers(direct))
    assert [tuple(w.shape) for w in direct.weights] == [
        tuple(w.shape) for w in called.weights
    ]


def check_round_trip(make: Make, input_shapes: list[Shape]) -> None:
    """A saved model with the layer in it gives the same config and the same output."""
    batch = input_shapes[0][0]
    inputs = [keras.Input(batch_shape=any_batch(s, batch)) for s in input_shapes]
    layer = make(name="layer")
    model = keras.Model(inputs, layer(*inputs))
    set_random_weights(model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        loaded = keras.saving.load_model(path)
    assert loaded.get_layer("layer").get_config() == layer.get_config()
    x = examples(input_shapes)
    np.testing.assert_array_equal(to_numpy(loaded(x)), to_numpy(model(x)))


def check_policy(make: Make, input_shapes: list[Shape]) -> None:
    """A policy reaches each sublayer; the output is of its compute dtype."""
    layer = make(dtype="mixed_bfloat16")
    policies = {path: sub.dtype_policy.name for path, sub in sublayers(layer)}
    assert set(policies.values()) <= {"mixed_bfloat16"}, policies
    outputs = layer(*examples(input_shapes))
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    dtypes = {str(weight.dtype) for weight in layer.weights}
    assert dtypes <= {"float32"}


def check_sublayer_names(make: Make) -> None:
    """Each sublayer is called what the attribute is called that holds it."""
    layer = make()
    for path, sublayer in sublayers(layer):
        owner = layer
        for name in path.split("/"):
            owner = getattr(owner, name)
        assert owner is sublayer


def sublayers(
    layer: keras.layers.Layer, prefix: str = ""
) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Walk all sublayers, as (path, sublayer)."""
    for sublayer in layer._flatten_layers(include_self=False, recursive=False):
        yield prefix + sublayer.name, sublayer
        yield from sublayers(sublayer, f"{prefix}{sublayer.name}/")


def set_random_weights(layer: Any, *, seed: int = 0, scale: float = 0.1) -> None:
    """Replace all weights, because some start at zero and would hide mistakes.

    Scales stay near 1, so that activations stay of a usual size.
    """
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        values = rng.normal(scale=scale, size=tuple(weight.shape))
        weight.assign(values + 1 if weight.name == "gamma" else values)


def example(shape: Shape, *, seed: int = 1) -> np.ndarray:
    """Return normally distributed float32 inputs."""
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def to_numpy(x: Any) -> np.ndarray:
    """Return a tensor of any backend and dtype as float32 or float64."""
    if keras.backend.standardize_dtype(x.dtype) in ("float16", "bfloat16"):
        x = keras.ops.cast(x, "float32")
    return keras.ops.convert_to_numpy(x)
