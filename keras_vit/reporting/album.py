"""Small copies of pictures for a page, with heat maps, within a number of bytes."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.data.images import Images
from keras_vit.explaining.drawing import colours_of, over, scaled
from keras_vit.explaining.explain import explain
from keras_vit.explaining.methods import default_method
from keras_vit.inference.picture_answers import PictureAnswers
from keras_vit.inference.predictor import find_model
from keras_vit.inspecting.pictures import small_picture
from keras_vit.keras_file import load_keras
from keras_vit.model import ViT
from keras_vit.pages.thumbnails import SMALL, as_jpeg

_SIDE, _QUALITY = 208, 74  # of a small copy: pixels, JPEG
_MOST_BYTES = 8_000_000  # of all pictures of a page
# A larger picture is reduced before its map is made, unless the model sees more.
_EXPLAINED = 640


class Album:
    """Small copies of the pictures that a model is judged by.

    Args:
        answers: what the model says of them.
        heat_maps: whether maps are wanted.
    """

    def __init__(self, answers: PictureAnswers, heat_maps: bool) -> None:
        self.answers = answers
        self.is_full = False
        self.num_unreadable = 0
        self._bytes = 0
        self._copies: dict[int, tuple[str, bool] | None] = {}
        self._maps: dict[tuple[int, int | None], tuple[str, str]] = {}
        self.model, self.why_no_maps = (
            _explained_model(answers.model) if heat_maps else (None, "")
        )
        if answers.readable is None:
            self.model, self.why_no_maps = None, ""

    @property
    def has_maps(self) -> bool:
        """Whether some pictures have a map."""
        return bool(self._maps)

    def draw_maps(
        self, numbers: Iterable[int], class_number: int | None = None
    ) -> None:
        """Make the maps of these pictures in one go: a model is compiled once.

        Args:
            numbers: of the pictures.
            class_number: of the class that the maps are for. Default None: the answer.
        """
        images = self.answers.readable
        if self.model is None or images is None:
            return
        size = self.answers.preprocessing.image_size
        wanted, pictures = [], []
        for number in dict.fromkeys(numbers):
            try:
                picture = images.read(int(images.indices[number]))
                if not hasattr(picture, "shape"):
                    picture = small_picture(picture, images)[0]
                    side = max(_EXPLAINED, 2 * max(size))
                    picture.thumbnail((side, side))
            except (OSError, ValueError):
                continue  # It has gone since: its figure says so.
            wanted.append(number)
            pictures.append(picture)
        if not pictures:
            return
        try:
            # Occlusion, of other classifiers, takes a pass for each patch.
            target = self._target(class_number)
            method = default_method(self.model, target)
            found = explain(
                self.model,
                pictures,
                method="rollout" if method == "occlusion" else method,
                target=target,
                preprocessing=self.answers.preprocessing,
            )
        except (TypeError, ValueError) as error:
            self.model, self.why_no_maps = None, str(error)
            return
        for number, one in zip(wanted, found, strict=True):
            colours, is_seen = colours_of(scaled(one.values)), ~np.isnan(one.values)
            drawn = over(one.picture, colours, is_seen)
            drawn = as_jpeg(drawn, _SIDE, _QUALITY)
            self._maps[number, class_number] = (drawn, one.alt_text)

    def _target(self, class_number: int | None) -> int | str | None:
        """Return how the model calls a class of the data, which may order them anew."""
        if class_number is None or not getattr(self.model, "class_names", None):
            return class_number
        return self.answers.class_names[class_number]

    def name_in(self, images: Images | None, number: int) -> str:
        """Return how a picture of a set is called: its path in the data, or number."""
        if images is None:
            return f"picture {number}"
        position = int(images.indices[number])
        picture = images.read(position)
        if not isinstance(picture, (str, PathLike)):
            # In an archive, or a PIL image that was opened from a file.
            inside = getattr(picture, "inside", None)
            opened = Path(getattr(picture, "filename", None) or "").name
            return inside or opened or f"picture {position}"
        path = Path(picture)
        folder = Path(self.answers.data.name).expanduser()
        for base in (folder, folder.parent):  # Of a list its folder.
            if base != Path() and path.is_relative_to(base):
                return path.relative_to(base).as_posix()
        return path.name

    def figure(
        self, number: int, said: str, caption: str, class_number: int | None = None
    ) -> str:
        """Return a picture, its map beside it if there is one, and a caption.

        Args:
            number: of the picture.
            said: what is on it, plain text, for those who cannot see it.
            caption: HTML.
            class_number: of the class that the map is for. Default None: the answer.
        """
        copy = self._copy(number)
        if copy is None:
            shown = '<span class="none">no picture</span>'
        else:
            shown = self._image(copy[0], said, "pixels" if copy[1] else "")
        drawn = self._maps.get((number, class_number))
        if drawn is not None and copy is not None:
            shown += self._image(drawn[0], drawn[1], "pixels" if copy[1] else "")
        name = self.name_in(self.answers.readable, number)
        kind = "shot pair" if drawn is not None and copy is not None else "shot"
        return (
            f'<figure class="{kind}"><div class="images">{shown}</div>'
            f'<figcaption>{caption}<span class="path">{escape(name)}'
            "</span></figcaption></figure>"
        )

    def _image(self, address: str, said: str, kind: str) -> str:
        if self._bytes + len(address) > _MOST_BYTES:
            self.is_full = True
            return '<span class="none">left out: the page is full</span>'
        self._bytes += len(address)
        return (
            f'<img class="{kind}" src="{address}" alt="{escape(said)}" loading="lazy" '
            'decoding="async">'
        )

    def _copy(self, number: int) -> tuple[str, bool] | None:
        """Return a small copy, and whether it is so small that pixels are shown."""
        if number not in self._copies:
            self._copies[number] = self._read(number)
        return self._copies[number]

    def _read(self, number: int) -> tuple[str, bool] | None:
        images = self.answers.readable
        if images is None:
            return None
        try:
            picture = images.read(int(images.indices[number]))
            image, size, _ = small_picture(picture, images)
        except (OSError, ValueError):
            self.num_unreadable += 1
            return None
        return as_jpeg(image, _SIDE, _QUALITY), max(size) < SMALL


def _explained_model(model: Any) -> tuple[Any, str]:
    """Return the model that maps are made with, or why there is none."""
    if isinstance(model, (str, Path)):
        path = find_model(model)
        if path.suffix != ".keras":
            return None, (
                "Heat maps are made with a Keras model, and this is an exported file. "
                "Make the report with the .keras file to have them"
            )
        model = load_keras(path)
    if isinstance(model, ViT):
        return model, ""
    return None, (
        "Heat maps read attention, which a keras_vit.ViT has. For other Keras models "
        'keras_vit.explain(..., method="occlusion") draws them, one by one'
    )
