"""Read and write `.safetensors` files with numpy alone.

The format: 8 bytes with the length of a JSON header, the header {name: {dtype, shape,
data_offsets}}, the data. The package `safetensors` reads no bfloat16 into numpy, and
loading should need nothing else. Reference: huggingface/safetensors, README, "Format".
"""

from __future__ import annotations

import json
import math
import re
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.checkpoints.entries import Arrays
from keras_vit.files import replacing

MAX_HEADER_BYTES = 100_000_000  # as in the reference implementation

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
# Quantized weights, whose scales are in other arrays by rules of their own.
_QUANTIZED = re.compile(r"F(?:8|6|4)_.*|F4|F6|F8")
_CODES = {name: code for code, name in _DTYPES.items()}


class _Damaged(Exception):
    """What a header says cannot be."""


class _Quantized(Exception):
    """Name and type of an array of fewer bits."""


class SafetensorsFile(Mapping[str, np.ndarray]):
    """The arrays of a file by name, read when they are asked for.

    Args:
        path: the file.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if the header does not describe the file: truncated, overlapping
            or foreign data.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._size = self.path.stat().st_size
        self.metadata, self._entries, self._start = self._read_header()
        self._check_layout()

    def _read_header(self) -> tuple[dict[str, str], dict[str, Any], int]:
        with self.path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if self._size < 8 or length > min(self._size - 8, MAX_HEADER_BYTES):
                raise self._error(
                    f"the header says that it has {length} bytes, the file has "
                    f"{self._size}"
                )
            try:
                header = json.loads(file.read(length))
            except ValueError as error:
                raise self._error("the header is not JSON") from error
        if not isinstance(header, dict):
            raise self._error("the header is no JSON object")
        metadata = header.pop("__metadata__", None) or {}
        if not isinstance(metadata, dict):
            raise self._error("its metadata are no JSON object")
        return metadata, header, 8 + length

    def _check_layout(self) -> None:
        end = 0
        try:
            entries = sorted(
                self._entries.items(), key=lambda item: tuple(item[1]["data_offsets"])
            )
            for name, entry in entries:
                first, last = entry["data_offsets"]
                if _QUANTIZED.fullmatch(str(entry["dtype"])):
                    raise _Quantized(name, entry["dtype"])
                if entry["dtype"] not in _DTYPES:
                    raise _Damaged(f"{name!r} has the dtype {entry['dtype']!r}")
                if not all(type(n) is int for n in [first, last, *entry["shape"]]):
                    raise _Damaged(f"{name!r} has numbers that are no whole ones")
                size = math.prod(entry["shape"]) * _dtype(entry["dtype"]).itemsize
                if min(entry["shape"], default=0) < 0 or first != end:
                    raise _Damaged(f"{name!r} does not follow the array before it")
                if last - first != size:
                    raise _Damaged(
                        f"{name!r} of shape {entry['shape']} needs {size} bytes and "
                        f"has {last - first}"
                    )
                end = last
        except _Quantized as error:
            name, dtype = error.args
            raise ValueError(
                f"{str(self.path)!r} must hold floats of 16 bits or more, received "
                f"{name!r} of type {dtype}, quantized weights that keras_vit does not "
                "undo. Load it with the library that wrote it, and save it as float32 "
                "or bfloat16."
            ) from error
        except _Damaged as error:
            raise self._error(str(error)) from error
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise self._error(f"the header is incomplete ({error})") from error
        if self._start + end != self._size:
            raise self._error(
                f"the arrays need {self._start + end} bytes, the file has {self._size}"
            )

    def _error(self, reason: str) -> ValueError:
        return ValueError(
            f"{str(self.path)!r} is no complete .safetensors file: {reason}. Download "
            "or write it again."
        )

    def __getitem__(self, name: str) -> np.ndarray:
        entry = self._entries[name]
        dtype = _dtype(entry["dtype"])
        return np.fromfile(
            self.path,
            dtype=dtype,
            count=math.prod(entry["shape"]),
            offset=self._start + entry["data_offsets"][0],
        ).reshape(entry["shape"])

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def read_shards(index: Path, read: Callable[[Path], Arrays]) -> Arrays:
    """Return the arrays of several files as one mapping, as an index lists them.

    Args:
        index: the file that lists them.
        read: opens one of them.

    Raises:
        FileNotFoundError: if a file is not there.
        ValueError: if the index is not one, or a file is damaged or lacks an array.
    """
    places, names = _places(index), part_names(index)
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{str(index)!r} needs {len(missing)} files that are not there: "
            f"{', '.join(missing)}. Download them, too."
        )
    arrays: Arrays = ChainMap(*(read(index.parent / name) for name in names))  # pyright: ignore[reportArgumentType]
    absent = sorted(set(places) - set(arrays))
    if absent:
        raise ValueError(
            f"{str(index)!r} lists {len(absent)} arrays that no file holds, such as "
            f"{absent[0]!r}. Download the files again."
        )
    return arrays


def part_names(index: Path) -> list[str]:
    """Return the names of the files that an index lists.

    Raises:
        ValueError: if the index is not one.
    """
    return sorted({Path(str(name)).name for name in _places(index).values()})


def _places(index: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{str(index)!r} must map each array to a file under 'weight_map': {error}"
        ) from error


def write_safetensors(
    path: str | Path,
    arrays: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a file, complete or not at all.

    Args:
        path: of the file.
        arrays: by name.
        metadata: strings for the header. Default None.

    Raises:
        OSError: if the file cannot be written.
        TypeError: if an array has a dtype that the format lacks.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, array in arrays.items():
        code = _CODES.get(array.dtype.name)
        if code is None:
            raise TypeError(f"{name!r} has the dtype {array.dtype}; use float32.")
        header[name] = {
            "dtype": code,
            "shape": list(array.shape),
            "data_offsets": [end, end + array.nbytes],
        }
        end += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path) as temporary, Path(temporary).open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).tobytes())


def _dtype(code: str) -> np.dtype:
    if code == "BF16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(_DTYPES[code])
