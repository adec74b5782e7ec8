from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from keras_vit.layers.positions.rotation import check_layout, rotate, rotation_table
from tests.contract import example, to_numpy

LAYOUTS = ["interleaved", "half"]
ANGLES = example((5, 3, 4))  # (T, h, d / 2)


def as_complex(x: np.ndarray, layout: str) -> np.ndarray:
    """Return the pairs of channels as complex numbers, (..., d / 2)."""
    if layout == "half":
        first, second = np.split(x, 2, axis=-1)
    else:
        first, second = x[..., ::2], x[..., 1::2]
    return first + 1j * second


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rotating_is_multiplying_by_a_complex_number(layout):
    x = example((2, 5, 3, 8))
    found = to_numpy(
        rotate(ops.convert_to_tensor(x), rotation_table(ANGLES, layout), layout)
    )
    expected = as_complex(x, layout) * np.exp(1j * ANGLES)
    np.testing.assert_allclose(as_complex(found, layout), expected, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rotating_keeps_norms(layout):
    x = example((2, 5, 3, 8))
    found = to_numpy(
        rotate(ops.convert_to_tensor(x), rotation_table(ANGLES, layout), layout)
    )
    norms = (np.linalg.norm(y, axis=-1) for y in (found, x))
    np.testing.assert_allclose(*norms, rtol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_table_serves_all_heads(layout):
    x, shared = example((2, 5, 3, 8)), ANGLES[:, :1]
    each = rotation_table(np.repeat(shared, 3, axis=1), layout)
    np.testing.assert_allclose(
        to_numpy(
            rotate(ops.convert_to_tensor(x), rotation_table(shared, layout), layout)
        ),
        to_numpy(rotate(ops.convert_to_tensor(x), each, layout)),
        atol=1e-6,
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_angles_add(layout):
    x = example((2, 5, 3, 8))
    once = rotate(ops.convert_to_tensor(x), rotation_table(ANGLES, layout), layout)
    twice = rotate(once, rotation_table(ANGLES, layout), layout)
    doubled = rotate(
        ops.convert_to_tensor(x), rotation_table(2 * ANGLES, layout), layout
    )
    np.testing.assert_allclose(to_numpy(twice), to_numpy(doubled), atol=1e-5)


def test_an_unknown_layout_is_rejected_with_a_list():
    with pytest.raises(ValueError, match=r"\['interleaved', 'half'\].*'quarter'"):
        check_layout("quarter")
