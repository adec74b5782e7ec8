"""Where commands that write a `.keras` file put it."""

from __future__ import annotations

from argparse import Namespace

import pytest

from keras_vit.cli.arguments import keras_output
from tests.one_backend import NO_BACKEND

pytestmark = NO_BACKEND


def test_an_output_is_refused_before_any_work(tmp_path):
    file = tmp_path / "model.keras"
    assert keras_output(Namespace(output=str(file), overwrite=False)) == file
    file.write_text("")
    with pytest.raises(FileExistsError, match="exists. Choose another --output"):
        keras_output(Namespace(output=str(file), overwrite=False))
    assert keras_output(Namespace(output=str(file), overwrite=True)) == file
    with pytest.raises(ValueError, match="is a .keras file, received"):
        keras_output(Namespace(output=str(tmp_path / "model.h5"), overwrite=True))
