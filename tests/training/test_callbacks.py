"""Early stopping, and callbacks of the user in `train`."""

from __future__ import annotations

from collections import Counter

import keras
import pytest

import keras_vit
from keras_vit import Recipe
from keras_vit.data.sources.digits import load_digits
from keras_vit.training import TrainingModel, keeper, run_folder
from tests.cli.test_cli import call

RECIPE = Recipe(epochs=6, warmup_epochs=1, batch_size=32)


@pytest.fixture(scope="module")
def data():
    """A tenth of the digits; 144 images to train on, four steps of 32."""
    images, labels = load_digits()
    return keras_vit.load_data((images[::10], labels[::10]), seed=1)


def train(data, recipe=RECIPE, **options):
    keras.utils.set_random_seed(7)
    model = keras_vit.ViT.from_variant(
        "digits", hidden_dim=16, num_layers=1, num_heads=2, mlp_dim=32,
        **({"image_size": None, "position_grid": (4, 4)} if recipe.image_sizes else {}),
    )  # fmt: skip
    if recipe.image_sizes:
        model.preprocessing = keras_vit.Preprocessing(image_size=16, channels=1)
    return keras_vit.train(model, data, recipe, verbose=0, **options)


class Recorder(keras.callbacks.Callback):
    """Count the calls of each method, and keep what some of them are given."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.epochs: list[int] = []
        self.batches: list[int] = []
        self.logs: list[dict] = []
        self.steps_seen = 0

    def on_train_begin(self, logs=None):
        self.calls["train_begin"] += 1
        assert isinstance(self.model, TrainingModel) and self.model.optimizer

    def on_train_end(self, logs=None):
        self.calls["train_end"] += 1

    def on_epoch_begin(self, epoch, logs=None):
        self.calls["epoch_begin"] += 1

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(epoch)
        self.logs.append(dict(logs or {}))

    def on_train_batch_begin(self, batch, logs=None):
        self.calls["batch_begin"] += 1

    def on_train_batch_end(self, batch, logs=None):
        self.steps_seen += 1
        self.batches.append(batch)

    def on_test_begin(self, logs=None):
        self.calls["test_begin"] += 1

    def on_test_batch_end(self, batch, logs=None):
        self.calls["test_batch_end"] += 1


class StopAt(keras.callbacks.Callback):
    """Stop once so many steps were made in all."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps, self.made = steps, 0

    def on_train_begin(self, logs=None):
        self.made = 0  # As those of Keras begin anew.

    def on_train_batch_end(self, batch, logs=None):
        self.made += 1

    def on_epoch_end(self, epoch, logs=None):
        if self.made >= self.steps:
            self.model.stop_training = True


def best_is(monkeypatch, epoch: int) -> None:
    """Let one epoch be the best, whatever it is like."""
    for module in (keeper, run_folder):
        monkeypatch.setattr(module, "rank", lambda row: (-abs(row["epoch"] - epoch),))


@pytest.mark.parametrize("sizes", [(), ((0, 8), (2, 16))])
def test_callbacks_are_called_as_fit_calls_them(data, sizes):
    """Also where the run is a `fit` for each image size."""
    recorder = Recorder()
    recipe = Recipe(epochs=4, warmup_epochs=1, batch_size=32, image_sizes=sizes)
    result = train(data, recipe, callbacks=[recorder])
    assert recorder.calls["train_begin"] == recorder.calls["train_end"] == 1
    assert recorder.calls["epoch_begin"] == recorder.calls["test_begin"] == 4
    assert recorder.epochs == [0, 1, 2, 3] and recorder.params["epochs"] == 4
    assert recorder.batches == [*range(recorder.params["steps"])] * 4
    assert recorder.calls["batch_begin"] == len(recorder.batches)
    assert recorder.calls["test_batch_end"] > 0
    for row, logs in zip(result.history, recorder.logs, strict=True):
        assert {k: row[k] for k in logs} == logs and "val_accuracy" in logs


def test_callbacks_change_nothing(data):
    with_them, without = train(data, callbacks=Recorder()), train(data)
    assert with_them.history == without.history


