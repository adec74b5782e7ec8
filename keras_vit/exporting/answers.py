"""Which answers the outputs of a file are. N images, K outputs."""

from __future__ import annotations

from typing import Any

import numpy as np


def limits_of(output: dict[str, Any]) -> np.ndarray | None:
    """Return from which output on the answer is yes, (K,).

    Args:
        output: what a file says about it: its name and its thresholds, which are
            probabilities.

    Returns:
        None where the highest output is the class, or for features.
    """
    found = output.get("thresholds", output.get("threshold"))
    if found is None:
        return None
    thresholds = np.atleast_1d(np.asarray(found, "float64"))
    if output["name"] == "probabilities":
        return thresholds
    with np.errstate(divide="ignore"):
        return np.log(thresholds) - np.log1p(-thresholds)


def answers(outputs: np.ndarray, limits: np.ndarray | None) -> np.ndarray:
    """Return the class of each image, (N,); with several limits yes and no, (N, K)."""
    if limits is None:
        return outputs.argmax(-1)
    found = outputs >= limits
    return found if outputs.shape[-1] > 1 else found[..., 0].astype(int)
