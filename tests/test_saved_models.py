"""The trained model that ships reaches what its card states."""

import re
from pathlib import Path

import pytest

import keras_vit

FOLDER = Path(__file__).parents[1] / "saved_models" / "digits"


@pytest.fixture(scope="module")
def stated() -> tuple[float, int]:
    """Accuracy and number of images in the card."""
    card = (FOLDER / "README.md").read_text()
    accuracy, count = re.search(r"\*\*(0\.\d+)\*\* on (\d+) test images", card).groups()
    return float(accuracy), int(count)


@pytest.mark.parametrize("name", ["model.keras", "model.tflite"])
def test_the_files_reach_the_accuracy_of_the_card(name, stated):
    result = keras_vit.evaluate(FOLDER / name, keras_vit.load_data("digits"))
    assert result.num_images == stated[1]
    assert result.accuracy == pytest.approx(stated[0], abs=1e-4)


def test_the_files_are_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 1_000_000


def test_the_pictures_in_examples_are_recognised():
    pictures = sorted((FOLDER.parents[1] / "examples" / "images").glob("*.png"))
    names = dict(three="3", seven="7")
    predictions = keras_vit.predict(FOLDER / "model.tflite", pictures)
    assert [p[0].class_name for p in predictions] == [names[p.stem] for p in pictures]
