"""Data whose images have several labels."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit import Preprocessing
from keras_vit.data.augmenting.mixing import Mixing
from keras_vit.data.splits import fold_numbers, grouped_split
from tests.one_backend import ONE_BACKEND

NAMES = ("cat", "dog", "owl")
# 0 or 1 for each class of twelve pictures: some have none, some all.
HOT = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in [*range(8), 1, 2, 4, 7]])


@pytest.fixture
def folder(tmp_path):
    for number in range(len(HOT)):
        Image.new("L", (8, 8), 10 + number).save(tmp_path / f"{number}.png")
    return tmp_path


def texts(number):
    return [name for name, is_there in zip(NAMES, HOT[number], strict=True) if is_there]


def list_of(kind, folder):
    """Return a list of one kind, and its options."""
    numbers = range(len(HOT))
    if kind == "jsonl":
        rows = [{"path": f"{i}.png", "label": texts(i)} for i in numbers]
        (folder / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
        return folder / "a.jsonl", {}
    if kind == "columns":
        rows = [f"{i}.png,{HOT[i][2]},{HOT[i][0]},{HOT[i][1]}" for i in numbers]
        options = {"columns": {"label": list(NAMES)}}
        header = "path,owl,cat,dog"
    else:
        separator = {"bar": "|", "space": " "}[kind]
        rows = [f"{i}.png,{separator.join(texts(i)) or '|'}" for i in numbers]
        options = {} if kind == "bar" else {"label_separator": separator}
        header = "path,label"
        if kind == "space":
            rows = [row for row in rows if not row.endswith("|")]
    (folder / "a.csv").write_text("\n".join([header, *rows]))
    return folder / "a.csv", options


def pairs(part):
    """Return the labels of each picture by its grey."""
    greys = [int(np.asarray(Image.open(path))[0, 0]) for path in part.pictures()]
    return dict(zip(greys, part.labels.tolist(), strict=True))


@ONE_BACKEND
@pytest.mark.parametrize("kind", ["bar", "space", "jsonl", "columns"])
def test_lists(kind, folder):
    source, options = list_of(kind, folder)
    data = keras_vit.load_data(
        source, multi_label=True, validation_fraction=0, **options
    )
    assert data.is_multi_label and data.class_names == NAMES and data.num_classes == 3
    kept = [i for i in range(len(HOT)) if kind != "space" or HOT[i].any()]
    assert pairs(data.train) == {10 + i: HOT[i].tolist() for i in kept}


@ONE_BACKEND
def test_a_picture_in_several_folders_has_several_labels(folder):
    for number in range(len(HOT)):
        for name in texts(number):
            path = folder / "photos" / name / f"{name}_{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((folder / f"{number}.png").read_bytes())
    (folder / "photos/cat/copy.png").write_bytes((folder / "1.png").read_bytes())
    with pytest.warns(UserWarning, match="1 pictures are in one class of"):
        data = keras_vit.load_data(
            folder / "photos", multi_label=True, validation_fraction=0
        )
    assert data.class_names == NAMES
    known = {10 + i: HOT[i].tolist() for i in range(len(HOT)) if HOT[i].any()}
    assert pairs(data.train) == known
    whole = keras_vit.load_data(folder / "photos", validation_fraction=0)
    assert not whole.is_multi_label and len(whole.train) == HOT.sum() + 1


@pytest.mark.parametrize("engine", ["threads", "tf.data"])
def test_batches_have_a_number_for_each_class(engine, rng):
    pixels = rng.integers(0, 256, (12, 8, 8, 3), dtype="uint8")
    data = keras_vit.load_data((pixels, HOT), multi_label=True, validation_fraction=0)
    named = keras_vit.load_data(
        (pixels, [texts(i) for i in range(12)]),
        class_names=NAMES,
        multi_label=True,
        validation_fraction=0,
    )
    np.testing.assert_array_equal(named.train.labels, data.train.labels)
    how = {"preprocessing": Preprocessing(image_size=8), "engine": engine}
    (_, labels), *_ = data.train.batches(batch_size=12, **how)
    assert str(labels.dtype).endswith("float32'>") or labels.dtype == "float32"
    np.testing.assert_array_equal(np.asarray(labels), HOT)
    (_, labels, weights), *_ = data.train.batches(batch_size=7, pad=True, **how)
    (_, mixed), *_ = data.train.batches(
        batch_size=12, training=True, mixing=Mixing(), **how
    )
    assert np.asarray(mixed).shape == (12, 3)
    with pytest.raises(ValueError, match="class_balance is for images of one label"):
        data.train.batches(training=True, class_balance="weights", **how)


def test_training_needs_a_loss_for_several_labels(rng):
    pixels = rng.integers(0, 256, (12, 32, 32, 3), dtype="uint8")
    data = keras_vit.load_data((pixels, HOT), multi_label=True)
    model = keras_vit.ViT.from_variant("test", num_classes=3)
    model.preprocessing = Preprocessing(image_size=32)
    with pytest.raises(ValueError, match="have several labels, and cross-entropy"):
        keras_vit.train(model, data, keras_vit.RECIPES["small_data"])
    with pytest.raises(ValueError, match="chooses one class per image"):
        keras_vit.evaluate(model, data)
    trained = keras_vit.TrainingModel(model)
    loss = keras_vit.training.BinaryCrossEntropy()
    trained.compile(keras.optimizers.SGD(0.0), loss)
    batches = data.train.batches(model.preprocessing, 4, training=True)
    history = trained.fit(batches, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def pictures(rng, count=600):
    """Return labels of which one is rare, and contents."""
    labels = (rng.random((count, 5)) < [0.5, 0.3, 0.2, 0.1, 0.02]).astype("float32")
    return labels, rng.integers(0, 2**63, count).astype("uint64")


@ONE_BACKEND
def test_folds_have_each_label_evenly(rng):
    labels, contents = pictures(rng)
    folds = fold_numbers(labels, 5, 0, contents)
    sizes = np.bincount(folds)
    assert sizes.sum() == 600 and np.ptp(sizes) <= 12
    counts = np.array([labels[folds == fold].sum(axis=0) for fold in range(5)])
    assert (np.ptp(counts, axis=0) <= np.maximum(3, 0.15 * counts.max(axis=0))).all()
    # A picture without a label is dealt as evenly as the others.
    empty = [(labels[folds == fold].sum(axis=1) == 0).sum() for fold in range(5)]
    assert min(empty) > 0
    order = rng.permutation(600)
    again = fold_numbers(labels[order][:, ::-1], 5, 0, contents[order])
    np.testing.assert_array_equal(folds[order], again)


@ONE_BACKEND
def test_shares_of_each_label(rng):
    labels, contents = pictures(rng)
    owners = rng.integers(0, 120, 600)
    for groups in (np.arange(600), owners):
        parts = grouped_split(labels, groups, {"validation": 0.2}, 0, contents)
        share = labels[parts["validation"]].sum(axis=0) / labels.sum(axis=0)
        assert (abs(share - 0.2) < 0.12).all()
        assert not set(groups[parts["train"]]) & set(groups[parts["validation"]])


BAD = [
    ("path,label\n0.png,\n", {}, "Each row needs a label, received None.* alone"),
    ("path,label\n0.png,|\n", {}, "No picture in .* has a label"),
    ("path,label\n0.png,a\n0.png,b\n", {}, "Rows with the same path"),
    ("path,a,b\n0.png,1,2\n", {"columns": {"label": ["a", "b"]}}, "received '2' in"),
    ("path,a,b\n0.png,1,0\n", {"columns": {"label": ["a", "c"]}}, r"there are \['path"),
    ("path,label\n0.png,a\n", {"class_names": ["b", "c"]}, "one of class_names"),
    ("path,label\n0.png,a\n", {"label_separator": ""}, "received an empty one"),
]


@ONE_BACKEND
@pytest.mark.parametrize(("content", "options", "message"), BAD)
def test_lists_that_say_no_labels_are_refused(content, options, message, folder):
    (folder / "a.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        keras_vit.load_data(folder / "a.csv", multi_label=True, **options)


@ONE_BACKEND
def test_several_labels_are_asked_for(folder):
    source, options = list_of("columns", folder)
    with pytest.raises(ValueError, match="only with multi_label=True"):
        keras_vit.load_data(source, **options)
    with pytest.raises(ValueError, match="multi_label is for lists"):
        keras_vit.load_data("digits", multi_label=True)
    pixels = np.zeros((12, 8, 8, 3), "uint8")
    for labels, more in (
        (HOT * 2, {}),
        (HOT[:5], {}),
        (HOT, {"class_names": ["a", "b"]}),
        (np.zeros(12, "int64"), {}),
    ):
        with pytest.raises(ValueError, match="must be 0 or 1 for each class, of shape"):
            keras_vit.load_data((pixels, labels), multi_label=True, **more)
    with pytest.raises(ValueError, match="all of class_names"):
        keras_vit.load_data(
            (pixels, [["bear"]] * 12), multi_label=True, class_names=NAMES
        )
