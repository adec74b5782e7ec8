"""Averaged weights in evaluation and in files."""

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.training import (
    SGD,
    AveragedWeights,
    CrossEntropy,
    TrainingModel,
    averaged_weights,
)

IMAGES = np.random.default_rng(0).normal(size=(8, 32, 32, 3)).astype("float32")
LABELS = np.arange(8) % 3


def compiled(optimizer=None) -> keras_vit.ViT:
    model = keras_vit.ViT(
        32, 16, num_classes=3, hidden_dim=8, num_layers=1, num_heads=2, mlp_dim=8
    )
    optimizer = optimizer or SGD(0.5, use_ema=True, ema_momentum=0.7)
    model.compile(optimizer, CrossEntropy(), metrics=["accuracy"])
    return model


def weights(model: keras.Model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(w) for w in model.weights]


class Follow(keras.callbacks.Callback):
    """Average the weights after each batch, as the optimizer should."""

    def __init__(self):
        super().__init__()
        self.average = None
        self.tested = None
        self.ends = []

    def on_train_batch_end(self, batch, logs=None):
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        now = weights(self.model)
        if self.average is None:
            self.average = now
        else:
            pairs = zip(self.average, now, strict=True)
            self.average = [0.7 * a + 0.3 * b for a, b in pairs]

    def on_test_end(self, logs=None):
        self.ends.append(logs["loss"])


def close(one, other, rtol=1e-5):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("wrap", [False, True])
def test_fit_evaluates_the_averages_and_trains_on(wrap):
    keras.utils.set_random_seed(0)
    inside = compiled()
    model = inside
    if wrap:
        model = TrainingModel(inside, accumulation_steps=2)
        model.compile(inside.optimizer, CrossEntropy(), metrics=["accuracy"])
    follow, seen = Follow(), {}

    class Look(keras.callbacks.Callback):
        def on_test_begin(self, logs=None):
            seen["test"] = weights(self.model)

        def on_epoch_end(self, epoch, logs=None):
            seen["end"] = weights(self.model)
            with averaged_weights(self.model):
                seen["average"] = weights(self.model)
            seen["after"] = weights(self.model)

    model.fit(
        IMAGES,
        LABELS,
        batch_size=4,
        epochs=2,
        shuffle=False,
        validation_data=(IMAGES, LABELS),
        callbacks=[AveragedWeights(), follow, Look()],
        verbose=0,
    )
    close(seen["test"], follow.average)
    close(seen["average"], follow.average)
    assert all(
        np.array_equal(a, b) for a, b in zip(seen["end"], seen["after"], strict=True)
    )
    assert not np.allclose(seen["end"][0], seen["average"][0], rtol=1e-5)
    # Keras leaves the averages in the model at the end of `fit`.
    close(weights(inside), follow.average)


def test_a_file_saved_with_the_averages_computes_with_them(tmp_path):
    model = compiled()
    for _ in range(3):
        model.train_on_batch(IMAGES, LABELS)
    own = model.predict(IMAGES, verbose=0)
    with averaged_weights(model):
        expected = model.predict(IMAGES, verbose=0)
        keras_vit.save(model, tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded.predict(IMAGES, verbose=0), expected, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), own)
    assert not np.allclose(own, expected)
    model.train_on_batch(IMAGES, LABELS)


def test_frozen_weights_have_no_average():
    model = compiled()
    model.get_layer("patch_encoder").trainable = False
    model.compile(SGD(0.5, use_ema=True), CrossEntropy())
    model.train_on_batch(IMAGES, LABELS)
    before = weights(model.get_layer("patch_encoder"))
    with averaged_weights(model):
        close(weights(model.get_layer("patch_encoder")), before)


def test_an_optimizer_without_averages_is_refused():
    model = compiled(SGD(0.5))
    with pytest.raises(ValueError, match="ema_decay to the recipe"):
        with averaged_weights(model):
            pass
