"""A student and its teacher: the loss between them, and who learns."""

from __future__ import annotations

import argparse
import re

import keras
import numpy as np
import pytest
from scipy.special import log_softmax

import keras_vit
from tests.contract import set_random_weights, to_numpy
from tests.examples.scripts import run, script
from tests.one_backend import NO_BACKEND

distill = script("distill")
PICTURES = np.random.default_rng(0).random((6, 32, 32, 3), "float32")
LABELS = np.array([0, 3, 2, 1, 4, 4])
STUDENT = {"hidden_dim": 16, "num_layers": 1, "patch_size": 16}


def options(**given):
    fields = {"kind": "soft", "alpha": 0.7, "temperature": 3.0, "epochs": 1}
    return argparse.Namespace(**fields | STUDENT | given)


@pytest.fixture
def teacher():
    model = keras_vit.ViT.from_variant("test", num_layers=1, num_classes=5)
    model.preprocessing = keras_vit.Preprocessing(image_size=32)
    set_random_weights(model)
    return model


def formula(student, teacher, kind, alpha, temperature):
    """Return Hinton's loss, or DeiT's hard one, as the papers write them."""
    own = -np.mean(log_softmax(student, axis=1)[np.arange(6), LABELS])
    if kind == "hard":
        preferred = np.argmax(teacher, axis=1)
        theirs = -np.mean(log_softmax(student, axis=1)[np.arange(6), preferred])
    else:
        p = log_softmax(teacher / temperature, axis=1)
        q = log_softmax(student / temperature, axis=1)
        theirs = temperature**2 * np.mean(np.sum(np.exp(p) * (p - q), axis=1))
    return (1 - alpha) * own + alpha * theirs


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_fit_reports_the_loss_of_the_paper_and_leaves_the_teacher(teacher, kind):
    how = options(kind=kind)
    student = distill.new_student(teacher, how)
    set_random_weights(student)
    models = (student, teacher)
    logits = [to_numpy(model(PICTURES)) for model in models]
    before = [[np.array(to_numpy(w)) for w in model.weights] for model in models]
    model = distill.taught(student, teacher, how)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)
    found = model.fit(PICTURES, LABELS, batch_size=6, verbose=0).history["loss"][0]
    expected = formula(*logits, kind, how.alpha, how.temperature)
    assert found == pytest.approx(expected, rel=1e-4)

    def has_changed(model, old):
        pairs = zip(model.weights, old, strict=True)
        return [not np.array_equal(to_numpy(w), value) for w, value in pairs]

    assert all(has_changed(student, before[0]))
    assert not any(has_changed(teacher, before[1]))


def test_the_student_is_small_and_knows_what_the_teacher_knows(teacher):
    student = distill.new_student(teacher, options(patch_size=None))
    assert student.count_params() < teacher.count_params()
    assert student.preprocessing == teacher.preprocessing
    assert student.config.patch_size == teacher.config.patch_size
    assert student.output_shape == teacher.output_shape


@NO_BACKEND  # The first test fits on each.
@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_the_example_runs(kind, monkeypatch, capsys):
    tiny = ("--epochs", 2, "--pictures", 3, "--hidden-dim", 8, "--seeds", 2)
    run(monkeypatch, "distill", "--kind", kind, *tiny)
    printed = capsys.readouterr().out
    assert "teacher: 0.99" in printed
    assert len(re.findall(r"^seed \d: 0\.\d+ alone, ", printed, re.MULTILINE)) == 2
    assert "gain: mean " in printed
