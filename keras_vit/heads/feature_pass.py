"""Run a backbone once over pictures. N pictures, B of a batch, D features."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vit.data.image_data import Part
from keras_vit.heads.feature_cache import FeatureCache, fingerprint
from keras_vit.image_progress import ImageProgress
from keras_vit.model import ViT
from keras_vit.preprocessing import Preprocessing

AUTO = "auto"
# Of each picture of the first batch, against float32.
MIN_COSINE = 0.998
_CHUNK = 256  # pictures that are kept at a time
_PROCESSOR_FLAGS = ("avx512_bf16", "amx_bf16")


class FeatureReader:
    """Gives the features of pictures, from the cache as far as they are there.

    Args:
        make: from a dtype policy, or None for that of the model, to the backbone.
        preprocessing: what pictures go through before it.
        dtype: "auto" takes bfloat16 where the processor has it, it is faster, and the
            features of the first batch have a cosine of at least 0.998 with those of
            float32; or a dtype policy.
        batch_size: pictures per call of the model.
        folder: where the features of all backbones are kept. None: nowhere.
        verbose: whether progress is told. Default True.
    """

    def __init__(
        self,
        make: Callable[[str | None], ViT],
        preprocessing: Preprocessing,
        *,
        dtype: str,
        batch_size: int,
        folder: Path | None,
        verbose: bool = True,
    ) -> None:
        self._make = make
        self._plain = make(None)
        self.preprocessing = preprocessing
        self.batch_size = batch_size
        self.folder = folder
        self.width = int(self._plain.output_shape[-1])
        self.num_computed, self.seconds = 0, 0.0
        self._verbose = verbose
        self.model: ViT | None = None
        self._names: dict[str, str] = {}  # of the folders in the cache, by dtype
        self.dtype = dtype if dtype != AUTO else ""
        if dtype == AUTO and not may_be_faster(self._plain):
            self.dtype = str(self._plain.compute_dtype)

    def read(self, images: Part) -> np.ndarray:
        """Return the features of pictures, float32 (N, D), in their order."""
        contents = getattr(images, "content", None)
        if contents is None:
            return self._compute(images, lambda start, rows: None)
        values, known = self._kept(contents)
        if known.all():
            return values
        missing = np.flatnonzero(~known)
        # Equal pictures have equal features.
        _, first = np.unique(contents[missing], return_index=True)
        missing = missing[np.sort(first)]
        part: Any = images
        some = part.subset(part.indices[missing])

        def keep(start: int, rows: np.ndarray) -> None:
            cache = self._cache()
            if cache is not None:
                cache.add(contents[missing[start : start + len(rows)]], rows)

        rows = self._compute(some, keep)
        order = np.argsort(contents[missing])
        places = np.searchsorted(contents[missing], contents[~known], sorter=order)
        values[~known] = rows[order[places]]
        return values

    def _kept(self, contents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return features that are kept, and of which pictures they are."""
        if self.folder is not None and not self.dtype:
            # Those of an earlier run tell which dtype it chose.
            for dtype in ("bfloat16", str(self._plain.compute_dtype)):
                cache = self._cache_of(dtype)
                if cache is not None and cache.folder.is_dir():
                    values, known = cache.read(contents)
                    if known.any():
                        self.dtype = dtype
                        return values, known
        cache = self._cache() if self.dtype else None
        if cache is not None:
            return cache.read(contents)
        return (
            np.zeros((len(contents), self.width), "float32"),
            np.zeros(len(contents), bool),
        )

    def _cache(self) -> FeatureCache | None:
        return self._cache_of(self.dtype)

    def _cache_of(self, dtype: str) -> FeatureCache | None:
        if self.folder is None:
            return None
        if dtype not in self._names:
            name = fingerprint(self._plain, self.preprocessing, dtype)
            self._names[dtype] = name
        return FeatureCache(self.folder / self._names[dtype], self.width)

    def _compute(
        self, images: Part, keep: Callable[[int, np.ndarray], None]
    ) -> np.ndarray:
        """Run the backbone; `keep` gets the number of the first picture and rows."""
        batches = images.batches(self.preprocessing, self.batch_size, pad=True)
        rows: list[np.ndarray] = []
        kept, done, total = 0, 0, len(images)
        started = time.perf_counter()
        progress = ImageProgress(total, verbose=self._verbose)
        for pixels, _, weights in batches:
            if self.model is None:
                self.model = self._chosen(np.asarray(pixels))
                started = time.perf_counter()  # Compiling is no part of the rate.
                progress = ImageProgress(total, verbose=self._verbose)
            found = _outputs(self.model, pixels)
            rows.append(found[: int(np.sum(np.asarray(weights) > 0))])
            done += len(rows[-1])
            if done - kept >= _CHUNK or done == total:
                keep(kept, np.concatenate(rows)[kept:done])
                kept = done
            progress.add(len(rows[-1]))
        progress.close()
        self.num_computed += total
        self.seconds += time.perf_counter() - started
        return np.concatenate(rows)

    def _chosen(self, pixels: np.ndarray) -> ViT:
        """Return the backbone in the precision that the features are computed in."""
        if self.dtype:
            is_own = self.dtype == self._plain.compute_dtype
            return self._plain if is_own else self._make(self.dtype)
        low = self._make("bfloat16")
        models = self._plain, low
        plain_rows, low_rows = (
            _outputs(model, pixels) for model in models
        )  # Compiles.
        is_same = cosines(plain_rows, low_rows).min() >= MIN_COSINE
        # In turn, and the least of each: the machine may have other work.
        seconds = [[_seconds(model, pixels) for model in models] for _ in range(2)]
        plain_seconds, low_seconds = np.min(seconds, axis=0)
        is_better = is_same and low_seconds < plain_seconds
        self.dtype = "bfloat16" if is_better else str(self._plain.compute_dtype)
        return low if is_better else self._plain


def needed_preprocessing(model: ViT) -> Preprocessing:
    """Return the preprocessing of a model.

    Raises:
        ValueError: if it has none, on which features depend.
    """
    if model.preprocessing is None:
        raise ValueError(
            "Features depend on how pictures are preprocessed, and the model does not "
            "say it. Set what it was trained with: model.preprocessing = keras_vit."
            "Preprocessing(image_size=..., mean=..., std=...)."
        )
    return model.preprocessing


def may_be_faster(model: ViT) -> bool:
    """Return whether bfloat16 is worth a try: the processor computes with it."""
    if model.compute_dtype != "float32":
        return False
    return has_accelerator() or processor_has_bfloat16()


def processor_has_bfloat16() -> bool:
    """Return whether the processor says that it multiplies bfloat16."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return platform.system() == "Linux" and any(f in text for f in _PROCESSOR_FLAGS)


def has_accelerator() -> bool:
    """Return whether the backend computes on a GPU or a TPU."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.is_available() or torch.backends.mps.is_available()
    return any(not name.startswith("cpu") for name in keras.distribution.list_devices())


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine between the rows of two arrays (N, D), float64 (N,)."""
    first, second = first.astype("float64"), second.astype("float64")
    norms = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    return np.sum(first * second, axis=-1) / np.maximum(norms, 1e-30)


def _seconds(model: ViT, pixels: np.ndarray) -> float:
    started = time.perf_counter()
    _outputs(model, pixels)
    return time.perf_counter() - started


def _outputs(model: ViT, pixels: Any) -> np.ndarray:
    found: Any = model.predict_on_batch(pixels)
    return np.asarray(ops.convert_to_numpy(found)).astype("float32")
