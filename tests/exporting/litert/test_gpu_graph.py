"""LiteRT graphs are changed for GPUs, and compute bit for bit the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_vit.exporting.litert import gpu_graph
from keras_vit.exporting.litert.graph import read_ops
from tests.one_backend import ONE_BACKEND

pytestmark = ONE_BACKEND

TOKENS = (1, 5, 8)
RNG = np.random.default_rng(0)
SQUARE, WIDE = RNG.normal(size=(8, 8)), RNG.normal(size=(8, 24))
TABLE = RNG.normal(size=(5, 8))


def write(path: Path, function: Callable[[Any], Any]) -> None:
    """Write a function of tokens as TensorFlow's converter does."""
    import tensorflow as tf

    spec = tf.TensorSpec(TOKENS, tf.float32)
    traced = tf.function(function).get_concrete_function(spec)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced])
    path.write_bytes(converter.convert())


def run(path: Path) -> list[np.ndarray]:
    from keras_vit.exporting.litert.float_file import make_interpreter

    interpreter = make_interpreter(path)
    tokens = np.random.default_rng(1).normal(size=TOKENS).astype("float32")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], tokens)
    interpreter.invoke()
    return [
        interpreter.get_tensor(output["index"])
        for output in interpreter.get_output_details()
    ]


def flat_tensors(path: Path) -> list[str]:
    """Return the kinds of the ops that give (T, D)."""
    return [
        op.kind
        for op in read_ops(path)
        if len(op.outputs[0].shape) == 2 and op.outputs[0].shape[0] > 1
    ]


def list_kinds(path: Path) -> list[str]:
    return [op.kind for op in read_ops(path)]


def attention(x):
    import tensorflow as tf

    flat = tf.matmul(tf.reshape(x, (5, 8)), WIDE.astype("float32"))
    query, key, value = tf.split(flat, 3, axis=1)
    return tf.reshape(query * 0.5 + key * value, TOKENS) + x


def mlp(x):
    import tensorflow as tf

    y = tf.matmul(tf.reshape(x, (5, 8)), SQUARE.astype("float32")) + TABLE
    y = tf.nn.gelu(y) - tf.reduce_mean(y, axis=1, keepdims=True)
    y = tf.concat([tf.nn.softmax(y), y], axis=1)
    return tf.reshape(tf.matmul(y, WIDE.reshape(16, 12).astype("float32")), (1, 5, 12))


def turned(x):
    import tensorflow as tf

    y = tf.transpose(tf.reshape(x, (5, 8)))  # (8, 5)
    y = tf.matmul(y, SQUARE[:5, :5].astype("float32"))
    return tf.transpose(y) + x


@pytest.mark.parametrize("function", [attention, mlp])
def test_tokens_keep_the_axis_of_the_batch(tmp_path, function):
    path = tmp_path / "model.tflite"
    write(path, function)
    expected, num_ops = run(path), len(read_ops(path))
    assert flat_tensors(path)
    gpu_graph.suit_gpus(path)
    assert not flat_tensors(path)
    assert len(read_ops(path)) <= num_ops
    np.testing.assert_array_equal(run(path), expected)


