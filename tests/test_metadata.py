"""What an exported file tells about itself."""

from __future__ import annotations

from keras_vit import embedded_texts as containers
from keras_vit.metadata import LABELS_NAME, write_metadata


def test_each_class_has_one_line_whatever_is_in_its_name(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"a model")
    names = ["a, b", "c\nd", "e\r\nf", "g\u2028h", "", "ä"]
    write_metadata(path, "litert", {"class_names": names})
    text = containers.read_zip(path)[LABELS_NAME]
    assert text.splitlines() == ["a, b", "c d", "e f", "g h", "", "ä"]
