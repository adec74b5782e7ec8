"""Whether a SavedModel can take image files, and how that signature is named."""

from __future__ import annotations

from keras_vit.preprocessing import Preprocessing

BYTES_SIGNATURE = "serving_bytes"
BYTES_INPUT = "image_bytes"
CLASS_NAME = "class_name"
# Filters that Pillow has and a graph has not, see `ImagePreprocessing`.
_OUTSIDE = ("box", "hamming")


def why_no_bytes(preprocessing: Preprocessing | None, dtype: str) -> str | None:
    """Return what keeps a model from taking image files in its graph; None: nothing.

    Args:
        preprocessing: of the model.
        dtype: of the images that it takes.
    """
    if preprocessing is None:
        return "the model has no preprocessing"
    if dtype != "float32":
        return f"the model takes images in {dtype}"
    p = preprocessing
    reasons = {
        f"channels={p.channels}": p.channels not in (1, 3, 4),
        f"value_range={p.value_range}": p.value_range != (0.0, 255.0),
        f"interpolation={p.interpolation!r}": p.interpolation in _OUTSIDE,
    }
    found = (reason for reason, holds in reasons.items() if holds)
    return next((f"its preprocessing has {reason}" for reason in found), None)


def bytes_warnings(preprocessing: Preprocessing | None, dtype: str) -> tuple[str, ...]:
    """Return what to tell about a SavedModel that takes no image files."""
    reason = why_no_bytes(preprocessing, dtype)
    if reason is None:
        return ()
    return (
        f"The SavedModel has no signature {BYTES_SIGNATURE!r} for image files, because "
        f"{reason}. Clients have to decode and preprocess images.",
    )
