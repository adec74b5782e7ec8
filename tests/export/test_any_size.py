"""Exported graphs for images of any size."""

from __future__ import annotations

import numpy as np
import pytest

import keras_vit
from keras_vit import Preprocessing
from keras_vit.export.child import run
from keras_vit.surgery import resize
from tests.any_size import KINDS, SIZES, close, tiny
from tests.contract import example, to_numpy


@pytest.mark.parametrize("kind", ["registers", "mixed"])
def test_an_exported_graph_takes_each_size(kind, tmp_path):
    model = tiny(**KINDS[kind], preprocessing=Preprocessing(image_size=32))
    free = resize(model, image_size=None)
    path = tmp_path / "model"
    keras_vit.export(free, path, format="saved_model", batch=None)
    pictures = [example((*size, 3)) for size in SIZES]
    expected = np.concatenate([to_numpy(free(x[None])) for x in pictures])
    close(run(path, "saved_model", pictures, tmp_path), expected)