@pytest.mark.parametrize(
    ("scale", "activation", "kinds"),
    [
        (0.125, "linear", {"FULLY_CONNECTED": 3, "SPLIT": 0, "MUL": 0}),
        (-2.0, "linear", {"FULLY_CONNECTED": 3, "SPLIT": 0, "MUL": 0}),
        (0.3, "linear", {"FULLY_CONNECTED": 3, "SPLIT": 0, "MUL": 1}),
        (0.125, "relu6", {"FULLY_CONNECTED": 1, "SPLIT": 1, "MUL": 1}),
    ],
)
def test_a_product_that_is_only_split_becomes_several(
    tmp_path, scale, activation, kinds
):
    import tensorflow as tf

    def function(x):
        y = tf.matmul(tf.reshape(x, (5, 8)), WIDE.astype("float32")) + WIDE[0]
        query, key, value = tf.split(tf.keras.activations.get(activation)(y), 3, axis=1)
        return tf.reshape(query * scale + key, TOKENS), tf.nn.gelu(value)

    path = tmp_path / "model.tflite"
    write(path, function)
    expected = run(path)
    gpu_graph.suit_gpus(path)
    found = list_kinds(path)
    assert {kind: found.count(kind) for kind in kinds} == kinds
    for one, other in zip(run(path), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_product_that_is_also_taken_whole_stays(tmp_path):
    import tensorflow as tf

    def function(x):
        y = tf.matmul(tf.reshape(x, (5, 8)), WIDE.astype("float32"))
        query, key, value = tf.split(y, 3, axis=1)
        return tf.reshape(query + key + value, TOKENS), y

    path = tmp_path / "model.tflite"
    write(path, function)
    expected = run(path)
    gpu_graph.suit_gpus(path)
    assert "SPLIT" in list_kinds(path)
    for one, other in zip(run(path), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_cannot_keep_it_is_reshaped_where_ranks_meet(tmp_path):
    path = tmp_path / "model.tflite"
    write(path, turned)
    expected = run(path)
    gpu_graph.suit_gpus(path)
    kinds = [op.kind for op in read_ops(path)]
    assert "TRANSPOSE" in flat_tensors(path) and kinds[-2:] == ["RESHAPE", "ADD"]
    assert {len(tensor.shape) for tensor in read_ops(path)[-1].tensors} == {3}
    np.testing.assert_array_equal(run(path), expected)


def test_large_files_stay_as_they_are(tmp_path, monkeypatch):
    path = tmp_path / "model.tflite"
    write(path, attention)
    former = path.read_bytes()
    monkeypatch.setattr(gpu_graph, "LARGEST_FILE", len(former) - 1)
    gpu_graph.suit_gpus(path)
    assert path.read_bytes() == former


def class_token(x):
    import tensorflow as tf

    # As large as TensorFlow's converter leaves it.
    token = tf.pad(tf.ones((1, 1, 4096)), [(0, 0), (0, 99), (0, 0)])
    patches = tf.pad(tf.tile(x, (1, 1, 512)), [(0, 0), (1, 94), (0, 0)])
    return patches + token + np.full((1, 100, 4096), 0.3, "float32")


def test_a_padded_constant_is_joined_with_what_is_added(tmp_path):
    path = tmp_path / "model.tflite"
    write(path, class_token)
    kinds, size, expected = list_kinds(path), path.stat().st_size, run(path)
    assert (kinds.count("PAD"), kinds.count("ADD")) == (2, 2)
    gpu_graph.suit_gpus(path)
    kinds = list_kinds(path)
    assert (kinds.count("PAD"), kinds.count("ADD")) == (1, 1)
    assert path.stat().st_size < size + 1000
    np.testing.assert_array_equal(run(path), expected)


def test_a_padded_constant_that_meets_values_stays_apart(tmp_path):
    import tensorflow as tf

    def function(x):
        token = tf.pad(tf.ones((1, 1, 4096)), [(0, 0), (0, 99), (0, 0)])
        # The first patch is where the token is.
        patches = tf.pad(tf.tile(x, (1, 1, 512)), [(0, 0), (0, 95), (0, 0)])
        return patches + token + np.full((1, 100, 4096), 0.3, "float32")

    path = tmp_path / "model.tflite"
    write(path, function)
    expected = run(path)
    gpu_graph.suit_gpus(path)
    kinds = list_kinds(path)
    assert (kinds.count("PAD"), kinds.count("ADD")) == (1, 2)
    np.testing.assert_array_equal(run(path), expected)


def large_table(x):
    """Return what TensorFlow's converter leaves to be computed, and large tokens."""
    import tensorflow as tf

    table = tf.pad(tf.ones((1, 4096)), [(0, 99), (0, 0)])
    return table, tf.reshape(tf.tile(x, (1, 20, 512)), (100, 4096))


def activated_table(x):
    import tensorflow as tf

    table, tokens = large_table(x)
    return tf.reshape(tf.nn.gelu(table) * tokens, (1, 100, 4096))


def split_table(x):
    import tensorflow as tf

    table, tokens = large_table(x)
    first, second = tf.split(tf.nn.softmax(table), 2, axis=1)
    tokens = tf.matmul(tokens, tf.ones((4096, 2048)))
    return tf.reshape(tokens * first - second, (1, 100, 2048))


def averaged_table(x):
    import tensorflow as tf

    table, tokens = large_table(x)
    mean = tf.reduce_mean(table, axis=1, keepdims=True)
    return tf.reshape(tokens - mean, (1, 100, 4096))


def padded_integers(x):
    import tensorflow as tf

    table = tf.pad(tf.ones((1, 1, 4096), "int32"), [(0, 0), (0, 99), (0, 0)])
    return tf.cast(tf.tile(x, (1, 20, 512)) * 9, "int32") + table


def chosen_columns(x):
    import tensorflow as tf

    chosen = tf.reshape(tf.boolean_mask(x, x[0, 0] > 0, axis=2), (5, -1))
    return tf.reshape(tf.nn.gelu(chosen) + 1.0, (1, 5, -1))


@pytest.mark.parametrize(
    "function",
    [activated_table, split_table, averaged_table, padded_integers, chosen_columns],
)
def test_shapes_that_are_written_are_those_at_run_time(tmp_path, function):
    path = tmp_path / "model.tflite"
    write(path, function)
    expected = run(path)
    gpu_graph.suit_gpus(path)
    np.testing.assert_array_equal(run(path), expected)
    # The interpreter corrects GELU's output silently; GPUs take it as it is written.
    for op in read_ops(path):
        if op.kind in {"GELU", "SOFTMAX"}:
            assert op.outputs[0].shape == op.inputs[0].shape
