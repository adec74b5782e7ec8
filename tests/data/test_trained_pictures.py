"""A run knows its pictures by what is in them, and what it never saw is held out."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit.data.contents import Contents, content, drawn
from keras_vit.data.splits import stratified_split
from keras_vit.data.trained_pictures import (
    FILE_NAME,
    read_trained_pictures,
    to_judge,
    trained_pictures,
    write_trained_pictures,
)

CLASSES = ("cat", "dog")


def write_photos(folder, count=20, seed=0):
    rng = np.random.default_rng(seed)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (12, 12, 3), "uint8")
            Image.fromarray(pixels).save(folder / name / f"{seed}_{i}.png")
    return folder


def shown(images):
    return {content(picture) for picture in images.pictures()}


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos")


@pytest.fixture
def run(photos):
    """Data of a run with a split of its own, and its record."""
    data = keras_vit.load_data(
        photos, validation_fraction=0.25, test_fraction=0.25, seed=5
    )
    return data, trained_pictures(data)


def test_the_split_follows_from_contents_not_from_names(photos, tmp_path):
    data = keras_vit.load_data(photos, seed=3)
    copy = tmp_path / "elsewhere"
    for name in CLASSES:
        (copy / name).mkdir(parents=True)
        for i, path in enumerate(sorted((photos / name).iterdir(), reverse=True)):
            shutil.copy(path, copy / name / f"IMG_{i:03}.png")
    again = keras_vit.load_data(str(copy), seed=3)
    for name, part in data.parts.items():
        assert shown(part) == shown(again.part(name))
    assert shown(keras_vit.load_data(copy, seed=4).validation) != shown(data.validation)


def test_a_moved_folder_is_the_same_data(photos, tmp_path, monkeypatch):
    data = keras_vit.load_data(photos)
    monkeypatch.chdir(tmp_path)
    assert keras_vit.load_data("photos").train.fingerprint == data.train.fingerprint
    moved = photos.rename(tmp_path / "moved")
    again = keras_vit.load_data(moved)
    assert again.train.fingerprint == data.train.fingerprint
    next((moved / "cat").iterdir()).unlink()
    assert keras_vit.load_data(moved).train.fingerprint != data.train.fingerprint


def test_new_pictures_leave_the_split_of_the_others_almost_as_it_was(photos):
    before = keras_vit.load_data(photos)
    write_photos(photos / "x", 2, seed=9)
    for name in CLASSES:
        for path in (photos / "x" / name).iterdir():
            path.rename(photos / name / path.name)
    shutil.rmtree(photos / "x")
    after = keras_vit.load_data(photos)
    # At most as many as came, in each of the two classes.
    assert len(shown(before.validation) - shown(after.validation)) <= 4


def test_equal_pictures_come_into_one_part():
    contents = np.repeat(np.arange(20, dtype="uint64"), 3)
    labels = np.zeros(60, "int64")
    parts = stratified_split(labels, {"validation": 0.3}, 0, contents)
    found = [set(contents[indices]) for indices in parts.values()]
    assert found[0] and not found[0] & found[1]
    assert len(parts["validation"]) + len(parts["train"]) == 60
    same = stratified_split(labels, {"validation": 0.5}, 0, np.zeros(60, "uint64"))
    assert len(same["validation"]) == 30  # Nothing tells them apart.


def test_draws_are_even():
    draws = drawn(np.arange(10_000, dtype="uint64"), seed=1) / 2.0**64
    np.testing.assert_allclose(np.histogram(draws, 10)[0], 1000, atol=120)
    assert (drawn(np.arange(9, dtype="uint64"), 2) != drawn(np.arange(9), 1)).all()


def test_contents_are_read_once_and_not_sent_along():
    asked = []

    def read(number):
        asked.append(number)
        return np.full((2, 2), number)

    contents = Contents(read, 3)
    assert len(set(contents.numbers)) == 3 and contents.numbers is contents.numbers
    assert sorted(asked) == [0, 1, 2]


@pytest.mark.parametrize("spelling", ["absolute", "copy", "default split"])
def test_the_held_out_part_is_that_of_the_run(run, photos, tmp_path, spelling):
    data, record = run
    source = photos if spelling != "copy" else tmp_path / "copy"
    if spelling == "copy":
        shutil.copytree(photos, source)
    options = {} if spelling == "default split" else {"validation_fraction": 0}
    judged = to_judge(keras_vit.load_data(source, **options), None, record)
    assert judged.name == "test" and judged.num_trained_on == 0
    assert shown(judged.images) == shown(data.test)


def test_new_pictures_are_held_out_and_counted(run, photos):
    data, record = run
    write_photos(photos / "more", 2, seed=9)
    for path in (photos / "more" / "cat").iterdir():
        path.rename(photos / "cat" / path.name)
    shutil.rmtree(photos / "more")
    judged = to_judge(keras_vit.load_data(photos), None, record)
    assert (judged.num_new, judged.num_trained_on) == (2, 0)
    assert shown(judged.images) > shown(data.test)


def test_other_data_is_judged_whole(run, tmp_path):
    held = keras_vit.load_data(write_photos(tmp_path / "held", 15, seed=8))
    judged = to_judge(held, None, run[1])
    assert (judged.name, len(judged.images), judged.num_new) == ("all", 30, 30)


def test_other_data_with_parts_of_its_own_is_judged_by_them(run, tmp_path):
    for part, seed in (("train", 8), ("val", 9)):
        write_photos(tmp_path / "other" / part, 5, seed=seed)
    judged = to_judge(keras_vit.load_data(tmp_path / "other"), None, run[1])
    assert (judged.name, len(judged.images)) == ("validation", 10)


def test_a_part_that_was_trained_on_says_so(run, photos):
    data = keras_vit.load_data(photos, validation_fraction=0.5, seed=11)
    judged = to_judge(data, "validation", run[1])
    trained = shown(run[0].train) & shown(data.validation)
    assert judged.num_trained_on == len(trained) > 0
    assert to_judge(data, "all", run[1]).num_trained_on == len(run[0].train)


def test_what_was_all_trained_on_is_called_train(photos):
    data = keras_vit.load_data(photos, validation_fraction=0)
    judged = to_judge(data, None, trained_pictures(data))
    assert judged.name == "train" and judged.num_trained_on == 40


def test_a_picture_of_both_parts_is_not_held_out(run, photos):
    data, record = run
    twice = {**record.parts, "test": np.concatenate([*record.parts.values()])}
    judged = to_judge(data, None, type(record)(record.source, record.split, twice))
    assert not shown(judged.images) & shown(data.train)


def test_a_part_that_the_run_had_not_is_refused(photos):
    data = keras_vit.load_data(photos, validation_fraction=0)
    with pytest.raises(ValueError, match=r"\['train'\], received part='test'"):
        to_judge(data, "test", trained_pictures(data))


def test_the_record_survives_and_a_damaged_one_is_named(run, tmp_path):
    write_trained_pictures(tmp_path, run[1])
    again = read_trained_pictures(tmp_path)
    assert again.source == run[1].source and again.split == dict(run[1].split)
    np.testing.assert_array_equal(again.parts["train"], run[1].parts["train"])
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"pictures.npz.*is damaged"):
        read_trained_pictures(tmp_path)
    assert read_trained_pictures(tmp_path / "nothing") is None


def test_a_set_without_contents_is_not_called_held_out_in_silence(run):
    class Pairs:
        def __len__(self):
            return 8

        def __getitem__(self, i):
            return np.full((4, 4, 3), i, "uint8"), i % 2

    data = keras_vit.load_data(Pairs())
    assert not trained_pictures(data).parts
    with pytest.warns(UserWarning, match="Nobody knows which images of 'Pairs'"):
        judged = to_judge(data, None, run[1])
    assert judged.num_trained_on is None
    again = to_judge(keras_vit.load_data(Pairs()), None, trained_pictures(data))
    assert again.name == "validation"


def test_a_part_of_data_that_is_not_divided_is_that_of_the_run(run, photos):
    whole = keras_vit.load_data(photos, validation_fraction=0)
    for name, part in run[0].parts.items():
        judged = to_judge(whole, name, run[1])
        assert judged.name == name and shown(judged.images) == shown(part)
