"""The operations of RandAugment, against timm's."""

import random

import numpy as np
import pytest
from PIL import Image

from keras_vit.data.augmenting.aug_mix import AUG_MIX_OPERATIONS
from keras_vit.data.augmenting.operations import OPERATIONS, Paint
from keras_vit.data.augmenting.rand_augment import RAND_AUGMENT_OPERATIONS
from tests.peers import import_timm

auto_augment = import_timm().data.auto_augment

PAINT = Paint(fill=(124, 116, 104, 7), resample=Image.Resampling.BICUBIC)
# timm's names, without and with "Increasing".
NAMES = dict(zip(RAND_AUGMENT_OPERATIONS, auto_augment._RAND_TRANSFORMS, strict=True))
INCREASING = dict(
    zip(RAND_AUGMENT_OPERATIONS, auto_augment._RAND_INCREASING_TRANSFORMS, strict=True)
)


@pytest.fixture
def picture(rng) -> Image.Image:
    smooth = rng.integers(0, 256, (6, 5, 3), dtype="uint8")
    return Image.fromarray(smooth).resize((30, 40), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("increasing", [True, False])
@pytest.mark.parametrize("name", RAND_AUGMENT_OPERATIONS)
def test_operations_are_those_of_timm(name, increasing, mode, picture, monkeypatch):
    picture = picture.convert(mode)
    fill = PAINT.fill[0] if mode == "L" else PAINT.fill[:3]
    paint = Paint(fill=(PAINT.fill[:3]), resample=PAINT.resample)
    for magnitude in (0.0, 3.3, 9.0, 10.0):
        for sign in (1, -1):
            peer = auto_augment.AugmentOp(
                (INCREASING if increasing else NAMES)[name],
                prob=1.0,
                magnitude=magnitude,
                hparams={"img_mean": fill, "interpolation": PAINT.resample},
            )
            monkeypatch.setattr(random, "random", lambda s=sign: 0.2 if s > 0 else 0.8)
            strength = OPERATIONS[name].strength_of(
                magnitude, sign, shift=0.45, increasing=increasing
            )
            result = OPERATIONS[name](picture, strength, paint)
            # Pillow 13 refuses to keep 0 bits, which timm draws at magnitude 10.
            no_bits = name == "posterize" and strength == 0
            black = np.zeros_like(np.asarray(picture))
            expected = black if no_bits else np.asarray(peer(picture))
            np.testing.assert_array_equal(np.asarray(result), expected)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_keep_size_and_mode(name, picture):
    for mode in ("L", "RGB", "RGBA"):
        image = picture.convert(mode)
        strength = OPERATIONS[name].strength_of(9, 1, shift=0.3, increasing=True)
        result = OPERATIONS[name](image, strength, PAINT)
        assert result.size == image.size and result.mode == mode


@pytest.mark.parametrize("name", ["invert", "solarize", "color", "equalize"])
def test_transparency_has_no_colour(name, picture):
    image = picture.convert("RGBA")
    alpha = picture.convert("L")
    image.putalpha(alpha)
    result = OPERATIONS[name](image, 100.0, PAINT)
    np.testing.assert_array_equal(np.asarray(result.getchannel("A")), np.asarray(alpha))
    expected = OPERATIONS[name](picture, 100.0, PAINT)
    np.testing.assert_array_equal(np.asarray(result)[..., :3], np.asarray(expected))


def test_aug_mix_chooses_from_the_operations_of_timm():
    peers = {
        name.removesuffix("Increasing") for name in auto_augment._AUGMIX_TRANSFORMS
    }
    names = {**NAMES}
    assert {names[name] for name in AUG_MIX_OPERATIONS} == peers


@pytest.mark.parametrize("place", [(0.0, 0.0), (0.5, 0.5), (0.99, 0.3)])
def test_squares_are_cut_out_as_in_big_vision(place):
    """Written after `cutout` of its pp/archive/autoaugment.py: 80 of 224 pixels."""
    side = 224
    picture = Image.fromarray(np.full((side, side, 3), 7, "uint8"))
    strength = OPERATIONS["cut_out"].strength_of(10.0, 1, shift=0.45, increasing=False)
    paint = Paint(fill=(128,) * 3, resample=PAINT.resample, place=place)
    column, row = (int(share * side) for share in place)
    expected = np.full((side, side, 3), 7, "uint8")
    rows = slice(max(0, row - 40), side - max(0, side - row - 40))
    columns = slice(max(0, column - 40), side - max(0, side - column - 40))
    expected[rows, columns] = 128
    result = OPERATIONS["cut_out"](picture, strength, paint)
    np.testing.assert_array_equal(np.asarray(result), expected)


def test_magnitudes_above_ten_are_those_of_big_vision():
    # level_to_arg of its autoaugment.py at (2, 15), and at 20 where it is limited.
    expected = {
        "rotate": -45.0,
        "posterize": 6,
        "solarize": 256,
        "solarize_add": 165,
        "color": 2.8,
        "shear_x": -0.45,
        "translate_x": -150 / 224,
        "cut_out": 60 / 224,
    }
    for name, strength in expected.items():
        found = OPERATIONS[name].strength_of(
            15.0, -1, shift=100 / 224, increasing=False
        )
        assert found == pytest.approx(strength), name
    picture = Image.fromarray(np.arange(256, dtype="uint8").reshape(16, 16))
    for name, same in (("posterize", True), ("solarize", True), ("solarize_add", 0)):
        strength = OPERATIONS[name].strength_of(20.0, 1, shift=0.45, increasing=False)
        changed = np.asarray(OPERATIONS[name](picture, strength, PAINT))
        assert np.array_equal(changed, np.asarray(picture)) == bool(same)
