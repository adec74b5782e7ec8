from __future__ import annotations

from functools import partial

import keras
import numpy as np
import pytest

from keras_vit.layers import MLPHead, RejectingHead
from tests.contract import check_layer, example, set_random_weights, to_numpy

FEATURES = example((6, 8))


def made(**options):
    """Return a head of three classes with random distances, all about 1."""
    head = RejectingHead(4, 5, **options)
    head.build(FEATURES.shape)
    set_random_weights(head, scale=0.3)
    seen = FEATURES if head.representation is None else head.representation(FEATURES)
    squares = to_numpy(head.squared_distance(seen))
    for name in ("rejection_kernel", "rejection_bias", "rejection_means"):
        weight = getattr(head, name)
        weight.assign(weight / np.sqrt(np.median(squares)))
    head.rejection_steepness.assign([20.0])
    return head


@pytest.mark.parametrize("activation", [None, "softmax"])
@pytest.mark.parametrize("representation_size", [None, 5])
def test_rejecting_head_keeps_the_layer_contract(activation, representation_size):
    make = partial(
        RejectingHead,
        4,
        3,
        activation=activation,
        representation_size=representation_size,
    )
    check_layer(make, (2, 8), (2, 4))


def test_the_distance_is_that_to_the_nearest_mean():
    head = made()
    kernel, bias, means = (
        to_numpy(getattr(head, f"rejection_{name}"))
        for name in ("kernel", "bias", "means")
    )
    away = (FEATURES @ kernel + bias)[:, None] - means.T
    expected = (away**2).sum(axis=-1).min(axis=1)
    found = to_numpy(head.squared_distance(FEATURES))[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_none_is_the_answer_exactly_where_the_distance_is_above_one():
    head = made()
    is_far = to_numpy(head.squared_distance(FEATURES))[:, 0] > 1
    answers = to_numpy(head(FEATURES)).argmax(axis=1)
    np.testing.assert_array_equal(answers == 3, is_far)
    assert is_far.any() and not is_far.all()


@pytest.mark.parametrize("representation_size", [None, 5])
def test_classes_among_each_other_are_as_without_it(representation_size):
    sizes = {"representation_size": representation_size}
    head, plain = made(**sizes), MLPHead(3, **sizes)
    plain.build(FEATURES.shape)
    for name in ("representation", "logits"):
        if getattr(plain, name) is not None:
            getattr(plain, name).set_weights(getattr(head, name).get_weights())
    np.testing.assert_allclose(
        to_numpy(head(FEATURES))[:, :3], to_numpy(plain(FEATURES)), atol=1e-6
    )


def test_nothing_is_rejected_at_first():
    head = RejectingHead(4, 5)
    found = to_numpy(head(FEATURES))
    assert (found.argmax(axis=1) < 3).all()
    assert [w.path.split("/")[-2] for w in head.trainable_weights] == ["logits"] * 2


def test_what_is_very_far_has_finite_logits():
    head = made(dtype="float16")
    found = to_numpy(head(keras.ops.full((1, 8), 200.0)))
    assert np.isfinite(found).all() and found.argmax() == 3


def test_rejecting_head_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="num_outputs must be at least 2"):
        RejectingHead(1, 5)
    with pytest.raises(ValueError, match="rejection_dim must be at least 1"):
        RejectingHead(3, 0)
    with pytest.raises(ValueError, match="Reshape the inputs to rank 2"):
        RejectingHead(3, 2).build((None, 4, 8))
