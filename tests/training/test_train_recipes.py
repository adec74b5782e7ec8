"""What the fields of a recipe do in `train`."""

from __future__ import annotations

import importlib
import time
from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import Augmentation, Mixing, Recipe
from keras_vit.data.sources.digits import load_digits
from keras_vit.training.keeper import Keeper
from keras_vit.training.progress import Progress, start_summary

# The module; keras_vit.training.train is the function of the same name.
TRAIN = importlib.import_module("keras_vit.training.train")
RECIPE = Recipe(epochs=3, warmup_epochs=1, batch_size=32, learning_rate=3e-3)
OPTIONS = {
    "averages": {"ema_decay": 0.9},
    "micro-batches": {"accumulation_steps": 4},
    "mixed": {"mixing": Mixing(), "loss_name": "binary_cross_entropy"},
    "augmented": {
        "augmentation": Augmentation(three_augment=True, random_erasing=0.5),
        "repeated_augmentation": 2,
    },
    "balanced": {"class_balance": "sampling"},
    "weighted": {"class_balance": "weights"},
    "linear probe": {"train_only": "head"},
    "low rank": {"train_only": "lora", "lora_rank": 2},
    "frozen": {"freeze_until": "block_0"},
    "layer decay": {"layer_decay": 0.5, "optimizer_name": "sgd"},
    "depth": {"stochastic_depth_rate": 0.5, "dropout_rate": 0.1},
    "bfloat16": {"dtype": "mixed_bfloat16", "rematerialization": "full"},
}


@pytest.fixture(scope="module")
def data():
    """A tenth of the digits."""
    images, labels = load_digits()
    return keras_vit.load_data((images[::10], labels[::10]), seed=1)


def make_model(**options):
    keras.utils.set_random_seed(7)
    small = {"hidden_dim": 16, "num_layers": 2, "num_heads": 2, "mlp_dim": 32}
    return keras_vit.ViT.from_variant("digits", **{**small, **options})


@pytest.mark.parametrize("name", OPTIONS)
def test_each_part_of_a_recipe_trains_and_leaves_a_plain_model(name, data, tmp_path):
    model = make_model()
    recipe = replace(RECIPE, **OPTIONS[name])
    result = keras_vit.train(model, data, recipe, output=tmp_path / "run", verbose=0)
    assert all(np.isfinite(row["loss"]) for row in result.history)
    assert len(model.weights) == len(make_model().weights)
    # What is in the file is what is in memory, and what was measured.
    loaded = keras.models.load_model(tmp_path / "run" / "model.keras")
    found, expected = keras_vit.evaluate(model, data), keras_vit.evaluate(loaded, data)
    assert found.accuracy == pytest.approx(expected.accuracy)
    assert found.accuracy == pytest.approx(result.best["val_accuracy"])


@pytest.mark.parametrize("name", ["averages", "low rank"])
def test_without_a_folder_the_best_epoch_is_kept(name, data):
    model = make_model()
    recipe = replace(RECIPE, **OPTIONS[name])
    result = keras_vit.train(model, data, recipe, verbose=0)
    found = keras_vit.evaluate(model, data).accuracy
    assert found == pytest.approx(result.best["val_accuracy"])
    assert len(model.weights) == len(make_model().weights)


def test_micro_batches_change_nothing_but_rounding(data):
    models = []
    for steps in (1, 4):
        model = make_model()
        recipe = replace(RECIPE, accumulation_steps=steps)
        keras_vit.train(model, data, recipe, verbose=0)
        models.append(model.get_weights())
    for first, second in zip(*models, strict=True):
        np.testing.assert_allclose(first, second, atol=2e-4)


