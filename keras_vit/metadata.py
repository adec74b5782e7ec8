"""What an exported file tells about itself: preprocessing, classes, architecture."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE_NAME = "keras_vit.json"
LABELS_NAME = "labels.txt"
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
    (extra / FILE_NAME).write_text(
        json.dumps(metadata, indent=1) + "\n", encoding="utf-8"
    )
    if metadata["class_names"]:
        (extra / LABELS_NAME).write_text(
            _lines(metadata["class_names"]), encoding="utf-8"
        )


def append_litert_metadata(path: Path, metadata: dict[str, Any]) -> None:
    """Append the metadata to a `.tflite` file, as a zip archive behind the model.

    A flatbuffer is read from its front and a zip archive from its end, so runtimes see
    the model and `unzip` sees the files; TensorFlow's own metadata library packs
    associated files the same way. MediaPipe reads files that are not compressed.
    """
    with zipfile.ZipFile(path, mode="a", compression=zipfile.ZIP_STORED) as archive:
        archive.writestr(FILE_NAME, json.dumps(metadata, indent=1) + "\n")
        if metadata["class_names"]:
            archive.writestr(LABELS_NAME, _lines(metadata["class_names"]))


WRITERS: dict[str, Callable[[Path, dict[str, Any]], None]] = {
    "litert": append_litert_metadata,
    "saved_model": write_saved_model_metadata,
}


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Read the metadata of a `.tflite` file or a SavedModel folder.

    Raises:
        ValueError: if there is none, or it is from a newer version.
    """
    path = Path(path)
    text = None
    if path.is_dir():
        file = path / "assets.extra" / FILE_NAME
        text = file.read_text(encoding="utf-8") if file.is_file() else None
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if FILE_NAME in archive.namelist():
                text = archive.read(FILE_NAME).decode()
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


def _lines(names: list[str]) -> str:
    return "".join(name.replace("\n", " ") + "\n" for name in names)
