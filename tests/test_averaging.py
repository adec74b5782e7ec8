"""The mean of several models."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.data.sources.digits import load_digits
from keras_vit.training import history
from tests.cli.test_cli import call


def make(seed: int, **options) -> keras_vit.ViT:
    keras.utils.set_random_seed(seed)
    preprocessing = keras_vit.Preprocessing(image_size=32)
    names = ["cat", "dog", "owl"]
    return keras_vit.ViT.from_variant(
        "test",
        **{"num_classes": 3, "preprocessing": preprocessing, "class_names": names}
        | options,
    )


def test_weights_are_the_means(tmp_path):
    models = [make(seed) for seed in range(3)]
    keras_vit.save(models[1], tmp_path / "one.keras")
    mean = keras_vit.average([models[0], tmp_path / "one.keras", models[2]])
    for weight, *values in zip(mean.weights, *(m.weights for m in models), strict=True):
        wanted = np.mean([keras.ops.convert_to_numpy(v) for v in values], axis=0)
        found = keras.ops.convert_to_numpy(weight)
        np.testing.assert_allclose(found, wanted, atol=1e-7)
    assert mean.class_names == ("cat", "dog", "owl")
    assert mean.preprocessing == models[0].preprocessing
    # The models are as they were, and the mean of equals is the same.
    same = keras_vit.average([models[0], models[0]])
    for weight, other in zip(same.weights, models[0].weights, strict=True):
        np.testing.assert_array_equal(weight, other)


def test_factors_of_lora_are_added():
    keras.utils.set_random_seed(0)
    plain, other = make(0), make(1)
    factors = keras_vit.changed(plain, lora=keras_vit.LoRA(2))
    for weight in factors.trainable_weights:
        if "lora" in weight.name:
            weight.assign(keras.random.normal(weight.shape, seed=3))
    merged = keras_vit.changed(factors, lora=None)
    mean, wanted = (keras_vit.average([other, m]) for m in (factors, merged))
    for weight, value in zip(mean.weights, wanted.weights, strict=True):
        np.testing.assert_allclose(weight, value, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"num_layers": 1}, "another architecture"),
        (
            {"num_classes": 4, "class_names": None},
            "another architecture and class_names",
        ),
        ({"class_names": ["dog", "cat", "owl"]}, "another class_names than"),
        (
            {"preprocessing": keras_vit.Preprocessing(image_size=32, mean=0.4)},
            "another preprocessing than",
        ),
        ({"activation": "relu"}, "another architecture"),
    ],
)  # fmt: skip
def test_models_that_differ_are_refused(options, text):
    with pytest.raises(ValueError, match=f"model 1 has {text}"):
        keras_vit.average([make(0), make(1, **options)])


def test_what_is_no_list_of_models_is_refused(tmp_path):
    with pytest.raises(ValueError, match="two models or more, received 1"):
        keras_vit.average([make(0)])
    with pytest.raises(ValueError, match="two models or more, received 0"):
        keras_vit.average([])
    with pytest.raises(TypeError, match="received int"):
        keras_vit.average([make(0), 3])
    with pytest.raises(TypeError, match="received Functional|received ViT"):
        keras_vit.average(make(0))
    with pytest.raises(FileNotFoundError, match="No model"):
        keras_vit.average([tmp_path / "none.keras", tmp_path])
    with pytest.raises(FileNotFoundError, match="Train with keep=5"):
        keras_vit.average(tmp_path)
    whole = make(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras names the layers that stay as they are.
        int8 = keras_vit.changed(whole, quantization="int8")
    with pytest.raises(ValueError, match="before they are quantized"):
        keras_vit.average([int8, int8])


@pytest.mark.parametrize("ema_decay", [None, 0.5])
def test_a_run_keeps_its_best_epochs(tmp_path, capsys, ema_decay):
    images, labels = load_digits()
    data = keras_vit.load_data((images[::10], labels[::10]), seed=1)
    recipe = keras_vit.Recipe(
        epochs=5, warmup_epochs=1, batch_size=48, ema_decay=ema_decay
    )
    keras.utils.set_random_seed(7)
    model = keras_vit.ViT.from_variant(
        "digits", hidden_dim=16, num_layers=1, num_heads=2, mlp_dim=32
    )
    with pytest.raises(ValueError, match="Pass output"):
        keras_vit.train(model, data, recipe, keep=3)
    run = tmp_path / "run"
    result = keras_vit.train(model, data, recipe, output=run, keep=3, verbose=0)
    best = sorted(result.history, key=history.rank)[-3:]
    wanted = {f"epoch_{int(row['epoch']):04d}.keras" for row in best}
    assert {path.name for path in (run / "best").iterdir()} == wanted
    first = run / "best" / f"epoch_{result.best_epoch:04d}.keras"
    for one, other in zip(
        keras_vit.load(first).weights, keras_vit.load(run).weights, strict=True
    ):
        np.testing.assert_array_equal(one, other)
    output = tmp_path / "soup.keras"
    code, out, err = call(capsys, "average", run, "--output", output)
    assert code == 0 and "parameters" in out, err
    mean = keras_vit.average([*(run / "best").iterdir()])
    for one, other in zip(keras_vit.load(output).weights, mean.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)
    code, _, err = call(capsys, "average", run, "--output", output)
    assert code == 2 and "exists" in err
    code, _, err = call(capsys, "average", run, "--output", tmp_path / "x.h5")
    assert code == 2 and "is a .keras file" in err
    # A run in its place takes them away.
    keras_vit.train(model, data, recipe, output=run, overwrite=True, verbose=0)
    assert not (run / "best").exists()
