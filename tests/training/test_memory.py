"""Runs fit into the memory that is free, or are refused before any work."""

from __future__ import annotations

import importlib
from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import Recipe
from keras_vit.data.sources.digits import load_digits
from keras_vit.training import keeper, memory
from keras_vit.training.free_memory import FreeMemory, free_memory
from keras_vit.training.memory import in_words, memory_plan, step_bytes
from tests.one_backend import ONE_BACKEND

TRAIN = importlib.import_module("keras_vit.training.train")
RECIPE = Recipe(epochs=3, warmup_epochs=1, batch_size=48)


@pytest.fixture(scope="module")
def data():
    """A tenth of the digits; 144 images to train on."""
    images, labels = load_digits()
    return keras_vit.load_data((images[::10], labels[::10]), seed=1)


def make_model(**options):
    keras.utils.set_random_seed(7)
    small = {"hidden_dim": 16, "num_layers": 2, "num_heads": 2, "mlp_dim": 32}
    return keras_vit.ViT.from_variant("digits", **{**small, **options})


def free(monkeypatch, num_bytes: int | None) -> None:
    found = None if num_bytes is None else FreeMemory(num_bytes, "container")
    monkeypatch.setattr(memory, "free_memory", lambda: found)
    monkeypatch.setattr(memory, "free_device_memory", lambda: found)


def only_activations_cost(monkeypatch) -> None:
    """Leave out what compiling costs, so that a small model shows what batches cost."""
    for backend, costs in memory._COSTS.items():
        monkeypatch.setitem(memory._COSTS, backend, costs._replace(fixed=0.0))


def needed(model, recipe, steps: int) -> int:
    trained = recipe.training_copy(model)
    plan = memory_plan(
        trained,
        recipe,
        batch_size=recipe.batch_size,
        batches_per_epoch=3,
        has_validation=True,
        stored=steps,
    )
    assert plan.needed is not None
    return plan.needed


def test_a_batch_that_does_not_fit_is_cut_with_the_same_result(
    data, monkeypatch, capsys
):
    only_activations_cost(monkeypatch)
    free(monkeypatch, 10**12)
    whole = make_model()
    wanted = keras_vit.train(whole, data, RECIPE, verbose=0).history
    limit = (needed(whole, RECIPE, 3) + needed(whole, RECIPE, 4)) / 2
    free(monkeypatch, int(limit / 0.9))
    cut = make_model()
    result = keras_vit.train(cut, data, RECIPE, verbose=2)
    assert result.images_at_once == 12
    out = capsys.readouterr().out
    assert "48 images per step in 4 micro-batches" in out
    assert out.count("12 images at a time, 4 times, with the result of one step") == 1
    assert "that are free (container)" in out and "\ntime   about" in out
    for row, other in zip(wanted, result.history, strict=True):
        assert row == pytest.approx(other, abs=2e-5)
    for one, other in zip(whole.get_weights(), cut.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)


