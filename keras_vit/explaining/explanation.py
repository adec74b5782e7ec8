"""A map over a picture, and how it is drawn. H, W picture; R, C patches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_vit.explaining.drawing import (
    beside,
    draw,
    draw_colours,
    enlarged,
    enlargement,
    ring,
)
from keras_vit.explaining.methods import METHODS
from keras_vit.explaining.shown import Shown


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation(Shown):
    """What a model looks at in one picture.

    Args:
        values: float32 (H, W), in the coordinates of the picture as it was given; NaN
            where the model saw nothing, because it was cut off. Of the method
            "components" (H, W, 3), shares of red, green and blue, from 0 to 1; NaN in
            the ground, too, if that was left out.
        patches: float32 (R, C), the same for each patch; (R, C, 3) of "components".
        picture: uint8 (H, W, 3).
        method: that the map was made by.
        target: number of the class that it is for; None where it is for none.
        class_name: name of the class that is the most likely, or of the target.
        probability: of that class; None of a model without classes.
        point: (x, y) in pixels that "similarity" compares with; None of other methods.
        of: uint8 (H', W', 3), the picture in which `point` is, if it is another one.

    Example:
        ```python
        [found] = keras_vit.explain("saved_models/photos", ["cat.jpg"], target="cat")
        found.method, found.class_name  # ('relevance', 'cat')
        found.values.shape, found.picture.shape  # ((40, 48), (40, 48, 3))
        print(found.save("cat_map.png"))  # cat_map.png
        ```
    """

    values: np.ndarray = field(repr=False)
    patches: np.ndarray = field(repr=False)
    picture: np.ndarray = field(repr=False)
    method: str
    target: int | None = None
    class_name: str | None = None
    probability: float | None = None
    point: tuple[float, float] | None = None
    of: np.ndarray | None = field(default=None, repr=False)

    @property
    def alt_text(self) -> str:
        """What the picture shows, in words, for those who cannot see it."""
        if self.values.ndim == 3:
            return (
                "Colours by the first three principal components of the features of "
                "patches: what is alike for the model has like colours."
            )
        said = "" if self.class_name is None else f" for {self.class_name!r}"
        if not np.ptp(self.patches) > 0:
            return f"Heat map by {self.method}{said}: the same everywhere."
        where = _place(self.patches, int(np.nanargmax(self.patches)))
        if self.probability is not None:
            said += f" ({self.probability:.0%})"
        if self.point is not None:
            x, y = self.point
            said += f" to the point ({x:g}, {y:g})"
            said += "" if self.of is None else " of another picture"
        return (
            f"Heat map by {self.method}{said}: the highest value is at the {where} of "
            "what the model sees."
        )

    def image(self) -> Any:
        """Return the map as colours over the picture, a PIL image with a legend.

        A picture of less than 224 pixels is enlarged by a whole number.
        """
        times = enlargement(self.picture)
        picture, values = enlarged(self.picture, times), enlarged(self.values, times)
        if values.ndim == 3:
            return draw_colours(picture, values)
        drawn = draw(picture, values, *METHODS[self.method].legend)
        if self.point is None:
            return drawn
        if self.of is None:
            return ring(drawn, _scaled(self.point, times))
        times = enlargement(self.of)
        of = ring(enlarged(self.of, times), _scaled(self.point, times))
        return beside(of, drawn)


def _scaled(point: tuple[float, float], times: int) -> tuple[float, float]:
    x, y = point
    return x * times, y * times


def _place(patches: np.ndarray, number: int) -> str:
    rows, columns = patches.shape
    row, column = divmod(number, columns)
    vertical = ("top", "middle", "bottom")[min(2, 3 * row // rows)]
    horizontal = ("left", "centre", "right")[min(2, 3 * column // columns)]
    return f"{vertical} {horizontal}"