@pytest.mark.parametrize("is_fixed", [False, True])
def test_images_grow_during_progressive_resizing(data, is_fixed):
    options = {} if is_fixed else {"image_size": None, "position_grid": (4, 4)}
    model = make_model(**options)
    shape, before = model.input_shape, model.get_weights()
    model.preprocessing = keras_vit.Preprocessing(image_size=(16, 16), channels=1)
    sizes = []

    class Spy(Keeper):
        def on_train_batch_begin(self, batch, logs=None):
            sizes.append(self.batches.options.preprocessing.image_size)
            super().on_train_batch_begin(batch, logs)

    recipe = replace(RECIPE, image_sizes=((0, 8), (2, 16)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TRAIN, "Keeper", Spy)
        result = keras_vit.train(model, data, recipe, verbose=0)
    steps = len(sizes) // 3
    assert sizes == [(8, 8)] * 2 * steps + [(16, 16)] * steps
    assert len(result.history) == 3
    assert model.input_shape == shape
    pairs = zip(before, model.get_weights(), strict=True)
    assert all((x != y).any() for x, y in pairs)
    found = keras_vit.evaluate(model, data).accuracy
    assert found == pytest.approx(result.best["val_accuracy"])


def test_a_teacher_is_learned_from(data):
    teacher = make_model()
    keras_vit.train(teacher, data, replace(RECIPE, epochs=6), verbose=0)
    before = teacher.get_weights()
    recipe = replace(RECIPE, distillation="soft", distillation_alpha=1.0)
    model = make_model()
    keras_vit.train(model, data, recipe, teacher=teacher, verbose=0)
    for first, second in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_teacher_without_distillation_is_refused(data):
    with pytest.raises(ValueError, match="Pass both or none"):
        keras_vit.train(make_model(), data, RECIPE, teacher=make_model())


def test_a_run_is_not_taken_up_with_another_teacher(data, tmp_path):
    teacher = make_model()
    recipe = replace(RECIPE, epochs=1, warmup_epochs=0, distillation="soft")
    options = {"teacher": teacher, "output": tmp_path / "run", "verbose": 0}
    keras_vit.train(make_model(), data, recipe, **options)
    keras_vit.train(make_model(), data, recipe, resume=True, **options)
    teacher.set_weights([weight + 1 for weight in teacher.get_weights()])
    with pytest.raises(ValueError, match="another configuration .*teacher"):
        keras_vit.train(make_model(), data, recipe, resume=True, **options)


def test_a_teacher_that_is_no_model_is_refused(data):
    recipe = replace(RECIPE, distillation="soft")
    with pytest.raises(TypeError, match="Load it first"):
        keras_vit.train(make_model(), data, recipe, teacher="cnn.keras")


def test_something_else_than_data_and_recipe_is_refused(data):
    with pytest.raises(TypeError, match="Call load_data .* recipe.compile"):
        keras_vit.train(make_model(), load_digits(), RECIPE)
    with pytest.raises(TypeError, match="keras_vit.RECIPES by its name"):
        keras_vit.train(make_model(), data, "photos")


@pytest.mark.parametrize(
    "options",
    [{"train_only": "head"}, {"freeze_until": "block_0"}, {"train_only": "lora"}],
)
def test_what_a_recipe_froze_trains_again_afterwards(options, data, tmp_path):
    # The user's own wish stays.
    model = keras_vit.changed(make_model(), freeze_until="patch_encoder")
    paths = [weight.path for weight in model.trainable_weights]
    recipe = replace(RECIPE, epochs=1, warmup_epochs=0, **options)
    keras_vit.train(model, data, recipe, output=tmp_path / "run", verbose=0)
    assert [weight.path for weight in model.trainable_weights] == paths
    saved = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert len(saved.trainable_weights) == len(saved.weights)


def test_tensorboard_is_looked_for_before_training(data, tmp_path, monkeypatch):
    options = {"tensorboard": True, "verbose": 0}
    with pytest.raises(ValueError, match="Pass output, or tensorboard=False"):
        keras_vit.train(make_model(), data, RECIPE, **options)
    monkeypatch.setattr("keras_vit.training.progress.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="keras3-vit.tensorboard"):
        keras_vit.train(make_model(), data, RECIPE, output=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_set_smaller_than_a_batch_takes_micro_batches(data):
    size = 4 * len(data.train) + 4
    recipe = replace(RECIPE, epochs=1, warmup_epochs=0, batch_size=size)
    recipe = replace(recipe, accumulation_steps=4)
    (row,) = keras_vit.train(make_model(), data, recipe, verbose=0).history
    assert 0 < row["loss"] < 10


def test_a_stopped_run_goes_on_without_being_asked(data, tmp_path):
    class Stop(Keeper):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TRAIN, "Keeper", Stop)
        with pytest.raises(KeyboardInterrupt):
            keras_vit.train(make_model(), data, RECIPE, output=tmp_path, verbose=0)
    result = keras_vit.train(make_model(), data, RECIPE, output=tmp_path, verbose=0)
    assert len(result.history) == 3
    with pytest.raises(FileExistsError):
        keras_vit.train(make_model(), data, RECIPE, output=tmp_path, verbose=0)


def test_the_start_says_what_is_about_to_run(data, capsys):
    recipe = replace(RECIPE, epochs=2, accumulation_steps=2, train_only="head")
    keras_vit.train(make_model(), data, recipe, verbose=2)
    out = capsys.readouterr().out
    assert "145 train, 35 validation; 10 classes" in out
    assert "170 trainable" in out  # 16 * 10 + 10
    assert "2 epochs, 32 images per step in 2 micro-batches, adamw, on 1 device" in out
    assert "images_per_second" in out


def test_a_set_in_one_batch_is_measured_and_estimated(data, capsys):
    few = replace(data, train=data.train.subset(data.train.indices[:20]))
    assert "20 images per step" in start_summary(few, make_model(), RECIPE, "1 device")
    progress = Progress(20, total_steps=24, verbose=True)
    for epoch in range(24):
        progress.on_epoch_begin(epoch)
        time.sleep(0.001)
        progress.on_train_batch_end(0)
    assert 0 < progress.images_per_second < 20 / 0.001
    assert "images per second; about 0 s in all" in capsys.readouterr().out


def test_waiting_for_data_is_warned_of(data):
    # Nine batches a pass: where two threads make them, the ninth is made alone.
    recipe = replace(RECIPE, batch_size=16)
    slow = replace(data.train, read=_slowly(data.train.read))
    with pytest.warns(UserWarning, match="Training waits for data"):
        keras_vit.train(
            make_model(),
            replace(data, train=slow),
            replace(recipe, augmentation=Augmentation(crop_area=(0.5, 1.0))),
            verbose=0,
        )


def _slowly(read):
    def slow(number):
        time.sleep(0.06)  # Long beside a step, also on a busy machine.
        return read(number)

    return slow
