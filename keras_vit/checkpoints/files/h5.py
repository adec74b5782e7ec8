"""Read the `.h5` files in which Keras saves weights, one array at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.checkpoints.files.lazy_arrays import LazyArrays


def read_h5(files: Sequence[tuple[str, Path]]) -> LazyArrays:
    """Return the arrays of some files by path, read when they are asked for.

    Args:
        files: each with what to put before the paths in it.

    Raises:
        FileNotFoundError: if a file does not exist.
        ImportError: if h5py is not installed.
        ValueError: if a file is damaged, or an array in it takes its values from
            elsewhere.
    """
    return LazyArrays(
        {
            prefix + name: partial(_read, path, name)
            for prefix, path in files
            for name in _names(path)
        }
    )


def _names(path: Path) -> list[str]:
    import h5py

    if not path.is_file():
        raise FileNotFoundError(f"No weights {str(path)!r}. Check the folder.")
    size, names = path.stat().st_size, []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            _check(name, item, size)
            names.append(name)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)  # Links to other files are not followed.
    except Exception as error:  # Damaged files raise many types.
        raise _damaged(path, error) from error
    return names


def _check(name: str, dataset: Any, size: int) -> None:
    """Refuse what Keras never writes: values elsewhere, or more than there is."""
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{name!r} takes its values from another file")
    if dataset.dtype.hasobject or dataset.nbytes > size:
        raise ValueError(f"{name!r} of shape {dataset.shape} is not in the file")


def _read(path: Path, name: str) -> np.ndarray:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            dataset: Any = file[name]
            array = np.asarray(dataset[()])
    except Exception as error:  # Damaged files raise many types.
        raise _damaged(path, error) from error
    if array.dtype.kind == "V" and array.dtype.itemsize == 2:
        import ml_dtypes

        array = array.view(ml_dtypes.bfloat16)
    return array


def _damaged(path: Path, reason: Exception) -> ValueError:
    return ValueError(
        f"{str(path)!r} is no complete file of Keras weights: {reason}. Download or "
        "write it again."
    )
