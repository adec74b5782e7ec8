from __future__ import annotations

import json

import pytest

import keras_vit
from keras_vit.checkpoints.class_names import class_names
from tests.peers import timm_model, write_timm

ANIMALS = ("zebra", "ant", "cat")


@pytest.mark.parametrize(
    "names",
    [
        list(ANIMALS),
        {"2": "cat", "0": "zebra", "1": "ant"},
        {2: "cat", 0: "zebra", 1: "ant"},
        {"cat": 2, "zebra": 0, "ant": 1},
        {"cat": "2", "zebra": "0", "ant": "1"},
    ],
)
def test_names_are_in_the_order_of_the_classes(names):
    assert class_names(names, 3, "file") == ANIMALS


def test_names_that_are_numbers_are_told_from_the_numbers_of_classes():
    assert class_names({"7": 0, "3": 1, "5": 2}, 3, "file") == ("7", "3", "5")
    assert class_names({"2": "0", "0": "1", "1": "2"}, 3, "file") == ("1", "2", "0")


@pytest.mark.parametrize(
    "names",
    [
        {"1": "a", "2": "b", "3": "c"},
        {"0": "a", "1": "b"},
        {"0": "a", "00": "b", "1": "c", "2": "d"},
        {"a": "b", "c": "d", "e": "f"},
        ["a", "b"],
        "abc",
        7,
    ],
)
def test_names_that_cannot_be_used_are_said(names):
    with pytest.warns(UserWarning, match="one for each number from 0 to 2, received"):
        assert class_names(names, 3, "file") is None


@pytest.mark.parametrize("names", [None, {}, [], {"0": "LABEL_0", "1": "LABEL_1"}])
def test_no_names_are_no_names(names):
    assert class_names(names, 2, "file") is None
    assert class_names(["a"], None, "file") is None


@pytest.mark.parametrize("place", ["label_names", "pretrained_cfg", "labels"])
def test_a_dictionary_of_timm_is_read_by_number_and_written_as_it_is(place, tmp_path):
    options = {"embed_dim": 32, "depth": 1, "num_heads": 2, "num_classes": 3}
    write_timm(timm_model("vit_base_patch16_224", **options, img_size=32), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    names = {"2": "cat", "0": "zebra", "1": "ant"}
    if place == "pretrained_cfg":
        config[place]["label_names"] = names
    else:
        config[place] = names
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = keras_vit.load(tmp_path)
    assert model.class_names == ANIMALS
    keras_vit.save(model, tmp_path / "again", format="timm")
    assert keras_vit.load(tmp_path / "again").class_names == ANIMALS
