from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from keras_vit.layers import MLP, Branch, ExtendedSelfAttention, SelfAttention
from tests.contract import check_layer, example, set_random_weights, to_numpy

TOKENS = example((2, 5, 8))


@pytest.mark.parametrize(
    ("layer", "options"),
    [
        (MLP(8, 12), {}),
        (SelfAttention(8, 2), {"layer_scale": 0.1, "normalization": "rms"}),
        (
            ExtendedSelfAttention(8, 2, query_key_norm="head"),
            {"stochastic_depth_rate": 0.1, "epsilon": 1e-5},
        ),
    ],
)
def test_branch_keeps_the_layer_contract(layer, options):
    check_layer(partial(Branch, layer, **options), (2, 5, 8), (2, 5, 8))


def test_branch_normalizes_runs_its_layer_and_scales():
    branch = Branch(MLP(8, 12), layer_scale=0.5)
    branch.build(TOKENS.shape)
    set_random_weights(branch, scale=0.3)
    x = branch.layer(branch.norm(TOKENS))
    expected = to_numpy(x) * to_numpy(branch.scale.gamma)
    np.testing.assert_allclose(to_numpy(branch(TOKENS)), expected, atol=1e-6)


def test_branch_skips_its_share_of_the_images_in_training():
    branch = Branch(MLP(8, 12), stochastic_depth_rate=0.5)
    x = to_numpy(branch(example((200, 5, 8)), training=True))
    np.testing.assert_allclose((x == 0).all(axis=(1, 2)).mean(), 0.5, atol=0.15)


def test_a_scale_of_zero_gives_zero():
    assert not to_numpy(Branch(MLP(8, 12), layer_scale=0.0)(TOKENS)).any()


def test_branch_copies_the_layer_that_it_was_given():
    layer = MLP(8, 12)
    first, second = Branch(layer), Branch(layer)
    assert first.layer is not layer and first.layer is not second.layer


def test_branch_rejects_no_layer():
    with pytest.raises(ValueError, match="received layer=None. Pass one such as"):
        Branch(None)


def test_branch_rejects_what_is_no_layer():
    with pytest.raises(TypeError, match=r"received 'mlp' \(str\). Pass a layer such"):
        Branch("mlp")


def test_branch_rejects_an_unknown_normalization():
    with pytest.raises(ValueError, match="received 'batch'. Check the spelling"):
        Branch(MLP(8, 12), normalization="batch")
