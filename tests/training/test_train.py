"""Training, the files it leaves, and taking it up again."""

from __future__ import annotations

import errno
import json
import signal
from dataclasses import replace

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import keras_vit
from keras_vit import Augmentation, Recipe
from keras_vit.data.sources.digits import load_digits
from keras_vit.training import keeper
from keras_vit.training.checkpoint import (
    FILE_NAME,
    Position,
    load_checkpoint,
    save_checkpoint,
)
from tests.history import read_history

RECIPE = Recipe(
    epochs=4,
    warmup_epochs=1,
    batch_size=32,
    augmentation=Augmentation(rotation=10, translation=0.1),
)


@pytest.fixture(scope="module")
def data():
    """A tenth of the digits."""
    images, labels = load_digits()
    return keras_vit.load_data((images[::10], labels[::10]), seed=1)


def make_model(**options):
    keras.utils.set_random_seed(7)
    small = {"hidden_dim": 16, "num_layers": 1, "num_heads": 2, "mlp_dim": 32}
    return keras_vit.ViT.from_variant("digits", **{**small, **options})


def stop_after(monkeypatch, epoch: int) -> None:
    """Make training fail right after the files of an epoch are written."""
    original = keeper.Keeper.on_epoch_end

    def on_epoch_end(self, number, logs=None):
        original(self, number, logs)
        if number + 1 == epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr(keeper.Keeper, "on_epoch_end", on_epoch_end)


def test_training_lowers_the_loss(data):
    result = keras_vit.train(make_model(), data, RECIPE, verbose=0)
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert [row["epoch"] for row in result.history] == [1, 2, 3, 4]


def test_a_small_vit_beats_a_linear_baseline_on_digits():
    data = keras_vit.load_data("digits")
    images, labels = load_digits()
    flat = images.reshape(len(images), -1) / 255
    train = data.train.indices
    linear = LogisticRegression(max_iter=2000).fit(flat[train], labels[train])
    baseline = linear.score(flat[data.test.indices], data.test.labels)
    keras.utils.set_random_seed(0)
    model = keras_vit.ViT.from_variant("digits")
    recipe = keras_vit.training.get_recipe("small_data", epochs=50)
    keras_vit.train(model, data, recipe, verbose=0)
    accuracy = keras_vit.evaluate(model, data).accuracy
    assert baseline > 0.9
    assert accuracy > baseline


def test_the_output_folder_holds_the_best_model_and_the_course(data, tmp_path):
    model = make_model()
    result = keras_vit.train(model, data, RECIPE, output=tmp_path / "run", verbose=0)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        "model.keras",
        "history.csv",
        "curves.png",
        "training.json",
        "pictures.npz",
    }
    assert read_history(tmp_path / "run" / "history.csv") == result.history
    report = json.loads((tmp_path / "run" / "training.json").read_text())
    assert report["best"]["epoch"] == result.best_epoch
    loaded = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert loaded.class_names == data.class_names
    assert loaded.preprocessing == model.preprocessing
    assert not loaded.compiled
    first = keras_vit.evaluate(loaded, data)
    assert first.accuracy == pytest.approx(result.best["val_accuracy"])
    assert first == keras_vit.evaluate(model, data)


def test_the_model_ends_with_its_best_epoch(data, monkeypatch):
    # The second epoch counts as the best, whatever the model does.
    monkeypatch.setattr(keeper, "rank", lambda row: -abs(row["epoch"] - 2))
    model = make_model()
    result = keras_vit.train(model, data, RECIPE, verbose=0)
    assert result.best_epoch == 2
    accuracy = keras_vit.evaluate(model, data).accuracy
    assert accuracy == pytest.approx(result.history[1]["val_accuracy"])


def test_a_stopped_run_goes_on_bit_for_bit(data, tmp_path, monkeypatch):
    options = {"dropout_rate": 0.2, "stochastic_depth_rate": 0.2}
    whole = make_model(**options)
    expected = keras_vit.train(whole, data, RECIPE, output=tmp_path / "a", verbose=0)

    with monkeypatch.context() as patch:
        stop_after(patch, epoch=2)
        with pytest.raises(KeyboardInterrupt):
            keras_vit.train(
                make_model(**options), data, RECIPE, output=tmp_path / "b", verbose=0
            )
    assert (tmp_path / "b" / "checkpoint" / FILE_NAME).is_file()
    # Another start: what matters comes from the checkpoint.
    again = make_model(**options)
    again.set_weights([np.ones(w.shape) for w in again.get_weights()])
    result = keras_vit.train(
        again, data, RECIPE, output=tmp_path / "b", resume=True, verbose=0
    )
    assert result.history == expected.history
    for array, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(array, other)
    assert not (tmp_path / "b" / "checkpoint").exists()


