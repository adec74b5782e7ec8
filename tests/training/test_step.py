"""TrainingModel: micro-batches, padding, loss scaling."""

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.keras_internals import moving_averages
from keras_vit.training import (
    SGD,
    Accuracy,
    AdamW,
    BinaryCrossEntropy,
    CrossEntropy,
    LossScaleOptimizer,
    Recipe,
    TrainingModel,
)
from tests.contract import set_random_weights

STEPS = 20
IMAGES = np.random.default_rng(0).normal(size=(48, 32, 32, 3)).astype("float32")
LABELS = np.arange(48) % 3


def small(**options) -> keras_vit.ViT:
    keras.utils.set_random_seed(3)
    sizes = {"hidden_dim": 16, "mlp_dim": 24, "num_layers": 1, "num_heads": 2}
    return keras_vit.ViT(32, 16, **{"num_classes": 3} | sizes | options)


def weights(model: keras.Model) -> dict[str, np.ndarray]:
    return {w.path: keras.ops.convert_to_numpy(w) for w in model.weights}


def difference(one: dict, other: dict) -> float:
    """Return the largest difference relative to the largest weight."""
    largest = max(np.abs(value).max() for value in one.values())
    return max(np.abs(one[path] - other[path]).max() for path in one) / largest


def sgd() -> keras.optimizers.Optimizer:
    return SGD(0.05, momentum=0.9)


def adamw() -> keras.optimizers.Optimizer:
    return AdamW(
        1e-3, weight_decay=0.1, global_clipnorm=0.5, use_ema=True, ema_momentum=0.9
    )


def scaled() -> keras.optimizers.Optimizer:
    return LossScaleOptimizer(sgd(), initial_scale=1024.0)


