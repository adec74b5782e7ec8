"""Maps over several pictures in one page."""

from __future__ import annotations

import json

import keras_vit
from keras_vit import Preprocessing
from keras_vit.cli import main
from tests.one_backend import NO_BACKEND
from tests.pictures import write_folder
from tests.tiny_model import tiny

pytestmark = NO_BACKEND


def test_the_command_writes_one_page(tmp_path, capsys):
    folder = write_folder(tmp_path, 4, classes=2)
    pictures = [*map(str, sorted(folder.glob("*/*.png")))]
    model = tiny(num_classes=2, class_names=("<cat>", "dog"))
    model.preprocessing = Preprocessing(image_size=32)
    keras_vit.save(model, tmp_path / "model.keras")
    page = tmp_path / "maps.html"
    given = ["explain", str(tmp_path / "model.keras"), *pictures]
    given += ["--output", str(page)]
    assert main([*given, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["map"] for row in rows.values()} == {str(page)}
    text = page.read_text()
    assert text.count("<figure>") == 4 and text.count("<img") == 8
    assert all(f'alt="{row["text"]}"' not in text for row in rows.values())  # Quoted.
    assert text.count("Heat map by relevance for &#x27;") == 4
    assert "digit_0/0.png" in text and "<cat>" not in text and "://" not in text
    assert main(given) == 2 and "exists" in capsys.readouterr().err
    assert page.read_text() == text
    assert main([*given, "--overwrite", "--method", "components"]) == 0
    assert "by components" in page.read_text()
