"""Read and write `.npz` files: one array at a time, and never a pickle."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from keras_vit.files import replacing

# What damaged zip files and damaged arrays in them raise.
_DAMAGE = (
    *(EOFError, NotImplementedError, OSError, RuntimeError, ValueError),
    *(zipfile.BadZipFile, zlib.error),
)
# Blocks that a file stacks ask for the same arrays in turn; queries, keys and values
# are three of them.
_NUM_KEPT = 3


@dataclass(frozen=True, slots=True)
class _Header:
    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype


class NpzFile(Mapping[str, np.ndarray]):
    """The arrays of a file by name, read when they are asked for.

    Args:
        path: the file.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: if the file is damaged, or an array in it is a pickle.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._kept: dict[str, np.ndarray] = {}
        with self.path.open("rb") as file:
            try:
                with zipfile.ZipFile(file) as members:
                    self._headers = {
                        info.filename.removesuffix(".npy"): self._header(members, info)
                        for info in members.infolist()
                        if info.filename.endswith(".npy")
                    }
            except _DAMAGE as error:
                raise self._error(error) from error

    def _header(self, members: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Header:
        with members.open(info) as member:
            header = _read_header(member)
            length = member.tell()
        if header.dtype.hasobject:
            raise ValueError(f"{info.filename!r} is a pickle, which is never read")
        size = math.prod(header.shape) * header.dtype.itemsize
        if min(header.shape, default=0) < 0 or length + size != info.file_size:
            raise ValueError(
                f"{info.filename!r} of shape {header.shape} needs {size} bytes and has "
                f"{info.file_size - length}"
            )
        return header

    def _error(self, reason: Any) -> ValueError:
        return ValueError(
            f"{str(self.path)!r} is no complete .npz file: {reason}. Download or write "
            "it again."
        )

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._kept:
            array = self._read(name)
            while len(self._kept) >= _NUM_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[name] = array
        return self._kept[name]

    def _read(self, name: str) -> np.ndarray:
        header = self._headers[name]
        try:
            with zipfile.ZipFile(self.path) as members:
                with members.open(f"{name}.npy") as member:
                    _read_header(member)
                    data = member.read()  # To the end, where the checksum is.
            array = np.frombuffer(data, header.dtype)
        except _DAMAGE as error:
            raise self._error(f"{name!r}: {error}") from error
        order = "F" if header.is_fortran else "C"
        return array.view(_float_dtype(header.dtype)).reshape(header.shape, order=order)

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers)

    def __len__(self) -> int:
        return len(self._headers)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the arrays, which are not read for it."""
        return {name: header.shape for name, header in self._headers.items()}


def write_npz(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a file, complete or not at all.

    Args:
        path: of the file.
        arrays: by name.

    Raises:
        OSError: if the file cannot be written.
    """
    with replacing(path) as temporary, Path(temporary).open("wb") as file:
        # pyright takes a name for the argument `allow_pickle`.
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]


def _read_header(member: IO[bytes]) -> _Header:
    readers = {
        1: np.lib.format.read_array_header_1_0,
        2: np.lib.format.read_array_header_2_0,
    }
    major, _ = np.lib.format.read_magic(member)
    if major not in readers:
        raise ValueError(f"an array is of the .npy version {major}")
    return _Header(*readers[major](member))


def _float_dtype(dtype: np.dtype) -> np.dtype:
    """Return what an array holds: bfloat16 is stored as two bytes without a meaning."""
    if dtype.itemsize == 2 and dtype.kind in "Vu":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return dtype
