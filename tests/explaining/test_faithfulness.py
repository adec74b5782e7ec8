"""Whether maps are judged rightly: deletion, insertion, and models that forget."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

import keras_vit
from keras_vit.explaining.randomization import _rank_correlation

SIZE, STEPS = 28, 7


@pytest.fixture(scope="module")
def bright_corner():
    """A classifier of how bright the first 4 x 4 pixels are."""
    images = keras.Input((SIZE, SIZE, 3))
    score = ops.mean(images[:, :4, :4], axis=(1, 2, 3))[:, None]
    # Their softmax is the brightness itself.
    logits = ops.log(ops.concatenate([1 - score, score], axis=-1) + 1e-7)
    model = keras.Model(images, logits)
    model.preprocessing = keras_vit.Preprocessing(image_size=SIZE, mean=0.0, std=1.0)
    return model


def picture(corner: int, rest: int) -> np.ndarray:
    pixels = np.full((SIZE, SIZE, 3), rest, "uint8")
    pixels[:4, :4] = corner
    return pixels


def made(values: np.ndarray) -> keras_vit.Explanation:
    return keras_vit.Explanation(
        values=values, patches=values, picture=picture(0, 0), method="occlusion"
    )


@pytest.mark.parametrize("is_right", [True, False])
def test_curves_are_what_the_classifier_says(bright_corner, is_right):
    order = np.arange(14 * 14, dtype="float32").reshape(14, 14)
    order[:2, :2] += 1000  # The four parts of 2 x 2 pixels that count.
    values = made(order if is_right else -order)
    options = {"steps": STEPS, "target": 1}
    given = picture(255, 0)
    (found,) = keras_vit.deletion_insertion(bright_corner, [given], [values], **options)
    mean = 16 / SIZE**2  # What hides is the mean colour.
    np.testing.assert_allclose(found.shares, np.arange(STEPS + 1) / STEPS, atol=1e-6)
    expected = np.full(STEPS + 1, mean if is_right else 1.0)
    expected[0 if is_right else -1] = 1.0 if is_right else mean
    np.testing.assert_allclose(found.deletion, expected, atol=1e-5)
    assert found.insertion[-1] == pytest.approx(1.0)
    assert found.insertion[0] < 0.9  # The blurred corner.
    reached = found.insertion > 0.99
    assert reached[1:].all() if is_right else not reached[:-1].any()
    area = np.sum((found.deletion[1:] + found.deletion[:-1]) / 2) / STEPS
    assert found.deletion_area == pytest.approx(area, abs=1e-6)


def test_a_random_order_is_the_seeds(bright_corner):
    found = [
        keras_vit.deletion_insertion(
            bright_corner, [picture(255, 0)], None, target=1, seed=seed
        )[0].insertion
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_what_cannot_be_judged_is_refused(bright_corner):
    pictures = [picture(0, 255)]
    judge = keras_vit.deletion_insertion
    with pytest.raises(ValueError, match="a map for each picture.*2 maps for 1"):
        judge(bright_corner, pictures, [made(np.zeros((14, 14)))] * 2)
    with pytest.raises(ValueError, match="steps"):
        judge(bright_corner, pictures, None, steps=0)
    with pytest.raises(ValueError, match="number of a class, from 0 to 1"):
        judge(bright_corner, pictures, None, target=2)
    with pytest.raises(ValueError, match="3 x 50 patches does not fit"):
        judge(bright_corner, pictures, [made(np.zeros((3, 50)))])
    headless = keras_vit.ViT.from_variant("test", num_classes=None)
    with pytest.raises(ValueError, match="without a head"):
        judge(headless, pictures, None)


@pytest.fixture(scope="module")
def vit():
    preprocessing = keras_vit.Preprocessing(image_size=32)
    return keras_vit.ViT.from_variant("test", preprocessing=preprocessing)


def photos(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 255, (32, 32, 3), dtype="uint8") for _ in range(count)]


def test_a_model_forgets_from_the_head_down_and_stays_as_it_is(vit):
    before = [ops.convert_to_numpy(weight) for weight in vit.weights]
    rows = keras_vit.randomization_test(vit, photos(3), method="rollout")
    names = ["trained", "head", "block_1", "block_0", "patch_encoder"]
    assert [row.layer for row in rows] == names
    # Rollout does not see the head; what it sees below is no longer the same.
    assert rows[0].correlation == pytest.approx(1.0)
    assert rows[1].correlation == pytest.approx(1.0)
    assert rows[-1].correlation < 0.9
    for one, other in zip(before, vit.weights, strict=True):
        np.testing.assert_array_equal(one, ops.convert_to_numpy(other))


def test_a_map_of_a_class_sees_the_head(vit):
    rows = keras_vit.randomization_test(vit, photos(2), method="occlusion", every=2)
    assert [row.layer for row in rows] == [
        "trained",
        "head",
        "block_0",
        "patch_encoder",
    ]
    assert rows[1].correlation < 0.99


def test_ranks_are_those_of_scipy():
    from scipy.stats import spearmanr

    random = np.random.default_rng(0)
    one, other = random.integers(0, 5, (2, 6, 7))  # Many are equal.
    expected = spearmanr(one.ravel(), other.ravel()).statistic
    assert _rank_correlation(one, other) == pytest.approx(expected)
    assert _rank_correlation(one, np.ones((6, 7))) == 0.0


def test_models_that_cannot_forget_are_refused(bright_corner, vit):
    with pytest.raises(TypeError, match=r"keras_vit\.ViT, received Functional"):
        keras_vit.randomization_test(bright_corner, photos(1))
    with pytest.raises(ValueError, match="every"):
        keras_vit.randomization_test(vit, photos(1), every=0)
