"""The engines give the same batches."""

import pickle
import sys

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import Augmentation, Preprocessing
from keras_vit.data import Mixing, to_engine, to_grain, to_torch
from keras_vit.data.sources.arrays import images_from_arrays

PREPROCESSING = Preprocessing(image_size=8)
ENGINES = ("threads", "tf.data", "grain", "torch")
OPTIONS = {
    "training": True,
    "augmentation": Augmentation(
        crop_area=(0.3, 1.0), horizontal_flip=True, rand_augment=True,
        random_erasing=0.5,
    ),
    "mixing": Mixing(mode="elem"),
    "seed": 3,
}  # fmt: skip


@pytest.fixture
def images(rng):
    pixels = rng.integers(0, 256, (21, 12, 10, 3), dtype="uint8")
    return images_from_arrays(pixels, np.arange(21) % 3)


def arrays(batches) -> list[list[np.ndarray]]:
    return [[np.asarray(part) for part in batch] for batch in batches]


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("engine", ENGINES)
def test_each_engine_gives_the_same_batches(engine, images):
    batches = images.batches(PREPROCESSING, 4, **OPTIONS)
    expected = [arrays(batches.batch(e, i) for i in range(5)) for e in (0, 1)]
    given = to_engine(images.batches(PREPROCESSING, 4, **OPTIONS), engine)
    assert_same(arrays(given), expected[0])
    assert len(given) == 5


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pass_starts_at_the_epoch_and_batch_that_are_set(engine, images):
    whole = images.batches(PREPROCESSING, 4, **OPTIONS)
    expected = arrays(whole.batch(2, i) for i in range(3, 5))
    batches = images.batches(PREPROCESSING, 4, **OPTIONS)
    batches.epoch, batches.start_batch = 2, 3
    assert_same(arrays(to_engine(batches, engine)), expected)


@pytest.mark.parametrize("engine", ["threads", "tf.data", "torch"])
def test_a_finished_pass_goes_on_to_the_next_epoch(engine, images):
    batches = images.batches(PREPROCESSING, 4, **OPTIONS)
    batches.start_batch = 4
    given = to_engine(batches, engine)
    assert len(list(given)) == 1
    assert (batches.epoch, batches.start_batch) == (1, 0)
    assert_same(arrays(given), arrays(batches.batch(1, i) for i in range(5)))


@pytest.mark.parametrize("engine", ENGINES)
def test_evaluation_pads_on_each_engine(engine, images):
    given = images.batches(PREPROCESSING, 8, pad=True, engine=engine)
    batches = arrays(given)
    assert [len(batch[0]) for batch in batches] == [8, 8, 8]
    weights = np.concatenate([batch[2] for batch in batches])
    np.testing.assert_array_equal(weights, [1] * 21 + [0] * 3)
    assert not batches[-1][0][5:].any()


def test_grain_goes_on_from_a_saved_position(images):
    batches = images.batches(PREPROCESSING, 4, **OPTIONS)
    dataset = to_grain(batches, num_epochs=2)
    assert len(dataset) == 10
    iterator = iter(dataset.to_iter_dataset())
    for _ in range(6):
        next(iterator)
    state = iterator.get_state()
    rest = arrays(iterator)
    assert_same(rest, arrays(batches.batch(1, i) for i in range(1, 5)))
    again = iter(to_grain(batches, num_epochs=2).to_iter_dataset())
    again.set_state(state)
    assert_same(arrays(again), rest)


def test_batches_travel_to_other_processes(images):
    batches = images.batches(PREPROCESSING, 4, **OPTIONS)
    copy = pickle.loads(pickle.dumps(batches))
    assert_same(arrays([copy.batch(1, 2)]), arrays([batches.batch(1, 2)]))


def classifier_and_batches():
    data = keras_vit.load_data("digits")
    model = keras_vit.ViT.from_variant("digits")
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, jit_compile=False)
    few = data.test.subset(data.test.indices[:64])
    preprocessing = Preprocessing(image_size=16, channels=1)
    return model, few.batches(preprocessing, 32, training=True, mixing=Mixing())


@pytest.mark.parametrize("engine", ["threads", "tf.data", "torch"])
def test_engines_feed_fit(engine):
    model, batches = classifier_and_batches()
    given = to_engine(batches, engine)
    history = model.fit(given, epochs=2, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def averaging_classifier() -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(0.1)
    model.compile(optimizer, loss, metrics=["accuracy"], run_eagerly=True)
    return model


def joined(batches) -> list[np.ndarray]:
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


@pytest.mark.parametrize(
    ("engine", "start"), [("threads", 4), ("tf.data", 0), ("torch", 4)]
)
def test_each_epoch_of_fit_is_one_pass(engine, start, images):
    # Before it trains, Keras looks at the first batch and ends an epoch.
    batches = images.batches(PREPROCESSING, 2, training=True)
    expected = averaging_classifier()
    for epoch in (3, 4, 5):
        numbers = range(start if epoch == 3 else 0, 10)
        made = joined(batches.batch(epoch, i) for i in numbers)
        expected.fit(*made, batch_size=2, shuffle=False, verbose=0)
    batches.epoch, batches.start_batch = 3, start
    model = averaging_classifier()
    options = {"shuffle": engine == "threads", "verbose": 0}  # Warns for the others.
    model.fit(to_engine(batches, engine), **options)
    assert (batches.epoch, batches.start_batch) == (4, 0)
    model.fit(to_engine(batches, engine), epochs=2, **options)
    assert batches.epoch == 6
    for ours, theirs in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("engine", ["threads", "tf.data", "torch"])
def test_the_first_evaluation_counts_each_image_once(engine, images):
    batches = images.batches(PREPROCESSING, 2, workers=2)
    expected = averaging_classifier().evaluate(*joined(batches), verbose=0)
    found = averaging_classifier().evaluate(to_engine(batches, engine), verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_steps_per_epoch_take_the_start_of_each_pass(images):
    batches = images.batches(PREPROCESSING, 2, training=True)
    averaging_classifier().fit(batches, epochs=3, steps_per_epoch=3, verbose=0)
    assert batches.epoch == 3


def test_grain_feeds_fit_as_one_long_pass():
    model, batches = classifier_and_batches()
    history = model.fit(
        to_grain(batches, num_epochs=2), steps_per_epoch=2, epochs=2, shuffle=False,
        verbose=0,
    )  # fmt: skip
    assert np.isfinite(history.history["loss"]).all()


def test_torch_workers_are_the_callers_choice(images):
    batches = images.batches(PREPROCESSING, 4)
    assert to_torch(batches, workers=2).num_workers == 2
    assert to_torch(batches).num_workers == 0


def test_an_unknown_engine_is_refused(images):
    with pytest.raises(ValueError, match="engine must be one of"):
        images.batches(PREPROCESSING, 4, engine="dali")


def test_a_missing_library_is_named_with_its_extra(images, monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(ImportError, match=r"keras3-vit\[grain\]"):
        images.batches(PREPROCESSING, 4, engine="grain")


def test_sharded_batches_are_the_batch_of_one_process(images):
    whole = images.batches(PREPROCESSING, 8, **OPTIONS)
    parts = [images.batches(PREPROCESSING, 8, shard=(i, 2), **OPTIONS) for i in (0, 1)]
    together = [
        np.concatenate(pair)
        for pair in zip(*(part.batch(1, 1) for part in parts), strict=True)
    ]
    assert_same([together], [list(whole.batch(1, 1))])
