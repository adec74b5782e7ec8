"""Hard and soft distillation, with and without a distillation token."""

import keras
import numpy as np
import pytest
import torch
from torch.nn import functional

import keras_vit
from keras_vit.training import (
    SGD,
    AdamW,
    CrossEntropy,
    TrainingModel,
    distillation_loss,
)
from tests.contract import set_random_weights, to_numpy

IMAGES = np.random.default_rng(0).normal(size=(6, 32, 32, 3)).astype("float32")
LABELS = np.arange(6) % 3


def student(**options) -> keras_vit.ViT:
    model = keras_vit.ViT.from_variant("test", num_classes=3, **options)
    set_random_weights(model, seed=2)
    return model


def teacher(activation: str | None = None) -> keras.Model:
    """A convolutional teacher, not of this package."""
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(4, 8, strides=8, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation=activation),
        ]
    )


def deit(first, second, taught, kind, alpha, temperature, weights=None) -> float:
    """The losses of DeiT's losses.py; soft ones per image, as in its paper."""
    first, second, taught = (torch.tensor(x) for x in (first, second, taught))
    labels = torch.tensor(LABELS)
    base = functional.cross_entropy(first, labels, reduction="none")
    if kind == "hard":
        other = functional.cross_entropy(second, taught.argmax(1), reduction="none")
    else:
        other = functional.kl_div(
            functional.log_softmax(second / temperature, 1),
            functional.log_softmax(taught / temperature, 1),
            reduction="none",
            log_target=True,
        ).sum(1) * (temperature * temperature)
    values = base * (1 - alpha) + other * alpha
    if weights is None:
        return float(values.mean())
    return float((values * torch.tensor(weights)).sum() / (weights != 0).sum())


@pytest.mark.parametrize(("kind", "temperature"), [("hard", 1.0), ("soft", 3.0)])
@pytest.mark.parametrize("token", [False, True])
def test_the_loss_is_that_of_deit(kind, temperature, token):
    model, taught = student(use_distillation_token=token), teacher()
    logits = to_numpy(taught(IMAGES))
    if token:
        head = model.get_layer("head")
        tokens = keras.Model(model.inputs[0], head.input)(IMAGES)
        first, second = (to_numpy(x) for x in head.both(tokens))
        assert np.abs(first - second).max() > 0.01
    else:
        first = second = to_numpy(model(IMAGES))
    weights = np.array([1, 2, 1, 1, 0, 0], "float32")
    for steps, mask in ((1, None), (3, None), (2, weights)):
        trainer = TrainingModel(
            model,
            accumulation_steps=steps,
            teacher=taught,
            distillation=kind,
            alpha=0.3,
            temperature=temperature,
        )
        trainer.compile(SGD(1e-30), CrossEntropy(), metrics=["accuracy"])
        logs = trainer.train_on_batch(
            IMAGES, LABELS, sample_weight=mask, return_dict=True
        )
        expected = deit(first, second, logits, kind, 0.3, temperature, mask)
        assert logs["loss"] == pytest.approx(expected, rel=2e-5)


def test_a_teacher_with_softmax_teaches_the_same():
    one, two = teacher(), teacher("softmax")
    two.set_weights(one.get_weights())
    found = []
    for taught in (one, two):
        trainer = TrainingModel(student(), teacher=taught, distillation="soft")
        trainer.compile(SGD(1e-30), CrossEntropy())
        found.append(float(trainer.train_on_batch(IMAGES, LABELS)))
    assert found[0] == pytest.approx(found[1], rel=1e-4)


