"""Losses and metrics for images with several labels, against timm and scikit-learn."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
from keras import ops
from sklearn import metrics

from keras_vit.training import (
    F1,
    AsymmetricLoss,
    BinaryCrossEntropy,
    Recipe,
    TrainingModel,
    average_precisions,
    best_thresholds,
    f1_scores,
    mean_average_precision,
)
from tests.one_backend import ONE_BACKEND
from tests.peers import import_timm


def draw(rng, rows: int = 40, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and logits that know something of them."""
    labels = (rng.random((rows, classes)) < 0.3).astype("float32")
    return labels, (rng.normal(size=labels.shape) + labels).astype("float32")


@pytest.mark.parametrize("focus", [(1, 4), (0, 4), (0, 0), (2, 1)])
@pytest.mark.parametrize("margin", [0.0, 0.05])
def test_asymmetric_loss_is_that_of_timm(rng, focus, margin):
    import_timm()
    import torch
    from timm.loss import AsymmetricLossMultiLabel

    labels, logits = draw(rng)
    theirs = AsymmetricLossMultiLabel(
        gamma_pos=focus[0], gamma_neg=focus[1], clip=margin,
        disable_torch_grad_focal_loss=False,
    )  # fmt: skip
    wanted = theirs(torch.tensor(logits), torch.tensor(labels)).item()
    options = {"positive_focus": focus[0], "negative_focus": focus[1], "margin": margin}
    loss = AsymmetricLoss(**options)
    assert float(loss(labels, logits)) == pytest.approx(wanted, rel=1e-5)
    again = AsymmetricLoss.from_config(loss.get_config())
    assert float(again(labels, logits)) == float(loss(labels, logits))
    probabilities = 1 / (1 + np.exp(-logits))
    of_probabilities = AsymmetricLoss(from_logits=False, **options)
    found = float(of_probabilities(labels, probabilities))
    assert found == pytest.approx(wanted, rel=1e-5)


def test_asymmetric_loss_without_asymmetry_is_binary_cross_entropy(rng):
    labels, logits = draw(rng)
    plain = {"positive_focus": 0, "negative_focus": 0, "margin": 0.0}
    found = AsymmetricLoss(over_classes="mean", **plain)(labels, logits)
    assert float(found) == pytest.approx(float(BinaryCrossEntropy()(labels, logits)))
    # Undecided answers are one half.
    smooth = AsymmetricLoss(0.2, **plain)(labels, logits)
    soft = AsymmetricLoss(**plain)(labels * 0.8 + 0.1, logits)
    assert float(smooth) == pytest.approx(float(soft))


@pytest.mark.parametrize("logit", [-200.0, 0.0, 200.0])
def test_asymmetric_loss_teaches_from_any_logit(logit):
    """The slope is a number, also where the margin cuts."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    model.set_weights([np.full((1, 2), logit), np.zeros(2)])
    trained = TrainingModel(model)
    trained.compile(keras.optimizers.SGD(0.1), AsymmetricLoss())
    trained.fit(np.ones((2, 1)), np.array([[0.0, 1], [1, 0]]), verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"positive_focus": -1}, "positive_focus must be 0 or at least 1"),
        ({"negative_focus": 0.5}, "negative_focus must be 0 or at least 1"),
        ({"margin": 1.0}, "margin must be"),
        ({"over_classes": "median"}, "over_classes must be one of"),
    ],
)
def test_options_out_of_range_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        AsymmetricLoss(**options)


@pytest.mark.parametrize("name", ["binary_cross_entropy", "asymmetric"])
def test_recipe_learns_several_labels(rng, name):
    images = rng.normal(size=(64, 6)).astype("float32")
    labels = (images[:, :3] > 0.3).astype("float32")
    given = keras.Input((6,))
    model = keras.Model(given, keras.layers.Dense(3)(given))
    loss = Recipe(loss_name=name, label_smoothing=0.0).loss()
    trained = TrainingModel(model, accumulation_steps=2)
    trained.compile(keras.optimizers.Adam(0.1), loss, metrics=[F1()])
    trained.fit(images, labels, epochs=20, batch_size=32, verbose=0)
    outputs = ops.convert_to_numpy(model(images))
    assert mean_average_precision(labels, outputs) > 0.95
    found = trained.evaluate(images, labels, verbose=0, return_dict=True)
    ours = np.nanmean(f1_scores(labels, 1 / (1 + np.exp(-outputs))))
    assert found["f1"] == pytest.approx(ours, rel=1e-5)


@ONE_BACKEND
def test_average_precision_is_that_of_scikit_learn(rng):
    labels, scores = draw(rng, 60)
    scores = np.round(scores, 1)  # With ties.
    wanted = metrics.average_precision_score(labels, scores, average=None)
    np.testing.assert_allclose(average_precisions(labels, scores), wanted)
    assert mean_average_precision(labels, scores) == pytest.approx(wanted.mean())
    labels[:, 2] = 0  # A class without a label counts nothing.
    found = average_precisions(labels, scores)
    assert np.isnan(found[2])
    rest = np.delete(wanted, 2)
    assert mean_average_precision(labels, scores) == pytest.approx(rest.mean())
    assert np.isnan(mean_average_precision(np.zeros((3, 2)), np.ones((3, 2))))


@ONE_BACKEND
@pytest.mark.parametrize("threshold", [0.5, "each"])
def test_f1_is_that_of_scikit_learn(rng, threshold):
    labels, scores = draw(rng)
    labels[:, 1] = 0
    scores[:, 1] = -9.0
    probabilities = 1 / (1 + np.exp(-scores))
    limits = np.linspace(0.2, 0.8, 5) if threshold == "each" else threshold
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = metrics.f1_score(
            labels, probabilities >= limits, average=None, zero_division=np.nan
        )
    np.testing.assert_allclose(f1_scores(labels, probabilities, limits), wanted)
    assert np.isnan(wanted[1])


@ONE_BACKEND
def test_best_thresholds_are_those_of_a_search(rng):
    labels, scores = draw(rng, 80)
    probabilities = np.round(1 / (1 + np.exp(-scores)), 2)
    labels[:, 3] = 0
    found = best_thresholds(labels, probabilities, default=0.7)
    assert found[3] == 0.7
    best = f1_scores(labels, probabilities, found)
    for threshold in np.linspace(0, 1, 1001):
        others = f1_scores(labels, probabilities, threshold)
        kept = [0, 1, 2, 4]
        assert (others[kept] <= best[kept] + 1e-12).all()


@ONE_BACKEND
@pytest.mark.parametrize(
    ("labels", "scores", "text"),
    [
        (np.zeros(3), np.zeros(3), "must have one shape"),
        (np.zeros((3, 2)), np.zeros((3, 3)), "must have one shape"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "must have one shape"),
        (np.full((3, 2), 0.5), np.zeros((3, 2)), "must be 0 or 1"),
        (np.zeros((3, 2)), np.full((3, 2), np.nan), "must be numbers"),
    ],
)
def test_labels_and_scores_of_another_kind_are_refused(labels, scores, text):
    for function in (average_precisions, f1_scores, best_thresholds):
        with pytest.raises(ValueError, match=text):
            function(labels, scores)
    with pytest.raises(ValueError, match="thresholds must be one number or one for"):
        f1_scores(np.zeros((3, 2)), np.zeros((3, 2)), [0.5] * 3)