def test_patience_ends_a_run(data, monkeypatch, tmp_path, capsys):
    best_is(monkeypatch, 2)
    recipe = Recipe(epochs=9, warmup_epochs=1, batch_size=32, patience=3)
    result = train(data, recipe, output=tmp_path / "run")
    assert len(result.history) == 5 and result.best_epoch == 2
    # The first epochs are those of a longer run.
    longer = train(data, Recipe(epochs=9, warmup_epochs=1, batch_size=32))
    assert longer.history[:5] == result.history
    # Complete: nothing is left to train.
    again = train(data, recipe, output=tmp_path / "run", resume=True)
    assert again.history == result.history and again.seconds == 0


@pytest.mark.parametrize("epoch", [3, 4])
def test_a_resumed_run_stops_at_the_same_epoch(data, monkeypatch, tmp_path, epoch):
    """Also if it was killed between its last epoch and its end."""
    best_is(monkeypatch, 2)
    recipe = Recipe(epochs=9, warmup_epochs=1, batch_size=32, patience=2)
    original = keeper.Keeper.on_epoch_end

    def killed(self, number, logs=None):
        original(self, number, logs)
        if number + 1 == epoch:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(keeper.Keeper, "on_epoch_end", killed)
        with pytest.raises(KeyboardInterrupt):
            train(data, recipe, output=tmp_path / "run")
    result = train(data, recipe, output=tmp_path / "run")
    assert len(result.history) == 4 and result.best_epoch == 2
    assert result.history == train(data, recipe).history


@pytest.mark.parametrize("batch", [2, None])
def test_callbacks_go_on_where_they_were(data, monkeypatch, tmp_path, batch):
    """In the middle of an epoch, and at its end."""
    stop = StopAt(steps=14)  # In epoch 4, of 4 steps.
    whole = train(data, callbacks=[stop], output=tmp_path / "whole")
    assert len(whole.history) == 4
    original = keeper.Keeper.on_train_batch_begin
    epoch_end = keeper.Keeper.on_epoch_end

    def in_epoch(self, number, logs=None):
        original(self, number, logs)
        if self.position.epoch == 2 and number == batch:
            raise KeyboardInterrupt

    def at_end(self, number, logs=None):
        epoch_end(self, number, logs)
        if number == 1 and batch is None:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(keeper.Keeper, "on_train_batch_begin", in_epoch)
        patch.setattr(keeper.Keeper, "on_epoch_end", at_end)
        with pytest.raises(KeyboardInterrupt):
            train(
                data, callbacks=[StopAt(steps=14)], output=tmp_path / "run",
                checkpoint_seconds=0.0,
            )  # fmt: skip
    again = [StopAt(steps=14)]
    result = train(data, callbacks=again, output=tmp_path / "run")
    assert result.history == whole.history
    assert again[0].made == stop.made == 16


def test_other_callbacks_begin_anew_and_that_is_said(data, monkeypatch, tmp_path):
    original = keeper.Keeper.on_epoch_end

    def killed(self, number, logs=None):
        original(self, number, logs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(keeper.Keeper, "on_epoch_end", killed)
        with pytest.raises(KeyboardInterrupt):
            train(data, callbacks=[Recorder()], output=tmp_path / "run")
    with pytest.warns(UserWarning, match=r"\['Recorder'\] and goes on with \['StopAt'"):
        train(data, callbacks=[StopAt(99)], output=tmp_path / "run")


def test_what_cannot_be_is_refused(data):
    images, labels = load_digits()
    alone = keras_vit.load_data(
        (images[:60], labels[:60]), validation_fraction=0.0, test_fraction=0.0
    )
    with pytest.raises(ValueError, match="patience looks at the validation part"):
        train(alone, Recipe(epochs=6, patience=2))
    with pytest.raises(ValueError, match="patience must be a whole number of at least"):
        Recipe(patience=0)
    with pytest.raises(TypeError, match=r"keras\.callbacks\.Callback objects"):
        train(data, callbacks=[print])


def test_patience_on_the_command_line(tmp_path, capsys):
    code, out, err = call(
        capsys,
        *("train", "--data", "digits", "--epochs", 4, "--patience", 1, "--json"),
        *("--validation-fraction", 0.2),
        *("--learning-rate", 1e-12, "--warmup-epochs", 0, "--hidden-dim", 16),
        *("--num-layers", 1, "--num-heads", 2, "--mlp-dim", 16, "--batch-size", 256),
        *("--output", tmp_path / "run"),
    )
    assert code == 0, err
    assert '"recipe.patience": 1' in (tmp_path / "run" / "training.json").read_text()
