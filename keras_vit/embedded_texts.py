"""Short texts inside the files of other formats: what a model says about itself.

Each function takes or returns texts by name.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

Texts = dict[str, str]

# Fields of ONNX's ModelProto and StringStringEntryProto: number and type, as protobuf
# encodes them. Reference: onnx/onnx.proto.
_METADATA_PROPS, _KEY, _VALUE = 14 << 3 | 2, 1 << 3 | 2, 2 << 3 | 2
_TYPE, _NUMBER, _BYTES = 0b111, 0, 2
_LARGEST = 2**31  # What protobuf allows, bytes.
# The first one that a zip archive can hold.
_FIRST_DATE = (1980, 1, 1, 0, 0, 0)
# Of a zip archive: where texts are, and how their names end.
_FOLDERS, _ENDINGS = ("", "extra"), (".json", ".txt")
# Section of an OpenVINO model, and where all sections are.
_RT_INFO, _SECTION = "rt_info", "keras_vit"


def append_zip(path: Path, texts: Texts) -> None:
    """Append a zip archive to a file that is read from its front."""
    # MediaPipe reads members that are not compressed.
    with zipfile.ZipFile(path, mode="a", compression=zipfile.ZIP_STORED) as archive:
        for name, text in texts.items():
            archive.writestr(_entry(name), text)


def add_to_torch(path: Path, texts: Texts) -> None:
    """Add texts to a `.pt2` file, where `torch.export.load(extra_files=)` finds them.

    The file is a zip archive of one folder.
    """
    with zipfile.ZipFile(path, mode="a") as archive:
        folder = archive.namelist()[0].split("/")[0]
        for name, text in texts.items():
            archive.writestr(_entry(f"{folder}/extra/{name}"), text)


def _entry(name: str) -> zipfile.ZipInfo:
    """Return a file in an archive without a date: the same model gives equal bytes."""
    entry = zipfile.ZipInfo(name, date_time=_FIRST_DATE)
    entry.external_attr = 0o600 << 16  # Readable and writable by its owner.
    return entry


def read_zip(path: Path) -> Texts:
    """Return what the two functions above added to a file."""
    if not zipfile.is_zipfile(path):
        return {}
    with zipfile.ZipFile(path) as archive:
        texts = {}
        for file in archive.namelist():
            folder, _, name = file.rpartition("/")
            if Path(folder).name in _FOLDERS and Path(name).suffix in _ENDINGS:
                texts[name] = archive.read(file).decode()
        return texts


def append_onnx(path: Path, texts: Texts) -> None:
    """Add texts to the `metadata_props` of an ONNX file.

    Fields of a protobuf message may stand in any order, so they go to its end and the
    weights are not read.
    """
    with path.open("ab") as file:
        for name, text in texts.items():
            entry = _field(_KEY, name.encode()) + _field(_VALUE, text.encode())
            file.write(_field(_METADATA_PROPS, entry))


def read_onnx(path: Path) -> Texts:
    """Return the `metadata_props` of an ONNX file, without reading its weights."""
    texts = {}
    with path.open("rb") as file:
        for entry in _fields(file, (_METADATA_PROPS,)):
            strings = [*_fields(io.BytesIO(entry), (_KEY, _VALUE))]
            if len(strings) == 2:
                texts[strings[0].decode()] = strings[1].decode()
    return texts


def add_to_openvino(path: Path, texts: Texts) -> None:
    """Add texts to the runtime information of an OpenVINO model, an XML file."""
    tree = ElementTree.parse(path)
    root = tree.getroot()
    info = root.find(_RT_INFO)
    if info is None:
        info = ElementTree.SubElement(root, _RT_INFO)
    section = ElementTree.SubElement(info, _SECTION)
    for name, text in texts.items():
        ElementTree.SubElement(section, name, value=text)
    tree.write(path, encoding="utf-8", xml_declaration=True)


def read_openvino(path: Path) -> Texts:
    """Return the texts of `add_to_openvino`."""
    section = ElementTree.parse(path).getroot().find(f"{_RT_INFO}/{_SECTION}")
    return {} if section is None else {e.tag: e.get("value", "") for e in section}


def _fields(file: BinaryIO, wanted: tuple[int, ...]) -> Iterator[bytes]:
    """Yield the bytes of some fields of a protobuf message; all else is passed over."""
    while (tag := _read_number(file)) is not None:
        number = _read_number(file)
        if tag & _TYPE == _NUMBER:
            continue
        if tag & _TYPE != _BYTES or number is None or number > _LARGEST:
            return  # Something else than ONNX, or damaged.
        if tag not in wanted:
            file.seek(number, io.SEEK_CUR)
            continue
        content = file.read(number)
        if len(content) < number:
            return
        yield content


def _read_number(file: BinaryIO) -> int | None:
    """Read a protobuf number: seven bits a byte, lowest first; None: the file ends."""
    number = shift = 0
    while byte := file.read(1):
        number |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return number
        shift += 7
    return None


def _field(tag: int, content: bytes) -> bytes:
    return _number(tag) + _number(len(content)) + content


def _number(number: int) -> bytes:
    lower = []
    while number >= 0x80:
        lower.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*lower, number])
