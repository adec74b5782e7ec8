"""Cross-entropy with label smoothing."""

import keras
import numpy as np
import pytest
import torch

from keras_vit.training import Accuracy, BinaryCrossEntropy, CrossEntropy, Recipe


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


@pytest.mark.parametrize("loss", [CrossEntropy(0.1), BinaryCrossEntropy()])
@pytest.mark.parametrize("wrong", [4, -1, 1.5])
def test_a_label_that_is_no_class_makes_the_loss_no_number(rng, loss, wrong):
    logits = rng.normal(size=(3, 4)).astype("float32")
    labels = np.array([0, 1, wrong])
    assert np.isnan(float(loss(labels, logits)))
    # It may mark padding.
    weights = np.array([1, 1, 0], "float32")
    expected = loss(np.array([0, 1, 0]), logits, weights)
    found = loss(labels.reshape(3, 1), logits, weights)
    assert float(found) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("batch", [1, 3])
def test_labels_of_another_shape_are_refused(rng, batch):
    logits = rng.normal(size=(batch, 4)).astype("float32")
    labels = np.eye(5, dtype="float32")[:batch]
    for call in (CrossEntropy(), BinaryCrossEntropy(), Accuracy()):
        with pytest.raises(ValueError, match=r"\(B, 4\), received shape"):
            call(labels, logits)


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


@pytest.mark.parametrize("over_classes", ["mean", "sum"])
@pytest.mark.parametrize("threshold", [None, 0.0])
def test_binary_cross_entropy_is_that_of_torch(rng, over_classes, threshold):
    logits = rng.normal(size=(6, 4)).astype("float32")
    mixed = np.eye(4, dtype="float32")[np.arange(6) % 4] * 0.7
    mixed += np.eye(4, dtype="float32")[(np.arange(6) + 1) % 4] * 0.3
    targets = (mixed > 0).astype("float32") if threshold == 0 else mixed
    targets = targets * 0.9 + 0.1 / 4
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.tensor(logits), torch.tensor(targets), reduction="none"
    )
    expected = expected.sum(1) if over_classes == "sum" else expected.mean(1)
    loss = BinaryCrossEntropy(0.1, over_classes=over_classes, threshold=threshold)
    assert float(loss(mixed, logits)) == pytest.approx(float(expected.mean()), rel=1e-5)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()


def test_binary_cross_entropy_takes_class_numbers(rng):
    logits = rng.normal(size=(6, 4)).astype("float32")
    labels = np.arange(6) % 4
    one, two = (
        float(BinaryCrossEntropy()(y, logits))
        for y in (labels, np.eye(4, dtype="float32")[labels])
    )
    assert one == pytest.approx(two)
    with pytest.raises(ValueError, match="over_classes must be one of"):
        BinaryCrossEntropy(over_classes="max")


# One output: yes or no


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
@pytest.mark.parametrize("dtype", ["int64", "float32", "bool"])
@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_one_output_is_a_yes_or_no_question(rng, shape, dtype, from_logits, smoothing):
    logits = rng.normal(size=(6, 1)).astype("float32")
    labels = np.array([0, 1, 1, 0, 1, 0])
    outputs = logits if from_logits else 1 / (1 + np.exp(-logits))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.tensor(logits[:, 0]),
        torch.tensor(labels * (1 - smoothing) + smoothing / 2),
    )
    given = labels.reshape(shape).astype(dtype)
    loss = BinaryCrossEntropy(smoothing, from_logits=from_logits)
    assert float(loss(given, outputs)) == pytest.approx(float(expected), rel=1e-4)
    accuracy = Accuracy(from_logits=from_logits)
    accuracy.update_state(given, outputs)
    right = np.mean((logits[:, 0] > 0) == (labels == 1))
    assert float(accuracy.result()) == pytest.approx(right)


@pytest.mark.parametrize("wrong", [2, -1, 1.5, np.nan])
@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_a_label_that_is_neither_yes_nor_no_makes_the_loss_no_number(wrong, shape):
    labels = np.array([0, 1, wrong]).reshape(shape)
    assert np.isnan(float(BinaryCrossEntropy()(labels, np.zeros((3, 1), "float32"))))


def test_a_probability_of_yes_is_a_label():
    loss = BinaryCrossEntropy()(np.array([0.3]), np.zeros((1, 1), "float32"))
    assert float(loss) == pytest.approx(np.log(2))


def test_cross_entropy_over_one_output_is_refused():
    with pytest.raises(ValueError, match="num_classes=2, or ask yes or no with Binary"):
        CrossEntropy()(np.array([0, 1]), np.zeros((2, 1), "float32"))


def test_accuracy_takes_numbers_and_probabilities(rng):
    logits = rng.normal(size=(8, 4)).astype("float32")
    labels = np.arange(8) % 4
    weights = np.array([1, 1, 1, 1, 1, 0, 0, 0], "float32")
    expected = (logits.argmax(-1) == labels)[:5].mean()
    mixed = np.eye(4, dtype="float32")[labels] * 0.7 + 0.3 / 4
    for y in (labels, labels[:, None], mixed):
        metric = Accuracy()
        metric.update_state(y, logits, sample_weight=weights)
        assert float(metric.result()) == pytest.approx(expected)
    assert Accuracy.from_config(Accuracy("x").get_config()).name == "x"


def test_the_losses_of_recipes_are_those_of_their_sources(rng):
    logits = rng.normal(size=(6, 4)).astype("float32")
    mixed = rng.dirichlet(np.ones(4), size=6).astype("float32")
    mixed[:, 1] = 0
    expected = {
        # engine.py of DeiT III: targets.gt(0.0), then BCEWithLogitsLoss.
        "binary_cross_entropy": ((mixed > 0).astype("float32"), 1),
        # sigmoid_xent of big_vision's utils.py: summed over the classes.
        "sigmoid_cross_entropy": (mixed, 4),
    }
    for name, (targets, times) in expected.items():
        loss = Recipe(loss_name=name, label_smoothing=0.0).loss()(mixed, logits)
        peer = torch.nn.BCEWithLogitsLoss()(*map(torch.tensor, (logits, targets)))
        assert float(loss) == pytest.approx(times * float(peer), rel=1e-5)
