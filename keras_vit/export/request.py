"""What an export may be asked for, and the checks before any work."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras

from keras_vit.export.attention import check_attention
from keras_vit.export.formats import FORMATS, FormatRow
from keras_vit.export.quantizations import FLOAT32, QUANTIZATIONS

Input = Literal["float", "pixels"]
InputSize = int | tuple[int, int] | Literal["any"]
INPUTS = ("float", "pixels")
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
        input: "float" or "pixels".
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
    input: str = "float"
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

    def check(self, model: keras.Model, calibration: Any) -> None:
        """Raise an error that says which option, path or model does not fit."""
        _check_model(model)
        self.check_path()
        self._check_quantization(calibration)
        _check_batch(self.batch, self.row, self.format)
        if self.input not in INPUTS:
            raise ValueError(
                f"input must be one of {[*INPUTS]}, received input={self.input!r}."
            )
        if self.input == "pixels":
            _check_pixels(model)
        if self.attention:
            self._check_attention(model)
        self._check_model_size(model)
        self._check_size_of_file(model)
        if self.profile is not None:
            self._check_profile(model)
        if self.probabilities:
            _check_probabilities(model)
        _check_about(self.about)
        for layer in model._flatten_layers():
            if getattr(layer, "quantization_mode", None) is not None:
                raise ValueError(
                    "A model that Keras has quantized does not convert, received "
                    f"{layer.name!r} in {layer.quantization_mode}. Export the float "
                    "model with quantization=... instead."
                )

    def check_path(self) -> None:
        """Raise an error if the file cannot have that path, or must not replace it."""
        path, row = self.path, self.row
        endings = {".keras", *(other.suffix for other in FORMATS.values())} - {""}
        if path.suffix != row.suffix and (row.suffix or path.suffix in endings):
            needed = f"end in {row.suffix}" if row.suffix else "be the name of a folder"
            raise ValueError(
                f"The path of a {self.format} export must {needed}, received "
                f"{str(path)!r}."
            )
        is_other_folder = path.is_dir() and (
            not row.marker
            or (any(path.iterdir()) and not (path / row.marker).is_file())
        )
        if is_other_folder:
            raise FileExistsError(
                f"{str(path)!r} is a folder that is no {self.format} export, and is "
                "never replaced. Choose another path."
            )
        if path.exists() and not self.overwrite:
            raise FileExistsError(
                f"{str(path)!r} exists. Choose another path, or replace it with "
                "overwrite=True (--force)."
            )

    def _check_model_size(self, model: keras.Model) -> None:
        if None in model.input_shape[1:3] and not self.row.any_model_size:
            raise ValueError(
                f"A {self.format} file needs a model for images of one size, received "
                "one with image_size=None. Fix the size first, with "
                "keras_vit.resize(model, image_size=...)."
            )

    def _check_size_of_file(self, model: keras.Model) -> None:
        largest, needed = self.row.max_bytes, 4 * model.count_params()
        if largest is not None and needed >= largest:
            able = [name for name, row in FORMATS.items() if row.max_bytes is None]
            raise ValueError(
                f"A {self.format} file holds less than {largest / 1e9:.1f} GB, "
                f"received a model of {needed / 1e9:.1f} GB. Use one of {able}."
            )

    def _check_profile(self, model: keras.Model) -> None:
        if self.profile not in PROFILES:
            raise ValueError(
                f"profile must be one of {[*PROFILES]}, received profile="
                f"{self.profile!r}. Leave it out for a file for the CPU."
            )
        unfit = {
            "format": (self.format, "litert"),
            "batch": (self.batch, 1),
            "input": (self.input, "float"),
        }
        for name, (value, needed) in unfit.items():
            if value != needed:
                raise ValueError(
                    f"profile='mobile' needs {name}={needed!r}, received "
                    f"{name}={value!r}: a phone's GPU takes one float image at a time. "
                    f"Leave {name} or the profile out."
                )
        if None in model.input_shape[1:3]:
            raise ValueError(
                "profile='mobile' needs a model for images of one size, received one "
                "with image_size=None. Fix the size first, with "
                "keras_vit.resize(model, image_size=...)."
            )

    def _check_attention(self, model: keras.Model) -> None:
        if not self.row.attention:
            able = [name for name, row in FORMATS.items() if row.attention]
            raise ValueError(
                f"attention=True is for the formats {able}, received format="
                f"{self.format!r}. Choose one of them, or leave attention out."
            )
        if QUANTIZATIONS[self.quantization].needs_calibration:
            raise ValueError(
                "attention=True is for precisions that compute the softmax in float, "
                f"received quantization={self.quantization!r}. Choose another, such as "
                "'dynamic_int8', or leave attention out."
            )
        check_attention(getattr(model, "config", None))

    def _check_quantization(self, calibration: Any) -> None:
        valid = (FLOAT32, *self.row.quantizations)
        if self.quantization not in valid:
            raise ValueError(
                f"quantization of {self.format} must be one of {[*valid]}, received "
                f"quantization={self.quantization!r}."
            )
        needs = QUANTIZATIONS[self.quantization].needs_calibration
        if needs and calibration is None:
            raise ValueError(
                f"quantization={self.quantization!r} needs images that show which "
                "values occur, received none. Pass calibration= (--calibration), about "
                "100 pictures like those in use."
            )
        if calibration is not None and not needs:
            raise ValueError(
                "calibration is for a quantization that needs it, received "
                f"quantization={self.quantization!r}. Leave it out."
            )


def _check_model(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"model must be a keras.Model, received {type(model).__name__}. Open a "
            ".keras file with keras.saving.load_model(path)."
        )
    # Models that are neither functional nor Sequential have no such lists.
    inputs, outputs = (getattr(model, name, None) for name in ("inputs", "outputs"))
    shapes = [tuple(tensor.shape) for tensor in inputs or ()]
    if len(shapes) != 1 or len(shapes[0]) != 4 or len(outputs or ()) != 1:
        raise ValueError(
            "A model is exported from images (B, H, W, C) to one output, received "
            f"{len(outputs or ())} outputs of inputs with the shapes {shapes}. Build "
            "it with keras.Model(images, output)."
        )
    for layer in model._flatten_layers():
        if type(layer).__module__ == "__main__":
            raise ValueError(
                "A process of its own converts, which cannot import classes from a "
                f"script or notebook, received the layer {layer.name!r} of such a "
                f"class, {type(layer).__name__}. Move the class to a module."
            )


def _is_count(number: Any) -> bool:
    is_whole = isinstance(number, int) and not isinstance(number, bool)
    return is_whole and number >= 1


def _check_batch(batch: int | None, row: FormatRow, name: str) -> None:
    if batch is not None and not _is_count(batch):
        raise ValueError(
            "batch must be at least 1 and whole, or None for any number of images, "
            f"received batch={batch!r}."
        )
    if batch is None and not row.any_batch:
        raise ValueError(
            f"A {name} file takes a fixed number of images, received batch=None. Pass "
            "the number."
        )


def _check_probabilities(model: keras.Model) -> None:
    config: Any = getattr(model, "config", None)
    if config is not None and config.num_classes is None:
        raise ValueError(
            "probabilities=True is for classifiers, received a model with "
            "num_classes=None. Leave it out: the file gives features."
        )


def _check_about(about: dict[str, str]) -> None:
    for name, text in about.items():
        if not isinstance(text, str) or not text.strip():
            raise ValueError(
                f"{name} must be a text, received {name}={text!r}. Leave it out if "
                "there is nothing to say."
            )


def _check_pixels(model: keras.Model) -> None:
    preprocessing = getattr(model, "preprocessing", None)
    if preprocessing is None:
        raise ValueError(
            "A file takes pixels if the model says how they are preprocessed, received "
            "a model without preprocessing. Set model.preprocessing = "
            "keras_vit.Preprocessing(...), or leave input='pixels' out."
        )
    if preprocessing.value_range != (0.0, 255.0):
        raise ValueError(
            "Preprocessing can be included if pixels are bytes, received "
            f"value_range={preprocessing.value_range}. Export with input='float'."
        )


def resolve_input_size(
    model: keras.Model, request: ExportRequest
) -> tuple[int | None, int | None]:
    """Return (height, width) of the pictures that the file takes; None: any."""
    size = request.input_size
    if size is not None and request.input != "pixels":
        raise ValueError(
            f"input_size is for files that resize, received input_size={size!r}. Add "
            "input='pixels'."
        )
    if size is None:
        return tuple(model.input_shape[1:3])
    if size == "any":
        if not request.row.any_size:
            raise ValueError(
                f"A {request.format} file needs a fixed input_size, received "
                "input_size='any'. Pass the (height, width) of your pictures in pixels."
            )
        return (None, None)
    sides = size if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2 or not all(map(_is_count, sides)):
        raise ValueError(
            "input_size must be one number of pixels, (height, width) or 'any', "
            f"received input_size={size!r}."
        )
    return (int(sides[0]), int(sides[1]))
