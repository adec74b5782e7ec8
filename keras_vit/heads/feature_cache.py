"""Features of pictures, kept on disk for the next head. N pictures, D features."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
from keras import ops

from keras_vit.files import replacing
from keras_vit.heads.feature_kinds import AUTO
from keras_vit.model import ViT
from keras_vit.preprocessing import Preprocessing

_FORMAT = 1
FOLDER_VARIABLE = "KERAS_VIT_CACHE"


def cache_folder(wanted: str | Path | None = AUTO) -> Path | None:
    """Return where features are kept; None: nowhere.

    Args:
        wanted: a folder, None, or "auto" (default) for `KERAS_VIT_CACHE`, else
            `~/.cache/keras_vit`.
    """
    if wanted != AUTO:
        return None if wanted is None else Path(wanted).expanduser()
    folder = os.environ.get(FOLDER_VARIABLE)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(folder or Path(base) / "keras_vit").expanduser() / "features"


def fingerprint(model: ViT, preprocessing: Preprocessing, dtype: str) -> str:
    """Return a hash of all that decides what the features of a picture are.

    Args:
        model: the backbone, as it computes the features.
        preprocessing: what pictures go through before it.
        dtype: that the features are computed in.
    """
    about = {
        "format": _FORMAT,
        "config": asdict(model.config),
        "preprocessing": asdict(preprocessing),
        "dtype": dtype,
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for weight in model.weights:
        array = np.ascontiguousarray(ops.convert_to_numpy(weight))
        digest.update(f"{weight.path} {array.dtype} {array.shape}".encode())
        digest.update(array.view("uint8").data)
    return digest.hexdigest()[:24]


class FeatureCache:
    """The features of one backbone, by the contents of the pictures.

    They stand in files that are never changed: several processes may add some at the
    same time, and a run that is stopped has lost nothing of what it added.

    Args:
        folder: of this backbone alone, named by its fingerprint.
        width: D.
    """

    def __init__(self, folder: Path, width: int) -> None:
        self.folder = folder
        self.width = width

    def read(self, contents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the features of these pictures, and which of them are known.

        Args:
            contents: of each picture, uint64 (N,).

        Returns:
            float32 (N, D), zeros where nothing is known; bool (N,).
        """
        found = np.zeros((len(contents), self.width), "float32")
        known = np.zeros(len(contents), bool)
        places: dict[int, list[int]] = {}
        for place, number in enumerate(contents.tolist()):
            places.setdefault(number, []).append(place)
        for path in sorted(self.folder.glob("*.npz")):
            part = self._read_file(path)
            if part is None:
                continue
            numbers, features = part
            for number, row in zip(numbers.tolist(), features, strict=True):
                for place in places.get(number, ()):
                    found[place], known[place] = row, True
        return found, known

    def add(self, contents: np.ndarray, features: np.ndarray) -> None:
        """Keep the features, float32 (N, D), of pictures with these contents."""
        with replacing(self.folder / f"{uuid.uuid4().hex}.npz") as temporary:
            np.savez(temporary, contents=contents, features=features)

    def _read_file(self, path: Path) -> tuple[np.ndarray, np.ndarray] | None:
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                contents, features = found["contents"], found["features"]
            whole = features.shape == (len(contents), self.width)
            if not whole or not np.isfinite(features).all():
                raise ValueError(f"it holds features of the shape {features.shape}")
            return contents, features
        except Exception as error:  # A damaged zip raises many types.
            warnings.warn(
                f"The features in {str(path)!r} cannot be read ({error}), and are "
                "computed again. Remove the file.",
                stacklevel=2,
            )
            return None