def trained(make, accumulation_steps: int | None, **options) -> keras_vit.ViT:
    model = small(**options)
    trainer = model
    if accumulation_steps is not None:
        trainer = TrainingModel(model, accumulation_steps=accumulation_steps)
    optimizer = make()
    trainer.compile(optimizer, CrossEntropy(0.1), metrics=["accuracy"])
    trainer.fit(
        np.tile(IMAGES[:24], (STEPS // 2, 1, 1, 1)),
        np.tile(LABELS[:24], STEPS // 2),
        batch_size=12,
        shuffle=False,
        verbose=0,
    )
    return model


@pytest.mark.parametrize(
    ("make", "limit"), [(sgd, 1e-5), (adamw, 1e-4), (scaled, 1e-5)]
)
def test_accumulation_equals_one_batch(make, limit):
    plain = weights(trained(make, None))
    start = weights(small())
    assert difference(plain, start) > 1e-3
    for steps in (1, 3):
        assert difference(plain, weights(trained(make, steps))) <= limit


def test_layers_weights_and_paths_are_those_of_the_model_inside():
    model = small()
    trainer = TrainingModel(model)
    assert trainer.layers == model.layers
    assert [id(w) for w in trainer.weights] == [id(w) for w in model.weights]
    assert trainer.get_layer("block_0") is model.get_layer("block_0")
    assert trainer.model is model
    assert trainer.output_shape == model.output_shape
    assert trainer.count_params() == model.count_params()


def test_padding_counts_nothing_in_evaluation():
    model = small()
    trainer = TrainingModel(model)
    set_random_weights(model)
    trainer.compile("sgd", CrossEntropy(), metrics=["accuracy"])
    plain = trainer.evaluate(
        IMAGES[:10], LABELS[:10], batch_size=10, verbose=0, return_dict=True
    )
    padded = trainer.evaluate(
        np.concatenate([IMAGES[:10], IMAGES[:2] * 9]),
        np.concatenate([LABELS[:10], LABELS[:2]]),
        sample_weight=np.array([1] * 10 + [0] * 2, "float32"),
        batch_size=4,
        verbose=0,
        return_dict=True,
    )
    assert set(padded) == {"loss", "accuracy"}
    assert padded == pytest.approx(plain, rel=1e-5)


def test_padding_counts_nothing_in_training():
    after = []
    for images, mask in (
        (IMAGES[:10], None),
        (np.concatenate([IMAGES[:10], IMAGES[:2] * 9]), [1] * 10 + [0] * 2),
    ):
        model = small()
        trainer = TrainingModel(model, accumulation_steps=2)
        trainer.compile(SGD(0.1), CrossEntropy(), metrics=["accuracy"])
        logs = trainer.train_on_batch(
            images,
            LABELS[: len(images)],
            sample_weight=None if mask is None else np.array(mask, "float32"),
            return_dict=True,
        )
        after.append((weights(model), logs))
    assert difference(after[0][0], after[1][0]) <= 1e-6
    assert after[0][1] == pytest.approx(after[1][1], rel=1e-5)


def test_weights_are_factors_of_the_losses_and_metrics_count_images():
    model = small()
    trainer = TrainingModel(model)
    trainer.compile("sgd", CrossEntropy(), metrics=["accuracy"])
    factors = np.array([2, 0.5, 1, 0], "float32")
    logs = trainer.evaluate(
        IMAGES[:4], LABELS[:4], sample_weight=factors, verbose=0, return_dict=True
    )
    logits = keras.ops.convert_to_numpy(model(IMAGES[:4]))
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    losses = -np.log(probabilities[np.arange(4), LABELS[:4]])
    assert logs["loss"] == pytest.approx((losses * factors).sum() / 3, rel=1e-5)
    hits = (logits.argmax(-1) == LABELS[:4])[:3]
    assert logs["accuracy"] == pytest.approx(hits.mean())


@pytest.mark.parametrize("steps", [1, 2])
def test_an_overflow_skips_the_step_and_halves_the_scale(steps):
    model = small()
    trainer = TrainingModel(model, accumulation_steps=steps)
    optimizer = LossScaleOptimizer(adamw(), initial_scale=64.0)
    trainer.compile(optimizer, CrossEntropy())
    before = weights(model)
    images = IMAGES[:4].copy()
    images[3, 0, 0, 0] = np.inf
    trainer.train_on_batch(images, LABELS[:4])
    assert difference(before, weights(model)) == 0
    assert float(trainer.optimizer.dynamic_scale) == 32.0
    assert int(trainer.optimizer.iterations) == 0
    trainer.train_on_batch(IMAGES[:4], LABELS[:4])
    assert difference(before, weights(model)) > 0
    assert int(trainer.optimizer.iterations) == 1
    for _, average in moving_averages(optimizer.inner_optimizer):
        assert np.isfinite(keras.ops.convert_to_numpy(average)).all()


def test_mixed_float16_gets_loss_scaling():
    model = small(dtype="mixed_float16")
    trainer = TrainingModel(model)
    trainer.compile(adamw(), CrossEntropy())
    assert type(trainer.optimizer) is LossScaleOptimizer


def test_dropout_differs_between_micro_batches():
    # Neighbours are equal and in different micro-batches: only masks tell them apart.
    same = np.repeat(IMAGES[:2], 2, axis=0)
    model = small(dropout_rate=0.5)
    trainer = TrainingModel(model, accumulation_steps=2)
    set_random_weights(model)
    trainer.compile(SGD(1e-9), CrossEntropy(), metrics=[Collect()])
    logs = trainer.train_on_batch(same, LABELS[[0, 0, 1, 1]], return_dict=True)
    assert logs["spread"] > 1e-3


@keras.saving.register_keras_serializable(package="test")
class Collect(keras.metrics.Metric):
    """Mean difference of the logits of neighbouring images."""

    def __init__(self, name="spread", **kwargs):
        super().__init__(name=name, **kwargs)
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(self, y_true, y_pred, sample_weight=None):
        spread = keras.ops.mean(keras.ops.abs(y_pred[0::2] - y_pred[1::2]))
        self.total.assign(spread)

    def result(self):
        return keras.ops.convert_to_tensor(self.total)


def test_outputs_of_micro_batches_come_back_in_order():
    model = small()
    set_random_weights(model)
    logs = []
    for steps in (1, 2, 4):
        trainer = TrainingModel(model, accumulation_steps=steps)
        trainer.compile(SGD(1e-12), CrossEntropy(), metrics=["accuracy", Collect()])
        logs.append(trainer.train_on_batch(IMAGES[:8], LABELS[:8], return_dict=True))
    assert logs[0] == pytest.approx(logs[1], rel=1e-4)
    assert logs[0] == pytest.approx(logs[2], rel=1e-4)


def test_predict_and_evaluate_are_those_of_the_model_inside():
    model = small()
    trainer = TrainingModel(model, accumulation_steps=2)
    trainer.compile("sgd", CrossEntropy(), metrics=["accuracy"])
    np.testing.assert_allclose(
        trainer.predict(IMAGES[:5], verbose=0), model.predict(IMAGES[:5], verbose=0)
    )
    model.compile("sgd", CrossEntropy(), metrics=["accuracy"])
    ours, theirs = (
        m.evaluate(IMAGES[:7], LABELS[:7], batch_size=4, verbose=0, return_dict=True)
        for m in (trainer, model)
    )
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_compiling_again_takes_the_new_loss():
    model = small()
    set_random_weights(model)
    trainer = TrainingModel(model)
    losses = []
    for smoothing in (0.0, 0.9):
        trainer.compile(SGD(1e-12), CrossEntropy(smoothing))
        losses.append(trainer.fit(IMAGES[:4], LABELS[:4], verbose=0).history["loss"][0])
    assert abs(losses[0] - losses[1]) > 1e-3


@pytest.mark.parametrize("weighted", [False, True])
def test_an_uneven_last_batch_counts_each_image_once(weighted):
    weight = np.linspace(0.5, 2, 8) if weighted else None
    found = []
    for steps in (1, 3):
        trainer = TrainingModel(small(), accumulation_steps=steps)
        trainer.compile(SGD(0.1), CrossEntropy(), metrics=["accuracy"])
        options = {"batch_size": 6, "shuffle": False, "verbose": 0}
        history = trainer.fit(IMAGES[:8], LABELS[:8], sample_weight=weight, **options)
        found.append((weights(trainer), history.history))
    (one, logs), (other, other_logs) = found
    assert difference(weights(small()), one) > 1e-3
    assert difference(one, other) <= 1e-5
    assert logs["loss"] == pytest.approx(other_logs["loss"], rel=1e-5)
    assert logs["accuracy"] == other_logs["accuracy"]


def test_labels_that_are_no_classes_are_refused_before_the_first_step():
    trainer = TrainingModel(small())
    before = trainer.get_weights()
    trainer.compile(SGD(0.1), CrossEntropy())
    for run in (trainer.fit, trainer.evaluate):
        with pytest.raises(ValueError, match=r"from 0 to 2 .* received 3 \(1 labels"):
            run(IMAGES[:4], np.array([0, 1, 2, 3]), verbose=0)
    for one, other in zip(before, trainer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_frozen_as_a_whole_there_is_nothing_to_train():
    trainer = TrainingModel(small())
    trainer.compile(adamw(), CrossEntropy())
    for layer in trainer.layers:
        layer.trainable = False
    with pytest.raises(ValueError, match="all of its weights frozen"):
        trainer.fit(IMAGES, LABELS, verbose=0)
    with pytest.raises(ValueError, match="all of its weights frozen"):
        recipe = keras_vit.Recipe(freeze_until="head")
        recipe.compile(recipe.prepared(small()), steps_per_epoch=1)


def test_a_checkpoint_of_keras_holds_the_model_inside(tmp_path):
    trainer = TrainingModel(small())
    trainer.compile("sgd", CrossEntropy())
    path = tmp_path / "model.keras"
    keep = keras.callbacks.ModelCheckpoint(path)
    trainer.fit(IMAGES, LABELS, verbose=0, callbacks=[keep])
    saved = keras.models.load_model(path)
    assert isinstance(saved, keras_vit.ViT)
    assert difference(weights(trainer), weights(saved)) == 0


@pytest.mark.parametrize("dtype", ["int64", "float32"])
def test_one_output_learns_yes_or_no(dtype):
    trainer = TrainingModel(small(num_classes=1), accumulation_steps=2)
    labels = (IMAGES[:, :16].mean((1, 2, 3)) > 0).astype(dtype)
    trainer.compile(AdamW(1e-2), BinaryCrossEntropy(), metrics=[Accuracy()])
    history = trainer.fit(IMAGES, labels, batch_size=16, epochs=8, verbose=0).history
    assert np.isfinite(history["loss"]).all() and history["accuracy"][-1] > 0.8
    for wrong in (labels + 1, labels * 0.5 - 0.1):
        with pytest.raises(ValueError, match=r"\(no or yes\) from 0 to 1 .* 1 output"):
            trainer.fit(IMAGES, wrong, verbose=0)


def test_one_output_and_cross_entropy_are_refused_before_the_first_step():
    trainer = TrainingModel(small(num_classes=1))
    text = "CrossEntropy needs one output per class"
    with pytest.raises(ValueError, match=text):
        trainer.compile(sgd(), CrossEntropy())
    with pytest.raises(ValueError, match=text):
        Recipe(epochs=1, warmup_epochs=0).compile(trainer, 3)
    with pytest.raises(ValueError, match=text):
        model = small(num_classes=1)
        model.compile("sgd", CrossEntropy())
        model.fit(IMAGES, LABELS > 0, verbose=0)
    teacher = small(num_classes=1)
    with pytest.raises(ValueError, match="Distillation needs one output per class"):
        TrainingModel(small(num_classes=1), teacher=teacher, distillation="soft")


def test_float_labels_that_are_no_classes_are_refused_before_the_first_step():
    trainer = TrainingModel(small())
    trainer.compile(sgd(), BinaryCrossEntropy())
    trainer.fit(IMAGES, LABELS.astype("float32"), verbose=0)
    with pytest.raises(ValueError, match="whole numbers from 0 to 2 .* received 0.5"):
        trainer.fit(IMAGES, LABELS + 0.5, verbose=0)


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="accumulation_steps must be a whole number"):
        TrainingModel(small(), accumulation_steps=0)
    with pytest.raises(TypeError, match="takes a functional"):
        TrainingModel(keras.Model())
    trainer = TrainingModel(small())
    with pytest.raises(ValueError, match="Pass them as metrics"):
        trainer.compile("sgd", CrossEntropy(), weighted_metrics=["accuracy"])
    with pytest.raises(ValueError, match="Pass metrics by name"):
        trainer.compile("sgd", CrossEntropy(), ["accuracy"])  # loss_weights in Keras
    accumulating = SGD(gradient_accumulation_steps=2)
    for optimizer in (accumulating, LossScaleOptimizer(accumulating)):
        with pytest.raises(ValueError, match="Pass accumulation_steps"):
            trainer.compile(optimizer, CrossEntropy())
    with pytest.raises(NotImplementedError, match="Save the model inside"):
        trainer.get_config()
