"""The precisions of the digits model that ships, and of each kind of architecture."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.exporting.litert.audit import list_ops
from keras_vit.exporting.litert.float_file import FloatFile
from keras_vit.exporting.litert.model_parts import find_parts
from keras_vit.exporting.litert.quantizer_recipes import (
    PRODUCTS,
    RECIPES,
    mixed_recipe,
)
from keras_vit.exporting.prepared_model import part_names
from keras_vit.exporting.quantizations import MIXED_INT8, QUANTIZATIONS
from keras_vit.exporting.run_exported import open_file
from tests.contract import example, set_random_weights
from tests.families import FAMILIES
from tests.one_backend import ONE_BACKEND

# Only a child process of `export` quantizes; here it is this one.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Warning. Enabling `experimental_preserve_all_tensors`:UserWarning"
)

FOLDER = Path(__file__).parents[3] / "saved_models" / "digits"
# Bytes of the file as a share of the float file; 90,922 weights and their scales.
LARGEST = {
    "float16": 0.56,
    "dynamic_int8": 0.37,
    "int8": 0.42,
    "weight_only_int8": 0.38,
    "int4": 0.26,
    "int16x8": 0.44,
    "mixed_int8": 0.43,
}


class Digits:
    """The digits model as a float file, with its held-out images."""

    def __init__(self) -> None:
        model = keras.saving.load_model(FOLDER / "model.keras", compile=False)
        self.parts = part_names(model)
        data = keras_vit.load_data("digits")
        self.train, self.test = (
            np.stack([model.preprocessing(x) for x in data.part(name).pictures()])
            for name in ("train", "test")
        )
        self.labels = np.asarray(data.part("test").labels)
        self.file = FloatFile(FOLDER / "model.tflite", self.train[:100])

    def accuracy(self, path: Path) -> float:
        outputs = open_file("litert", str(path))(self.test)
        return float(np.mean(outputs.argmax(-1) == self.labels))

    def quantize(self, precision: str) -> bytes:
        if precision != MIXED_INT8:
            recipe = RECIPES[precision](self.file.output)
        else:
            recipe = mixed_recipe(find_parts(self.file.ops, self.parts), ())
        return self.file.quantize(recipe)


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits()


@pytest.mark.parametrize("precision", LARGEST)
def test_each_precision_keeps_the_accuracy_on_held_out_digits(
    precision, digits, tmp_path
):
    path = tmp_path / "model.tflite"
    path.write_bytes(digits.quantize(precision))
    lost = digits.accuracy(digits.file.path) - digits.accuracy(path)
    assert lost <= 0.005
    size = digits.file.path.stat().st_size
    assert path.stat().st_size <= LARGEST[precision] * size
    assert not [op for op in list_ops(path) if op.startswith("CUSTOM")]


def test_each_precision_of_the_table_has_a_recipe():
    assert {*RECIPES, MIXED_INT8, "float32"} == {*QUANTIZATIONS}
    assert {*LARGEST} == {*RECIPES, MIXED_INT8}


def test_each_product_of_the_digits_model_belongs_to_its_part(digits):
    parts = find_parts(digits.file.ops, digits.parts)
    assert {name: len(scopes) for name, scopes in parts.items()} == {
        "patch_encoder": 1,
        **{f"block_{i}/{part}": 2 for i in range(3) for part in ("attention", "mlp")},
        "head": 1,
    }
    products = [op for op in digits.file.ops if op.kind == PRODUCTS]
    assert len(products) == sum(map(len, parts.values()))


def test_ranges_are_those_of_all_pictures(digits):
    # A range that is an average cuts off what is rare; ai-edge-quantizer's own is one.
    ranges = digits.file.ranges
    (first,) = (name for name in ranges if name.startswith("serving_default"))
    assert ranges[first]["min"].item() == digits.train[:100].min()
    assert ranges[first]["max"].item() == digits.train[:100].max()


# One for each kind of position, normalization, MLP, attention, block and pooling.
@ONE_BACKEND
@pytest.mark.parametrize(
    "name",
    ["axial from the left", "grouped", "mixed", "differential", "twin", "registers"],
)
def test_each_architecture_has_each_precision(name, tmp_path):
    options = {"num_classes": 10, **FAMILIES[name]}
    if name == "registers":
        options |= {"patch_size": 7}  # An odd number of values for four bits.
    model = keras_vit.ViT.from_variant("test", **options)
    set_random_weights(model)
    pictures = list(np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), "uint8"))
    path = tmp_path / "float32.tflite"
    keras_vit.export(model, path, images=pictures[:1], report=False)
    file = FloatFile(path, example((12, 32, 32, 3)))
    parts = find_parts(file.ops, part_names(model))
    assert (*parts,) == part_names(model)  # Each has products of its own.
    recipes = {name: recipe(file.output) for name, recipe in RECIPES.items()}
    expected = file.outputs(file.path)
    recipes[MIXED_INT8] = mixed_recipe(parts, ())
    errors = {
        precision: file.loss(expected, recipe)["error"]
        for precision, recipe in recipes.items()
    }
    # Random weights are harder than trained ones; a broken file has an error of one.
    coarse = max(errors.pop("int4"), errors.pop("int8"))
    assert coarse < 0.5 and max(errors.values()) < 0.06
    # Integers throughout: numbers become float again at the output alone.
    path = tmp_path / "int8.tflite"
    path.write_bytes(file.quantize(recipes["int8"]))
    assert list_ops(path)["DEQUANTIZE"] == 1