@pytest.mark.parametrize("then", ["more", "less"])
def test_a_run_that_goes_on_keeps_its_micro_batches(data, monkeypatch, tmp_path, then):
    only_activations_cost(monkeypatch)
    free(monkeypatch, 10**12)
    limit = int((needed(make_model(), RECIPE, 3) + needed(make_model(), RECIPE, 4)) / 2)
    little, plenty = int(limit / 0.9), 10**12
    first, second = (little, plenty) if then == "more" else (plenty, 1000)
    free(monkeypatch, first)
    wanted = keras_vit.train(make_model(), data, RECIPE, verbose=0)
    original = keeper.Keeper.on_epoch_end

    def killed(self, number, logs=None):
        original(self, number, logs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(keeper.Keeper, "on_epoch_end", killed)
        with pytest.raises(KeyboardInterrupt):
            keras_vit.train(make_model(), data, RECIPE, output=tmp_path, verbose=0)
    free(monkeypatch, second)
    result = keras_vit.train(make_model(), data, RECIPE, output=tmp_path, verbose=0)
    assert result.history == wanted.history
    assert result.images_at_once == (12 if then == "more" else 48)


def test_what_does_not_fit_at_all_is_refused_before_any_work(
    data, monkeypatch, tmp_path
):
    free(monkeypatch, 10**6)
    with monkeypatch.context() as patch:
        patch.setattr(TRAIN, "_fit", lambda *_: pytest.fail("it trained"))
        with pytest.raises(ValueError, match=r"one image at a time of 16 x 16 pixels"):
            keras_vit.train(make_model(), data, RECIPE, output=tmp_path / "run")
        free(monkeypatch, 1000)
        with pytest.raises(ValueError, match="makes a copy of the model"):
            keras_vit.train(make_model(), data, RECIPE, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    free(monkeypatch, None)  # Nothing says: it trains.
    recipe = replace(RECIPE, epochs=1, warmup_epochs=0)
    assert keras_vit.train(make_model(), data, recipe, verbose=0).history


def test_less_is_needed_where_less_trains(monkeypatch):
    only_activations_cost(monkeypatch)
    model = make_model(num_layers=4)

    def of(**options) -> int:
        recipe = replace(RECIPE, **options)
        found = step_bytes(recipe.training_copy(model), recipe.accumulation_steps, 48)
        assert found is not None
        return found

    whole = of()
    assert of(train_only="head") < of(freeze_until="block_1") < whole
    assert of(train_only="lora") < whole
    full, activations = (
        of(rematerialization="full"),
        of(rematerialization="activations"),
    )
    if keras.backend.backend() == "jax":
        assert full == activations == whole  # On the CPU it changes nothing there.
    else:
        assert full < whole and activations < whole
    assert of(dtype="mixed_bfloat16") < whole
    assert of(accumulation_steps=4) < whole
    sizes = [step_bytes(RECIPE.training_copy(model), 1, n) for n in (1, 2, 3)]
    assert sizes[2] - sizes[1] == pytest.approx(sizes[1] - sizes[0], abs=2)


def test_larger_images_and_a_teacher_need_more(data):
    model = make_model(image_size=None, position_grid=(4, 4))
    model.preprocessing = keras_vit.Preprocessing(image_size=16, channels=1)

    def of(teacher=None, **options) -> int:
        recipe = replace(RECIPE, **options)
        trained = recipe.training_copy(model, teacher)
        how = {"batches_per_epoch": 3, "has_validation": True}
        return memory_plan(trained, recipe, batch_size=48, **how).needed

    assert of() < of(image_sizes=((0, 8), (1, 32)))
    assert of() == of(image_sizes=((0, 8),))
    teacher = make_model(hidden_dim=64, mlp_dim=512)
    assert of() < of(teacher, distillation="hard")


def test_models_of_your_own_are_estimated_too(data, monkeypatch):
    given = keras.Input((16, 16, 1))
    x = keras.layers.Conv2D(8, 3, activation="relu")(given)
    x = keras.layers.Dense(10)(keras.layers.Flatten()(x))
    trained = RECIPE.training_copy(keras.Model(given, x))
    small, large = (step_bytes(trained, 1, n) for n in (1, 101))
    assert large - small > 100 * 4 * 14 * 14 * 8
    any_size = keras.Input((None, None, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(10, 3)(any_size))
    model = keras.Model(any_size, pooled)
    model.preprocessing = keras_vit.Preprocessing(image_size=16, channels=1)
    assert step_bytes(RECIPE.training_copy(model), 1, 8) is None
    recipe = replace(RECIPE, epochs=1, warmup_epochs=0)
    assert keras_vit.train(model, data, recipe, verbose=0).history


MEMINFO = "MemTotal: 16000 kB\nMemFree: 10 kB\nMemAvailable:   8000 kB\n"


@ONE_BACKEND
@pytest.mark.parametrize(
    ("group", "files", "wanted"),
    [
        ("", {}, (8000 * 1024, "machine")),
        # Version 2: of the container, seen at the top; nothing; a parent's.
        (
            "0::/\n",
            {"memory.max": 5000, "memory.current": 3000, "memory.stat": "x 1\n"
             "inactive_file 1000\n"},
            (3000, "container"),
        ),
        (
            "0::/\n",
            {"memory.max": "max", "memory.current": 5},
            (8000 * 1024, "machine"),
        ),
        (
            "0::/a/b\n",
            {"a/memory.max": 700, "a/memory.current": 100, "a/b/memory.max": "max",
             "a/b/memory.current": 90},
            (600, "container"),
        ),
        # Version 1: beside other controllers; without a limit; used up.
        (
            "5:cpu,cpuacct:/x\n4:memory:/elsewhere\n",
            {"memory/memory.limit_in_bytes": 900, "memory/memory.usage_in_bytes": 500,
             "memory/memory.stat": "total_inactive_file 100\ninactive_file 7\n"},
            (500, "container"),
        ),
        (
            "4:memory:/\n",
            {"memory/memory.limit_in_bytes": 2**63 - 4096,
             "memory/memory.usage_in_bytes": 5},
            (8000 * 1024, "machine"),
        ),
        (
            "4:memory:/\n",
            {"memory/memory.limit_in_bytes": 10, "memory/memory.usage_in_bytes": 50},
            (0, "container"),
        ),
    ],
)  # fmt: skip
def test_free_memory_is_what_machine_and_limits_leave(tmp_path, group, files, wanted):
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(MEMINFO)
    (tmp_path / "proc" / "self" / "cgroup").write_text(group)
    for name, text in files.items():
        path = tmp_path / "sys" / "fs" / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    assert free_memory(tmp_path) == wanted


@ONE_BACKEND
def test_free_memory_of_this_machine_and_of_one_that_says_nothing(tmp_path):
    found = free_memory()
    assert found is not None and found.num_bytes > 10**7
    assert free_memory(tmp_path) is None
    assert [in_words(n) for n in (10, 3.2e6, 3.21e9, 2e11)] == [
        "0 kB", "3 MB", "3.2 GB", "200 GB",
    ]  # fmt: skip