def test_a_complete_run_is_not_trained_again(data, tmp_path):
    first = keras_vit.train(make_model(), data, RECIPE, output=tmp_path, verbose=0)
    model = make_model()
    again = keras_vit.train(
        model, data, RECIPE, output=tmp_path, resume=True, verbose=0
    )
    assert again.seconds == 0 and again.history == first.history
    assert keras_vit.evaluate(model, data).accuracy == pytest.approx(
        first.best["val_accuracy"]
    )


def test_another_configuration_is_not_resumed(data, tmp_path, monkeypatch):
    stop_after(monkeypatch, epoch=1)
    with pytest.raises(KeyboardInterrupt):
        keras_vit.train(make_model(), data, RECIPE, output=tmp_path, verbose=0)
    wider = make_model(mlp_dim=64)
    before = wider.get_weights()
    with pytest.raises(ValueError, match=r"model\.mlp_dim: 32 there, 64 now"):
        keras_vit.train(wider, data, RECIPE, output=tmp_path, resume=True, verbose=0)
    for array, other in zip(before, wider.get_weights(), strict=True):
        np.testing.assert_array_equal(array, other)


def test_processes_that_find_different_checkpoints_are_told(
    data, tmp_path, monkeypatch
):
    class Apart(keras_vit.distribution.Distribution):
        def exchange(self, text):
            return [text, text.replace('"epoch": 1', '"epoch": 0')]

    stop_after(monkeypatch, epoch=1)
    with pytest.raises(KeyboardInterrupt):
        keras_vit.train(make_model(), data, RECIPE, output=tmp_path, verbose=0)
    expected = r"on a disk that they share.*epoch: 1 \(process 0\), 0 \(process 1\)"
    with Apart(), pytest.raises(ValueError, match=expected):
        keras_vit.train(make_model(), data, RECIPE, output=tmp_path, verbose=0)


def test_a_complete_run_of_another_configuration_is_refused(data, tmp_path):
    keras_vit.train(make_model(), data, RECIPE, output=tmp_path, verbose=0)
    with pytest.raises(ValueError, match=r"different: model\.mlp_dim"):
        keras_vit.train(
            make_model(mlp_dim=64),
            data,
            RECIPE,
            output=tmp_path,
            resume=True,
            verbose=0,
        )


def test_an_output_that_exists_is_kept(data, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="--overwrite"):
        keras_vit.train(make_model(), data, RECIPE, output=tmp_path, verbose=0)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_there_must_be_a_run_to_resume(data, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileNotFoundError, match="no run to continue"):
        keras_vit.train(
            make_model(), data, RECIPE, output=tmp_path, resume=True, verbose=0
        )


def test_resuming_nothing_starts_a_run(data, tmp_path):
    recipe = Recipe(epochs=1, warmup_epochs=0)
    keras_vit.train(
        make_model(), data, recipe, output=tmp_path / "new", resume=True, verbose=0
    )
    assert (tmp_path / "new" / "model.keras").is_file()


def test_overwriting_replaces_a_run(data, tmp_path):
    for epochs in (2, 1):
        recipe = Recipe(epochs=epochs, warmup_epochs=0)
        keras_vit.train(
            make_model(), data, recipe, output=tmp_path, overwrite=True, verbose=0
        )
    assert len(read_history(tmp_path / "history.csv")) == 1


def test_overwriting_takes_what_was_made_from_the_former_model(data, tmp_path):
    recipe = Recipe(epochs=1, warmup_epochs=0)
    keras_vit.train(make_model(), data, recipe, output=tmp_path, verbose=0)
    (tmp_path / "model.tflite").write_bytes(b"made from this model")
    (tmp_path / "notes.txt").write_text("mine")
    keras_vit.train(
        make_model(), data, recipe, output=tmp_path, overwrite=True, verbose=0
    )
    assert not (tmp_path / "model.tflite").exists()
    assert (tmp_path / "notes.txt").exists()


def test_a_mistake_costs_no_former_run(data, tmp_path):
    recipe = Recipe(epochs=1, warmup_epochs=0)
    keras_vit.train(make_model(), data, recipe, output=tmp_path, verbose=0)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    wrong = replace(recipe, freeze_until="block_9")
    with pytest.raises(ValueError, match="until must name a layer"):
        keras_vit.train(
            make_model(), data, wrong, output=tmp_path, overwrite=True, verbose=0
        )
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_output_that_cannot_be_written_fails_before_training(data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="A file is where a folder is needed"):
        keras_vit.train(make_model(), data, RECIPE, output=tmp_path / "file" / "run")


def test_a_disk_without_space_fails_before_training(data, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "keras_vit.files.shutil.disk_usage",
        lambda path: type("Usage", (), {"free": 1000})(),
    )
    with pytest.raises(OSError, match="MB are needed") as error:
        keras_vit.train(make_model(), data, RECIPE, output=tmp_path / "run")
    assert error.value.errno == errno.ENOSPC


