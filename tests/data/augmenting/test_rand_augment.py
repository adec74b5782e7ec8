"""RandAugment and AugMix: what is drawn."""

import numpy as np
import pytest

from keras_vit import Augmentation, Preprocessing
from keras_vit.data import AugMix, RandAugment
from keras_vit.data.augmenting.rand_augment import RAND_AUGMENT_OPERATIONS

PREPROCESSING = Preprocessing(image_size=16)


@pytest.fixture
def picture(rng) -> np.ndarray:
    return rng.integers(0, 256, (16, 16, 3), dtype="uint8")


def distort(augmentation, pixels, seed=0):
    return augmentation.distort(pixels, np.random.default_rng(seed), PREPROCESSING)


def test_the_share_of_changed_images_follows_from_probability(picture):
    # Two draws of which half are applied: a quarter stays as it is, and a little more,
    # as noise is not changed by auto_contrast.
    changed = [
        not np.array_equal(
            distort(Augmentation(rand_augment=True), picture, s), picture
        )
        for s in range(400)
    ]
    assert 0.6 < np.mean(changed) < 0.75


def test_magnitude_zero_of_the_increasing_kind_changes_little(picture):
    weak = RandAugment(magnitude=0, magnitude_std=0, probability=1.0, num_operations=1)
    kept = [
        np.array_equal(distort(Augmentation(rand_augment=weak), picture, s), picture)
        for s in range(60)
    ]
    # Four of 15 know no magnitude: contrast of the whole range, equalize, invert; and
    # shears of nothing are exact.
    assert np.mean(kept) > 0.6


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_each_kind_of_picture_works(channels, dtype, rng):
    pixels = rng.integers(0, 256, (20, 24, channels)).astype(dtype)
    preprocessing = Preprocessing(image_size=16, channels=channels)
    augmentation = Augmentation(
        crop_area=(0.3, 1.0), three_augment=True, rand_augment=True, aug_mix=True,
        color_jitter=(0.4, 0.4, 0.4, 0.2), random_erasing=1.0,
    )  # fmt: skip
    augmentation.check(preprocessing)
    for seed in range(10):
        changed = augmentation(pixels, preprocessing, np.random.default_rng(seed))
        assert changed.shape == (16, 16, channels) and changed.dtype == np.uint8


def test_big_visions_kind_always_changes_and_at_one_magnitude(picture):
    # Of 16 operations none leaves noise as it is, but auto_contrast, and those whose
    # AutoAugment scale is weakest at magnitude 20: posterize and solarize.
    kind = RandAugment.big_vision(20.0, num_operations=1)
    kept = [
        np.array_equal(distort(Augmentation(rand_augment=kind), picture, s), picture)
        for s in range(200)
    ]
    assert 0.08 < np.mean(kept) < 0.3
    assert kind == RandAugment(
        magnitude=20, magnitude_std=0, probability=1, num_operations=1,
        increasing=False, operations=(*RAND_AUGMENT_OPERATIONS, "cut_out"),
    )  # fmt: skip


def test_squares_are_cut_out_at_places_that_are_drawn(picture):
    cut = RandAugment(
        magnitude=10, magnitude_std=0, num_operations=1, probability=1,
        operations=("cut_out",),
    )  # fmt: skip
    changed = [
        (distort(Augmentation(rand_augment=cut), picture, s) != picture).any(axis=-1)
        for s in range(30)
    ]
    # 40 of 224 pixels to each side are 3 of 16, less at the border.
    heights = {int(c.any(axis=1).sum()) for c in changed}
    assert max(heights) == 6 and min(heights) >= 3
    assert len({c.tobytes() for c in changed}) > 15


def test_other_pictures_are_refused_before_training():
    augmentation = Augmentation(rand_augment=True)
    for options in ({"channels": 5}, {"value_range": (0, 1)}):
        with pytest.raises(ValueError, match=r"pixels in \[0, 255\] of 1, 3 or 4"):
            augmentation.check(Preprocessing(**options))
    with pytest.raises(ValueError, match="1, 3 or 4 channels"):
        distort(augmentation, np.zeros((4, 4, 2), "uint8"))


def test_aug_mix_stays_near_the_picture(picture):
    mild = Augmentation(aug_mix=AugMix(magnitude=1))
    strong = Augmentation(aug_mix=AugMix(magnitude=10))
    distances = [
        np.mean([
            np.abs(distort(a, picture, s).astype(float) - picture).mean()
            for s in range(30)
        ])
        for a in (mild, strong)
    ]  # fmt: skip
    assert 0 < distances[0] < distances[1]


def test_options_are_built_from_true_and_from_json():
    assert Augmentation(rand_augment=True).rand_augment == RandAugment()
    assert Augmentation(aug_mix={"width": 2}).aug_mix == AugMix(width=2)
    assert Augmentation(rand_augment=False).rand_augment is None
    with pytest.raises(TypeError, match="rand_augment must be a RandAugment, True"):
        Augmentation(rand_augment="rand-m9")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandAugment(magnitude=21), r"magnitude must be in \[0, 20\]"),
        (lambda: RandAugment(operations=("melt",)), r"received \['melt'\]. Check"),
        (lambda: RandAugment(operations=()), "operations must be some of"),
        (lambda: AugMix(magnitude=11), r"magnitude must be in \[0, 10\]"),
        (lambda: RandAugment(magnitude_std=-1), "magnitude_std must be at least 0"),
        (lambda: RandAugment(num_operations=0), "num_operations must be a whole"),
        (lambda: RandAugment(probability=0), "probability must be above 0"),
        (lambda: AugMix(magnitude=-1), r"magnitude must be in \[0, 10\]"),
        (lambda: AugMix(width=0), "width and depth must be at least 1"),
        (lambda: AugMix(alpha=0), "alpha must be above 0"),
    ],
)
def test_options_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
