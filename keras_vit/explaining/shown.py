"""What can be shown as a picture, saved and told in words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.files import check_writable, replacing
from keras_vit.preprocessing import Preprocessing


class Shown(ABC):
    """A result that draws itself.

    A notebook shows one that stands in the last line of a cell.
    """

    @property
    @abstractmethod
    def alt_text(self) -> str:
        """What the picture shows, in words, for those who cannot see it."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.alt_text}>"

    @abstractmethod
    def image(self) -> Any:
        """Return the drawing, a PIL image."""

    def show(self) -> None:
        """Show the image with the program that the system has for pictures."""
        self.image().show(title=self.alt_text)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the image as a PNG file.

        Args:
            path: ends in ".png".
            overwrite: whether a file that is there is replaced. Default False.

        Raises:
            FileExistsError: if there is a file that is not to be replaced.
            ValueError: if the name does not end in ".png".

        Example:
            ```python
            [found] = keras_vit.explain("saved_models/photos", ["cat.jpg"])
            print(found.save("cat_map.png"))  # cat_map.png
            ```
        """
        path = Path(path).expanduser()
        if path.suffix.lower() != ".png":
            raise ValueError(
                f"A heat map is saved as .png, received {str(path)!r}. Rename it."
            )
        if path.is_dir():
            raise FileExistsError(
                f"{str(path)!r} is a folder, which is never replaced by a picture. "
                "Choose another path."
            )
        if path.exists() and not overwrite:
            raise FileExistsError(
                f"{str(path)!r} exists. Choose another path, or replace it with "
                "overwrite=True."
            )
        check_writable(path.parent)
        with replacing(path) as temporary:
            self.image().save(temporary, format="PNG")
        return path

    def _repr_png_(self) -> bytes:
        return self.image()._repr_png_()


def shown_bytes(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Return a picture that was read for a model as bytes to show, (H, W, 3)."""
    low, high = preprocessing.value_range
    shown = (pixels.astype("float64") - low) * (255 / (high - low))
    shown = shown if shown.shape[-1] == 3 else shown.mean(axis=-1, keepdims=True)
    shown = np.broadcast_to(shown, (*shown.shape[:2], 3))
    return np.clip(np.rint(shown), 0, 255).astype("uint8")
