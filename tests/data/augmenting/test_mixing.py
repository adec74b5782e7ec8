"""MixUp and CutMix, against timm's with the same draws."""

import numpy as np
import pytest
import torch

from keras_vit import Preprocessing
from keras_vit.data.augmenting.mixing import (
    Mixing,
    MixingDraw,
    cut_box,
    mix_images,
    pairs,
)
from keras_vit.data.sources.arrays import images_from_arrays
from tests.peers import import_timm

mixup = import_timm().data.mixup

CLASSES = 5


def planted(monkeypatch, shares, use_cutmix, boxes):
    """Make timm draw these shares and rectangles, in this order."""
    given = iter(boxes)
    monkeypatch.setattr(
        mixup.Mixup, "_params_per_elem", lambda self, n: (shares.copy(), use_cutmix)
    )
    monkeypatch.setattr(
        mixup, "rand_bbox", lambda shape, lam, margin=0.0, count=None: next(given)
    )


def test_images_and_labels_are_those_of_timm(rng, monkeypatch):
    images = rng.normal(size=(6, 8, 10, 3)).astype("float32")
    labels = rng.integers(0, CLASSES, 6)
    shares = rng.uniform(0.1, 0.9, 6).astype("float32")
    use_cutmix = np.array([True, False, True, False, False, True])
    boxes = np.zeros((6, 4), "int64")
    corrected = shares.copy()
    for i in np.flatnonzero(use_cutmix):
        centre = int(rng.integers(8)), int(rng.integers(10))
        boxes[i], corrected[i] = cut_box(float(shares[i]), centre, (8, 10))
    order = [tuple(boxes[i]) for i in np.flatnonzero(use_cutmix)]
    planted(monkeypatch, shares, use_cutmix, order)
    peer = mixup.Mixup(0.8, 1.0, mode="elem", num_classes=CLASSES, label_smoothing=0.1)
    expected, expected_labels = peer(
        torch.tensor(images.transpose(0, 3, 1, 2)), torch.tensor(labels)
    )
    # timm's pairs are (0, 5), (1, 4), (2, 3): as neighbours, and back.
    neighbours = np.array([0, 5, 1, 4, 2, 3])
    draw = MixingDraw(shares=corrected[neighbours], boxes=boxes[neighbours])
    mixed, mixed_labels = Mixing(label_smoothing=0.1).apply(
        images[neighbours], labels[neighbours], draw, num_classes=CLASSES, rng=rng
    )
    back = np.argsort(neighbours)
    np.testing.assert_allclose(
        mixed[back].transpose(0, 3, 1, 2), expected.numpy(), atol=1e-6
    )
    np.testing.assert_allclose(mixed_labels[back], expected_labels.numpy(), atol=1e-6)


@pytest.mark.parametrize("centre", [(0, 0), (3, 9), (7, 5)])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.77, 1.0])
def test_rectangles_are_those_of_timm(share, centre, monkeypatch):
    given = iter(centre)
    monkeypatch.setattr(np.random, "randint", lambda *a, size=None: next(given))
    box, left = mixup.cutmix_bbox_and_lam((3, 8, 10), share)
    ours, share_left = cut_box(share, centre, (8, 10))
    assert ours == tuple(int(edge) for edge in box)
    assert share_left == pytest.approx(left)


def test_shares_follow_the_beta_distributions(rng):
    mixing = Mixing(mixup_alpha=0.8, cutmix_alpha=0, mode="elem")
    shares = mixing.draw(20000, (8, 8), rng).shares
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * 0.8 + 1)), rel=0.03)
    boxes = Mixing(mixup_alpha=0, mode="elem").draw(2000, (64, 64), rng).boxes
    assert (boxes[:, 1] > boxes[:, 0]).mean() > 0.95


def test_switching_and_probability_share_the_batch(rng):
    mixing = Mixing(mode="elem", probability=0.5, switch_probability=0.25)
    draw = mixing.draw(4000, (224, 224), rng)
    cut = draw.boxes[:, 1] > draw.boxes[:, 0]
    mixed = draw.shares != 1
    assert mixed.mean() == pytest.approx(0.5, abs=0.03)
    assert cut.sum() / mixed.sum() == pytest.approx(0.25, abs=0.03)


def test_batch_mode_draws_once(rng):
    draw = Mixing().draw(16, (8, 8), rng)
    assert len(np.unique(draw.shares)) == 1 and len(np.unique(draw.boxes, axis=0)) == 1


def test_an_odd_batch_has_a_partner_for_each_image(rng):
    partners = pairs(5)
    np.testing.assert_array_equal(partners, [1, 0, 3, 2, 0])
    images = rng.normal(size=(5, 2, 2, 1)).astype("float32")
    draw = MixingDraw(
        shares=np.full(5, 0.25, "float32"), boxes=np.zeros((5, 4), "int64")
    )
    expected = 0.25 * images + 0.75 * images[partners]
    np.testing.assert_allclose(mix_images(images, partners, draw), expected, atol=1e-6)


def test_batches_hold_probabilities():
    pixels = np.zeros((20, 4, 4, 3), "uint8")
    images = images_from_arrays(pixels, np.arange(20) % 3, num_classes=4)
    preprocessing = Preprocessing(image_size=4)
    batches = images.batches(preprocessing, 8, training=True, mixing=Mixing())
    labels = batches[0][1]
    assert labels.shape == (8, 4) and labels.dtype == np.float32
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
    evaluation = images.batches(preprocessing, 8, mixing=Mixing())
    assert evaluation[0][1].shape == (8,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixup_alpha": -1}, "mixup_alpha must be at least 0"),
        ({"probability": 2}, r"probability must be in \[0, 1\]"),
        ({"switch_probability": -1}, r"switch_probability must be in \[0, 1\]"),
        ({"label_smoothing": 1}, "label_smoothing must be at least 0 and below 1"),
        ({"mode": "pair"}, "mode must be one of"),
        ({"mixup_alpha": 0, "cutmix_alpha": 0}, "needs mixup_alpha or cutmix_alpha"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Mixing(**options)


def test_processes_need_pairs():
    images = images_from_arrays(np.zeros((20, 4, 4, 3), "uint8"), np.arange(20) % 3)
    with pytest.raises(ValueError, match="an even number"):
        images.batches(
            Preprocessing(image_size=4), 6, training=True, mixing=Mixing(), shard=(0, 2)
        )
