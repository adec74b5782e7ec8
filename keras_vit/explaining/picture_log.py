"""A training that shows itself: pictures, each few epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np

from keras_vit.data.augmenting.augmentation import Augmentation
from keras_vit.data.augmenting.mixing import Mixing
from keras_vit.data.augmenting.preview import show_augmentation
from keras_vit.data.checks import check_count
from keras_vit.data.image_data import ImageData
from keras_vit.data.images import Images, spread
from keras_vit.explaining.explain import explain
from keras_vit.explaining.explanation import Explanation
from keras_vit.explaining.methods import MethodName, check_asked, default_method
from keras_vit.explaining.needs import Asked
from keras_vit.files import check_writable, replacing
from keras_vit.inference.predictor import load_predictor
from keras_vit.preprocessing import Preprocessing
from keras_vit.training.checkpoint import synchronize
from keras_vit.training.progress import check_tensorboard
from keras_vit.training.step import TrainingModel

_TILE, _GAP, _LINE, _COLUMNS = 224, 8, 18, 4  # pixels, and tiles in a row


class PictureLog(keras.callbacks.Callback):
    """Draw, while a model trains, what it sees and what it looks at.

    At the end of the first epoch, of each N-th and of the last it writes
    `maps_0005.png`: the same pictures each time, with a map of what the model looks at,
    the class that it names and the right one. With an augmentation, the first time
    also `augmented.png`, the training pictures as the model gets them.

    It is a callback for `keras_vit.train` and for your own `fit`, on one device.

    Args:
        folder: for the files; it is made if it is missing.
        data: from `load_data`: the pictures come from its validation part, else its
            test or training part, evenly over it.
        every: epochs from one drawing to the next, at least 1. Default 1.
        count: pictures, at least 1. Default 8.
        method: of `explain`. Default None: the one that it takes by default.
        augmentation: of the training. Default None: `augmented.png` is not drawn.
        mixing: of the training. Default None.
        tensorboard: folder for TensorBoard, which gets the same pictures; needs the
            extra `tensorboard`. Default None.
        preprocessing: takes the place of the model's own. Default None.

    Raises:
        ImportError: if TensorBoard is asked for and not installed.
        OSError: if the folder cannot be written.
        TypeError: if `data` is not from `load_data`.
        ValueError: if a number is out of range, there is no such method, or the data is
            a stream; when the training begins, if the model has no such map, or nothing
            says how pictures are preprocessed.

    Example:
        ```python
        from pathlib import Path

        data = keras_vit.load_data("photos/")
        model = keras_vit.load("saved_models/photos")
        log = keras_vit.PictureLog("drawn", data, count=4)
        recipe = keras_vit.Recipe(epochs=1, warmup_epochs=0)
        result = keras_vit.train(model, data, recipe, callbacks=[log], verbose=0)
        sorted(path.name for path in Path("drawn").iterdir())  # ['maps_0001.png']
        ```
    """

    def __init__(
        self,
        folder: str | Path,
        data: ImageData,
        *,
        every: int = 1,
        count: int = 8,
        method: MethodName | None = None,
        augmentation: Augmentation | None = None,
        mixing: Mixing | None = None,
        tensorboard: str | Path | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(data, ImageData):
            raise TypeError(
                "PictureLog takes what keras_vit.load_data returns, received data of "
                f"type {type(data).__name__}."
            )
        check_count("every", every, 1)
        check_count("count", count, 1)
        methods = [one for one in get_args(MethodName) if one != "similarity"]
        if method is not None and method not in methods:
            raise ValueError(
                f"method must be None or one of {methods}, received method={method!r}."
            )
        self._folder = Path(folder).expanduser()
        check_writable(self._folder)
        self._board = None if tensorboard is None else Path(tensorboard).expanduser()
        if self._board is not None:
            check_tensorboard(self._board)
        self._data, self._every = data, every
        self._method: MethodName | None = method
        self._preprocessing = preprocessing
        self._augmentation, self._mixing = augmentation, mixing
        part: Any = data.validation or data.test or data.train
        if not isinstance(part, Images):
            raise ValueError(
                f"PictureLog shows the same pictures each time, and {data.name!r} is a "
                "stream, which cannot be read by number. Pass a folder, a list or "
                "arrays, such as some pictures of it."
            )
        self._pictures = part.subset(part.indices[spread(len(part), count)])

    def on_train_begin(self, logs: Any = None) -> None:
        """Refuse a model that has no such map, before it trains."""
        model = _inner(self.model)
        method = self._method or default_method(model)
        check_asked(Asked(model=model, method=method))
        load_predictor(model, self._preprocessing)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Draw, if it is time."""
        number = epoch + 1
        is_last = number == self.params.get("epochs")
        if number != 1 and number % self._every and not is_last:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        synchronize(self.model)
        model = _inner(self.model)
        if number == 1 and self._augmentation is not None:
            drawn = show_augmentation(
                self._data,
                self._augmentation,
                preprocessing=self._preprocessing
                or getattr(model, "preprocessing", None),
                mixing=self._mixing,
            )
            self._write("augmented", "augmented.png", drawn, number)
        found = explain(
            model,
            [*self._pictures.pictures()],
            method=self._method,
            preprocessing=self._preprocessing,
        )
        drawn = _grid(found, [self._names(label) for label in self._pictures.labels])
        self._write("maps", f"maps_{number:04d}.png", drawn, number)

    def _names(self, label: Any) -> str:
        names = self._data.class_names
        if np.ndim(label) == 0:
            return names[int(label)]
        return ", ".join(names[i] for i in np.flatnonzero(label)) or "none"

    def _write(self, name: str, file: str, drawn: Any, epoch: int) -> None:
        with replacing(self._folder / file) as temporary:
            drawn.save(temporary, format="PNG")
        if self._board is not None:
            import tensorflow as tf  # It writes the files of TensorBoard.

            writer: Any = tf.summary.create_file_writer(str(self._board / "pictures"))
            with writer.as_default():
                tf.summary.image(name, np.asarray(drawn)[None], step=epoch - 1)
            writer.close()


def _inner(model: Any) -> Any:
    """Return the model inside a `TrainingModel`, and another one as it is."""
    return model.model if isinstance(model, TrainingModel) else model


def _grid(found: Sequence[Explanation], right: Sequence[str]) -> Any:
    """Return a PIL image of maps, with what the model says and what is right."""
    from PIL import Image, ImageDraw, ImageFont

    columns = min(_COLUMNS, len(found))
    rows = math.ceil(len(found) / columns)
    tiles = [_tile(one.image()) for one in found]
    height = max(tile.height for tile in tiles) + 2 * _LINE
    size = (columns * (_TILE + _GAP) + _GAP, rows * (height + _GAP) + _GAP)
    whole = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(13)
    for number, (tile, one, name) in enumerate(zip(tiles, found, right, strict=True)):
        row, column = divmod(number, columns)
        left, top = _GAP + column * (_TILE + _GAP), _GAP + row * (height + _GAP)
        whole.paste(tile, (left, top))
        below = top + tile.height
        said = f"says {one.class_name} ({one.probability or 0:.0%})"
        pen.text((left, below), said, fill="black", font=font)
        pen.text((left, below + _LINE), f"is {name}", fill="black", font=font)
    return whole


def _tile(image: Any) -> Any:
    """Return an image as wide as a tile."""
    return image.resize((_TILE, max(1, round(image.height * _TILE / image.width))))
