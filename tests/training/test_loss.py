"""Cross-entropy with label smoothing."""

import keras
import numpy as np
import pytest

from keras_vit.training import CrossEntropy


def reference(logits: np.ndarray, targets: np.ndarray) -> float:
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return float(-(targets * log_probabilities).sum(-1).mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_class_numbers_give_the_smoothed_cross_entropy(rng, smoothing, shape):
    logits = rng.normal(size=(6, 4)).astype("float32")
    labels = np.arange(6) % 4
    targets = np.eye(4)[labels] * (1 - smoothing) + smoothing / 4
    loss = CrossEntropy(smoothing)(labels.reshape(shape), logits)
    assert float(loss) == pytest.approx(reference(logits, targets), rel=1e-5)


def test_class_probabilities_are_taken_too(rng):
    logits = rng.normal(size=(6, 4)).astype("float32")
    targets = rng.dirichlet(np.ones(4), size=6).astype("float32")
    loss = CrossEntropy()(targets, logits)
    assert float(loss) == pytest.approx(reference(logits, targets), rel=1e-5)


def test_probabilities_of_the_model_are_taken_if_told(rng):
    logits = rng.normal(size=(6, 4)).astype("float32")
    probabilities = keras.ops.softmax(logits)
    labels = np.arange(6) % 4
    loss = CrossEntropy(0.1, from_logits=False)(labels, probabilities)
    assert float(loss) == pytest.approx(float(CrossEntropy(0.1)(labels, logits)), 1e-4)


def test_the_config_round_trips():
    loss = CrossEntropy(0.2, from_logits=False, name="other")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()
