"""What an exported file tells about itself: preprocessing, classes, architecture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_vit import embedded_texts as containers

FILE_NAME = "keras_vit.json"
LABELS_NAME = "labels.txt"
OPENVINO_FILE = "openvino_model.xml"
FORMAT_VERSION = 1


def write_metadata(path: Path, format: str, metadata: dict[str, Any]) -> None:
    """Put the metadata into an exported file or folder."""
    WRITERS[format](path, metadata)


def write_saved_model_metadata(folder: Path, metadata: dict[str, Any]) -> None:
    """Put the metadata into `assets.extra/` of a SavedModel folder.

    TensorFlow leaves that folder to other tools and ignores it when loading.
    """
    extra = folder / "assets.extra"
    extra.mkdir(exist_ok=True)
    for name, text in _texts(metadata).items():
        (extra / name).write_text(text, encoding="utf-8")


def append_litert_metadata(path: Path, metadata: dict[str, Any]) -> None:
    """Append the metadata to a `.tflite` file, as a zip archive behind the model.

    A flatbuffer is read from its front and a zip archive from its end, so runtimes see
    the model and `unzip` sees the files; TensorFlow's own metadata library packs
    associated files the same way. MediaPipe reads files that are not compressed.
    """
    containers.append_zip(path, _texts(metadata))


def write_openvino_metadata(folder: Path, metadata: dict[str, Any]) -> None:
    """Put the metadata into the XML file of an OpenVINO folder."""
    containers.add_to_openvino(folder / OPENVINO_FILE, _texts(metadata))


WRITERS: dict[str, Callable[[Path, dict[str, Any]], None]] = {
    "litert": append_litert_metadata,
    "saved_model": write_saved_model_metadata,
    "onnx": lambda path, metadata: containers.append_onnx(path, _texts(metadata)),
    "openvino": write_openvino_metadata,
    "torch": lambda path, metadata: containers.add_to_torch(path, _texts(metadata)),
    # Read from its front, as a LiteRT file: both are flatbuffers.
    "stablehlo": lambda path, metadata: containers.append_zip(path, _texts(metadata)),
}


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Read the metadata of an exported file or folder.

    Raises:
        ValueError: if there is none, or it is from a newer version.
    """
    path = Path(path)
    text = _read_text(path)
    if text is None:
        raise ValueError(
            f"{str(path)!r} carries no keras_vit metadata (preprocessing and class "
            "names). Export it with keras_vit.export or `keras-vit export`."
        )
    metadata = json.loads(text)
    if metadata.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{str(path)!r} has metadata of version {metadata.get('format_version')}, "
            f"this keras_vit reads version {FORMAT_VERSION}. Update keras3-vit."
        )
    return metadata


def _read_text(path: Path) -> str | None:
    if (path / OPENVINO_FILE).is_file():
        return containers.read_openvino(path / OPENVINO_FILE).get(FILE_NAME)
    if path.is_dir():
        file = path / "assets.extra" / FILE_NAME
        return file.read_text(encoding="utf-8") if file.is_file() else None
    read = containers.read_onnx if path.suffix == ".onnx" else containers.read_zip
    return read(path).get(FILE_NAME)


def _texts(metadata: dict[str, Any]) -> dict[str, str]:
    texts = {FILE_NAME: json.dumps(metadata, indent=1) + "\n"}
    if metadata["class_names"]:
        texts[LABELS_NAME] = _lines(metadata["class_names"])
    return texts


def _lines(names: list[str]) -> str:
    # Readers differ in what ends a line: a carriage return does for some.
    return "".join(" ".join(name.splitlines()) + "\n" for name in names)
