"""What a file is to be: the arguments of `export` in their final form."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras

from keras_vit.exporting.formats import FORMATS, FormatRow
from keras_vit.exporting.quantizations import FLOAT32

Input = Literal["float", "pixels", "int8", "int16"]
InputSize = int | tuple[int, int] | Literal["any"]
FLOAT, PIXELS = "float", "pixels"
# Integers in and out, with the precision that computes in them.
INTEGERS = {"int8": "int8", "int16": "int16x8"}
INPUTS = (FLOAT, PIXELS, *INTEGERS)
MOBILE = "mobile"
PROFILES = (MOBILE,)


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What a file is to be: the arguments of `export`, in their final form.

    Args:
        path: of the file or folder.
        format: a key of `FORMATS`.
        quantization: a key of `QUANTIZATIONS`.
        batch: images per call; None: any number.
        input: one of `INPUTS`.
        input_size: pixels of the pictures of a file that takes pixels.
        attention: whether the file has the attention map as a second output.
        probabilities: whether a softmax is added to a classifier that gives logits.
        profile: "mobile" or None.
        about: author, license, description and version, those that were given.
        overwrite: whether what is at `path` is replaced.
    """

    path: Path
    format: str
    quantization: str = FLOAT32
    batch: int | None = 1
    input: str = FLOAT
    input_size: InputSize | None = None
    attention: bool = False
    probabilities: bool = False
    profile: str | None = None
    about: dict[str, str] = field(default_factory=dict)
    overwrite: bool = False

    @property
    def row(self) -> FormatRow:
        """What there is to know about the format."""
        return FORMATS[self.format]

    @property
    def takes_pixels(self) -> bool:
        """Whether the file preprocesses images itself."""
        return self.input == PIXELS

    @property
    def has_integer_ends(self) -> bool:
        """Whether input and outputs of the file are integers."""
        return self.input in INTEGERS

    @property
    def is_mobile(self) -> bool:
        """Whether the file is for the GPU of a phone."""
        return self.profile == MOBILE

    @property
    def wants_probabilities(self) -> bool:
        """Whether a classifier must not give logits."""
        return self.probabilities or self.takes_pixels or self.is_mobile

    def picture_size(self, model: keras.Model) -> tuple[int | None, int | None]:
        """Return (height, width) of the pictures that the file takes; None: any.

        Raises:
            ValueError: if `input_size` is no size, or the file does not resize.
        """
        size = self.input_size
        if size is None:
            return tuple(model.input_shape[1:3])
        if not self.takes_pixels:
            raise ValueError(
                f"input_size is for files that resize, received input_size={size!r}. "
                "Add input='pixels'."
            )
        if size == "any":
            if not self.row.any_size:
                raise ValueError(
                    f"A {self.format} file needs a fixed input_size, received "
                    "input_size='any'. Pass the (height, width) of your pictures in "
                    "pixels."
                )
            return (None, None)
        sides = size if isinstance(size, (tuple, list)) else (size, size)
        if len(sides) != 2 or not all(map(is_count, sides)):
            raise ValueError(
                "input_size must be one number of pixels, (height, width) or 'any', "
                f"received input_size={size!r}."
            )
        return (int(sides[0]), int(sides[1]))


def is_count(number: Any) -> bool:
    """Return whether something is a whole number of at least 1."""
    is_whole = isinstance(number, int) and not isinstance(number, bool)
    return is_whole and number >= 1


def is_headless(model: keras.Model) -> bool:
    """Return whether a model gives features instead of classes."""
    config: Any = getattr(model, "config", None)
    return config is not None and config.num_classes is None


def is_yes_or_no(model: keras.Model) -> bool:
    """Return whether a classifier has one output: no below 0.5, yes above it."""
    names = getattr(model, "class_names", None) or ()
    is_single = not is_headless(model) and model.output_shape[-1] == 1
    return is_single and len(names) != 1