def test_a_disk_that_fills_up_keeps_the_last_checkpoint(data, tmp_path, monkeypatch):
    model = make_model()
    RECIPE.compile(model, 4)
    model.optimizer.build(model.trainable_variables)
    save_checkpoint(tmp_path, model, position=Position(1), facts={})

    def full(file, **arrays):
        file.write_bytes(b"half a checkpoint")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("keras_vit.training.checkpoint.np.savez", full)
        with pytest.raises(OSError, match="The disk is full"):
            save_checkpoint(tmp_path, model, position=Position(2), facts={})
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert load_checkpoint(tmp_path, model, facts={}) == Position(1)


def test_a_damaged_checkpoint_is_named(tmp_path):
    model = make_model()
    RECIPE.compile(model, 4)
    model.optimizer.build(model.trainable_variables)
    save_checkpoint(tmp_path, model, position=Position(1), facts={})
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="is damaged"):
        load_checkpoint(tmp_path, model, facts={})


def test_a_loss_that_is_no_number_stops_training(data, tmp_path):
    model = make_model()
    model.get_layer("norm").gamma.assign(np.full(16, np.nan))
    with pytest.raises(ValueError, match="The loss is nan in epoch 1"):
        keras_vit.train(model, data, RECIPE, output=tmp_path / "run", verbose=0)
    assert not (tmp_path / "run" / "model.keras").exists()


def test_model_and_data_must_have_the_same_classes(data):
    with pytest.raises(ValueError, match="Build it with num_classes=10"):
        keras_vit.train(make_model(num_classes=9), data, RECIPE)


def test_a_model_of_which_keras_knows_no_outputs_is_refused(data):
    class Subclassed(keras.Model):
        pass

    with pytest.raises(TypeError, match="takes a functional keras.Model, received Sub"):
        keras_vit.train(Subclassed(), data, RECIPE)


def test_without_validation_the_last_epoch_counts():
    images, labels = load_digits()
    data = keras_vit.load_data((images[::10], labels[::10]), validation_fraction=0)
    result = keras_vit.train(make_model(), data, RECIPE, verbose=0)
    assert result.best_epoch == 4


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_resumes(data, tmp_path, monkeypatch, dtype):
    with monkeypatch.context() as patch:
        stop_after(patch, epoch=2)
        with pytest.raises(KeyboardInterrupt):
            keras_vit.train(
                make_model(dtype=dtype), data, RECIPE, output=tmp_path, verbose=0
            )
    result = keras_vit.train(
        make_model(dtype=dtype), data, RECIPE, output=tmp_path, resume=True, verbose=0
    )
    assert result.history[-1]["loss"] < result.history[0]["loss"]


def test_pictures_that_do_not_suit_the_model_fail_before_training():
    data = keras_vit.load_data((np.zeros((20, 8, 8, 5)), np.arange(20) % 10))
    with pytest.raises(ValueError, match=r"Images must have 1 channel"):
        keras_vit.train(make_model(), data, RECIPE)


def test_another_split_is_not_resumed(tmp_path, monkeypatch):
    images, labels = load_digits()
    pair = (images[::10], labels[::10])
    stop_after(monkeypatch, epoch=1)
    with pytest.raises(KeyboardInterrupt):
        keras_vit.train(
            make_model(),
            keras_vit.load_data(pair, seed=1),
            RECIPE,
            output=tmp_path,
            verbose=0,
        )
    with pytest.raises(ValueError, match="another configuration"):
        keras_vit.train(
            make_model(),
            keras_vit.load_data(pair, seed=2),
            RECIPE,
            output=tmp_path,
            resume=True,
            verbose=0,
        )


def test_class_names_of_the_model_are_kept_or_must_agree(data):
    names = [f"digit {i}" for i in range(10)]
    model = make_model(class_names=names)
    keras_vit.train(model, data, Recipe(epochs=1, warmup_epochs=0), verbose=0)
    assert model.class_names == tuple(names)
    images, labels = load_digits()
    other = keras_vit.load_data(
        (images[:100], labels[:100]), class_names=list("abcdefghij")
    )
    with pytest.raises(ValueError, match="same classes in the same order"):
        keras_vit.train(model, other, RECIPE)


def test_sigterm_ends_a_run_without_a_folder_as_usual(data, monkeypatch):
    handlers = []
    original = keeper.Keeper.on_train_batch_end

    def on_train_batch_end(self, batch, logs=None):
        handlers.append(signal.getsignal(signal.SIGTERM))
        original(self, batch, logs)

    monkeypatch.setattr(keeper.Keeper, "on_train_batch_end", on_train_batch_end)
    keras_vit.train(make_model(), data, replace(RECIPE, epochs=2), verbose=0)
    assert set(handlers) == {signal.getsignal(signal.SIGTERM)}


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="it works there")
def test_an_engine_that_keras_ignores_is_refused_before_any_work(
    data, monkeypatch, tmp_path
):
    monkeypatch.setattr(keras.distribution, "distribution", lambda: "data parallel")
    with pytest.raises(ValueError, match="chosen by keras_vit.distribute"):
        keras_vit.train(make_model(), data, RECIPE, output=tmp_path / "new", verbose=0)
    assert not (tmp_path / "new").exists()
