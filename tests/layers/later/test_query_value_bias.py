from __future__ import annotations

import numpy as np
import pytest

from keras_vit.layers import QueryValueBias
from tests.contract import check_layer, example, set_random_weights, to_numpy


def test_query_value_bias_keeps_the_layer_contract():
    check_layer(QueryValueBias, (4, 12), (4, 12))


def test_queries_and_values_are_shifted_but_not_keys():
    layer, x = QueryValueBias(), example((4, 12))
    layer.build(x.shape)
    set_random_weights(layer)
    query, value = layer.get_weights()
    expected = x + np.concatenate([query, np.zeros(4), value])
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-6)


def test_query_value_bias_starts_at_zero():
    x = example((4, 12))
    np.testing.assert_array_equal(to_numpy(QueryValueBias()(x)), x)


def test_query_value_bias_rejects_a_width_that_is_no_three_parts():
    with pytest.raises(ValueError, match="queries, keys and values of one width"):
        QueryValueBias().build((None, 10))