class Subclassed(keras.Model):
    """A teacher of which Keras knows no inputs and outputs."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def call(self, images, training=False):
        return self.inside(images, training=training)


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_a_teacher_of_any_kind_teaches_the_same(activation):
    plain = teacher(activation)
    images = keras.Input((32, 32, 3))
    # What the error about sizes recommends.
    resized = keras.Model(images, plain(keras.layers.Resizing(32, 32)(images)))
    subclassed = Subclassed(plain)
    subclassed(IMAGES[:1])
    found = []
    for taught in (teacher(), resized, subclassed):
        trainer = TrainingModel(student(), teacher=taught, distillation="soft")
        trainer.compile(SGD(1e-30), CrossEntropy())
        found.append(float(trainer.train_on_batch(IMAGES, LABELS)))
    assert found[1:] == pytest.approx([found[0]] * 2, rel=1e-4)


def test_something_else_than_a_trained_model_is_no_teacher():
    with pytest.raises(TypeError, match="A teacher is a keras.Model, received str"):
        TrainingModel(student(), teacher="cnn", distillation="hard")
    unbuilt = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="Load its weights or train it"):
        TrainingModel(student(), teacher=unbuilt, distillation="hard")


def test_a_teacher_returns_logits_and_nothing_else():
    images = keras.Input((32, 32, 3))
    logits = teacher()(images)
    grid = keras.layers.Conv2D(3, 1)(images)
    named = Subclassed(keras.Model(images, {"logits": logits, "grid": grid}))
    named(IMAGES[:1])
    for outputs in ([logits, logits], {"logits": logits}, grid):
        with pytest.raises(ValueError, match="must return one tensor of shape"):
            other = keras.Model(images, outputs)
            TrainingModel(student(), teacher=other, distillation="soft")
    with pytest.raises(ValueError, match="must return one tensor of shape"):
        TrainingModel(student(), teacher=named, distillation="soft")
    # What the error recommends.
    alone = keras.Model(images, named(images)["logits"])
    TrainingModel(student(), teacher=alone, distillation="soft")


def test_a_student_does_not_teach_itself():
    model = student()
    with pytest.raises(ValueError, match="shares weights with it. Take a copy"):
        TrainingModel(model, teacher=model, distillation="soft")
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    TrainingModel(model, teacher=copy, distillation="soft")


def test_the_student_learns_from_the_teacher_alone_and_the_teacher_stays():
    model, taught = student(use_distillation_token=True), teacher()
    before = [np.array(w) for w in taught.get_weights()]
    trainer = TrainingModel(model, teacher=taught, distillation="hard", alpha=1.0)
    assert [w.path for w in trainer.weights] == [w.path for w in model.weights]
    trainer.compile(AdamW(3e-3), CrossEntropy(), metrics=["accuracy"])
    history = trainer.fit(IMAGES, LABELS, epochs=15, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]
    for now, then in zip(taught.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    head = model.get_layer("head")
    tokens = keras.Model(model.inputs[0], head.input)(IMAGES)
    learnt = to_numpy(head.both(tokens)[1]).argmax(-1)
    np.testing.assert_array_equal(learnt, to_numpy(taught(IMAGES)).argmax(-1))
    assert trainer.evaluate(IMAGES, LABELS, verbose=0)


def test_distillation_losses_per_image():
    ours = to_numpy(distillation_loss(*(keras.ops.ones((2, 3)),) * 2, "soft", 2.0))
    np.testing.assert_allclose(ours, 0, atol=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"distillation": "hard"}, "needs both a teacher and a kind"),
        ({"teacher": "cnn"}, "needs both a teacher and a kind"),
        ({"teacher": "cnn", "distillation": "warm"}, "distillation must be one of"),
        ({"teacher": "cnn", "distillation": "soft", "alpha": 2}, "alpha must be"),
        (
            {"teacher": "cnn", "distillation": "soft", "temperature": 0},
            "temperature must be above 0",
        ),
    ],
)
def test_wrong_settings_are_refused(options, message):
    if "teacher" in options:
        options = options | {"teacher": teacher()}
    with pytest.raises(ValueError, match=message):
        TrainingModel(student(), **options)


def test_models_that_do_not_fit_are_refused():
    vit = keras_vit.ViT.from_variant
    for other, message in (
        (vit("test", num_classes=4), "must have the same classes"),
        (vit("test", num_classes=3, image_size=48), "Put a keras.layers.Resizing"),
        (vit("test", num_classes=3, classifier_activation="sigmoid"), "Use its logits"),
    ):
        with pytest.raises(ValueError, match=message):
            TrainingModel(student(), teacher=other, distillation="hard")
    with pytest.raises(ValueError, match="Build it with classifier_activation=None"):
        TrainingModel(
            student(classifier_activation="softmax"),
            teacher=teacher(),
            distillation="hard",
        )
    one = keras_vit.Preprocessing(image_size=32, mean=(0.5,) * 3, std=(0.5,) * 3)
    two = keras_vit.Preprocessing(image_size=32, mean=(0.4,) * 3, std=(0.5,) * 3)
    with pytest.raises(ValueError, match="keras.layers.Normalization before"):
        TrainingModel(
            student(preprocessing=one),
            teacher=student(preprocessing=two),
            distillation="hard",
        )
