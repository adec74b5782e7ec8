from __future__ import annotations

import pytest

from keras_vit.layers import LayerNormalization, RMSNormalization
from keras_vit.layers.normalization import make_normalization


@pytest.mark.parametrize(
    ("kind", "expected"), [("layer", LayerNormalization), ("rms", RMSNormalization)]
)
def test_a_normalization_is_made_by_its_name(kind, expected):
    layer = make_normalization(kind, 0.1, dtype="mixed_bfloat16", name="norm")
    assert type(layer) is expected
    found = (layer.epsilon, layer.name, layer.dtype_policy.name)
    assert found == (0.1, "norm", "mixed_bfloat16")


def test_an_unknown_normalization_is_rejected_with_a_list():
    with pytest.raises(ValueError, match=r"\['layer', 'rms'\], received 'batch'. Chec"):
        make_normalization("batch", 1e-6)
