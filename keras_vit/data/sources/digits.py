"""The embedded data set: 1,797 handwritten digits of 8 x 8 grey pixels."""

from __future__ import annotations

from importlib import resources

import numpy as np

CLASS_NAMES = tuple("0123456789")


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the images, uint8 (1797, 8, 8, 1) in [0, 255], and labels, int64 (1797,).

    The file `digits.npz` holds what `sklearn.datasets.load_digits` returns, in its
    original values from 0 to 16; a test compares the two.

    Reference: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits",
    UCI Machine Learning Repository, doi:10.24432/C50P49, CC BY 4.0; the test part, as
    scikit-learn ships it.
    """
    path = resources.files("keras_vit.data.sources").joinpath("digits.npz")
    with path.open("rb") as file, np.load(file) as arrays:
        images = np.rint(arrays["images"] * (255 / 16)).astype("uint8")
        return images[..., None], arrays["labels"].astype("int64")
