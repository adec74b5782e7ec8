"""Pictures that a training draws of itself."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit.cli.command_line import main
from keras_vit.training import get_recipe


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    labels = np.arange(24) % 2
    images = random.integers(0, 120, (24, 16, 16, 3), dtype="uint8")
    images[labels == 1, :8] += 120
    return keras_vit.load_data(
        (images, labels), validation_fraction=0.25, class_names=["dark", "bright"]
    )


def small(**options):
    return keras_vit.ViT(
        16,
        4,
        **{"hidden_dim": 8, "num_layers": 2, "num_heads": 2, "mlp_dim": 8},
        num_classes=2,
        preprocessing=keras_vit.Preprocessing(image_size=16),
        **options,
    )


def test_drawing_changes_nothing_of_the_training(data, tmp_path):
    recipe = get_recipe("small_data", epochs=2, batch_size=6, warmup_epochs=1)
    runs = []
    for callbacks in ([], [keras_vit.PictureLog(tmp_path, data, count=2)]):
        keras.utils.set_random_seed(0)
        runs.append(
            keras_vit.train(small(), data, recipe, callbacks=callbacks, verbose=0)
        )
    for one, other in zip(runs[0].history, runs[1].history, strict=True):
        assert one == pytest.approx(other, rel=1e-5)


def test_train_draws_the_same_pictures_each_few_epochs(data, tmp_path):
    recipe = get_recipe("small_data", epochs=5, batch_size=6, warmup_epochs=1)
    folder = tmp_path / "pictures"
    log = keras_vit.PictureLog(
        folder, data, every=2, count=3, augmentation=recipe.augmentation
    )
    model = small()
    keras_vit.train(model, data, recipe, callbacks=[log], verbose=0)
    names = sorted(path.name for path in folder.iterdir())
    maps = [f"maps_{number:04d}.png" for number in (1, 2, 4, 5)]
    assert names == ["augmented.png", *maps]
    for name in maps:
        with Image.open(folder / name) as drawn:
            assert drawn.size[0] == 3 * (224 + 8) + 8


@pytest.mark.parametrize("pooling", ["token", None])
def test_a_fit_of_your_own_draws_too(data, tmp_path, pooling):
    model = small()
    if pooling is None:  # Another Keras classifier: occlusion.
        images = keras.Input((16, 16, 3))
        outputs = keras.layers.Dense(2)(keras.layers.Flatten()(images))
        model = keras.Model(images, outputs)
        model.preprocessing = keras_vit.Preprocessing(image_size=16)
        model.class_names = ("dark", "bright")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    batches = data.train.batches(model.preprocessing, 6)
    log = keras_vit.PictureLog(tmp_path / "maps", data, count=2)
    model.fit(batches, epochs=1, callbacks=[log], verbose=0)
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["maps_0001.png"]


def test_what_cannot_be_drawn_is_refused(data, tmp_path):
    for name in ("every", "count"):
        with pytest.raises(ValueError, match=f"{name} must be a whole number"):
            keras_vit.PictureLog(tmp_path, data, **{name: 0})
    stream = replace(data, train=object(), validation=None)
    with pytest.raises(ValueError, match="is a stream"):
        keras_vit.PictureLog(tmp_path, stream)
    with pytest.raises(TypeError, match="load_data"):
        keras_vit.PictureLog(tmp_path, "photos")
    assert not [*tmp_path.iterdir()]


def test_the_command_draws_and_a_new_run_replaces_the_pictures(tmp_path):
    for name, brightness in (("dark", 40), ("bright", 200)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(6):
            picture = Image.new("RGB", (20, 20 + i), (brightness, brightness, 10 * i))
            picture.save(tmp_path / "photos" / name / f"{i}.png")
    folder, photos = tmp_path / "run", str(tmp_path / "photos")
    command = ["train", "--data", photos, "--output", str(folder), "--epochs"]
    small = ["--variant", "test", "--image-size", "32", "--pictures"]
    main([*command, "2", *small, "1"])
    names = {path.name for path in (folder / "pictures").iterdir()}
    assert names == {"augmented.png", "maps_0001.png", "maps_0002.png"}
    main([*command, "1", *small, "1", "--overwrite"])
    names = {path.name for path in (folder / "pictures").iterdir()}
    assert names == {"augmented.png", "maps_0001.png"}


def test_what_has_no_map_is_refused_before_it_trains(data, tmp_path):
    for method in ("gradcam", "similarity"):
        with pytest.raises(ValueError, match="method must be None or one of"):
            keras_vit.PictureLog(tmp_path, data, method=method)
    log = keras_vit.PictureLog(tmp_path, data, method="pooling")
    with pytest.raises(ValueError, match="is for an attention pooling"):
        keras_vit.train(small(), data, callbacks=[log], verbose=0)
    images = keras.Input((16, 16, 3))
    model = keras.Model(images, keras.layers.Dense(2)(keras.layers.Flatten()(images)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    steps = keras_vit.Preprocessing(image_size=16)
    batches = data.train.batches(steps, 6)
    with pytest.raises(ValueError, match="preprocess"):
        log = keras_vit.PictureLog(tmp_path, data)
        model.fit(batches, callbacks=[log], verbose=0)
    log = keras_vit.PictureLog(tmp_path / "p", data, count=1, preprocessing=steps)
    model.fit(batches, callbacks=[log], verbose=0)
    assert (tmp_path / "p" / "maps_0001.png").exists()
