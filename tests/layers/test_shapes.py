from __future__ import annotations

import keras
import pytest

from keras_vit.layers.shapes import check_rank, check_width


def test_check_rank_names_the_layer_and_the_legend():
    with pytest.raises(ValueError, match=r"Layer takes inputs of shape \(B, T, D\)"):
        check_rank(keras.layers.Layer(), (None, 8), "(B, T, D)")


def test_check_rank_accepts_unknown_sizes():
    assert check_rank(keras.layers.Layer(), (None, None, 8), "(B, T, D)") is None


def test_check_width_says_which_hidden_dim_to_use():
    with pytest.raises(
        ValueError, match="hidden_dim=8.*Make the layer with hidden_dim=9"
    ):
        check_width(keras.layers.Layer(), (None, 5, 9), 8)
