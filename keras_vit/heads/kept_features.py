"""All features of pictures that a head may see, from the cache where they are there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_vit.data.image_data import Part
from keras_vit.heads.feature_cache import cache_folder
from keras_vit.heads.feature_kinds import AUTO, backbone, feature_kinds
from keras_vit.heads.feature_pass import FeatureReader, needed_preprocessing
from keras_vit.model import ViT


def kept_features(
    model: ViT, parts: Sequence[Part], *, verbose: bool = True
) -> dict[str, np.ndarray]:
    """Return each kind of features by its name, float32 (N, D), of N pictures.

    `fit_head` compares the same ones, and finds them in the same cache.

    Args:
        model: whose features.
        parts: of data, one after the other.
        verbose: whether progress is told. Default True.

    Raises:
        ValueError: if the model has no pooling or no preprocessing.
    """
    kinds = feature_kinds(model)
    reader = FeatureReader(
        lambda dtype: backbone(model, kinds, dtype),
        needed_preprocessing(model),
        dtype=AUTO,
        batch_size=32,
        folder=cache_folder(),
        verbose=verbose,
    )
    whole = np.concatenate([reader.read(part) for part in parts])
    return {kind.name: whole[:, kind.part] for kind in kinds}
