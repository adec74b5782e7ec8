"""Pictures with the names that a file of predictions gives them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from keras_vit.data.contents import Contents
from keras_vit.data.sources.archive import Place, find_place
from keras_vit.data.sources.lists import (
    ListOptions,
    column_of,
    existing_files,
    open_table,
    texts_of,
)
from keras_vit.data.sources.picture_files import image_files
from keras_vit.data.sources.tables import is_frame, is_list
from keras_vit.data.trained_pictures import read_trained_pictures
from keras_vit.inference.predictor import find_model


@dataclass(frozen=True)
class NamedPictures:
    """Pictures in an order, with a name each.

    Args:
        names: what the file calls them.
        places: where they are.
        keys: their paths below the folder that was given.
    """

    names: list[str]
    places: list[Any]
    keys: list[str]

    def __len__(self) -> int:
        return len(self.names)

    def subset(self, numbers: Sequence[int], names: list[str] | None = None) -> Any:
        """Return the pictures with these numbers, under other names if given."""
        return NamedPictures(
            names or [self.names[i] for i in numbers],
            [self.places[i] for i in numbers],
            [self.keys[i] for i in numbers],
        )


def open_pictures(source: Any, options: ListOptions) -> NamedPictures:
    """Find the pictures of folders, archives, files, or of one list.

    Args:
        source: a path, several, or a table.
        options: how a list is read; no label is needed.

    Raises:
        FileNotFoundError: if something does not exist.
        ValueError: if there is no picture, or a list stands among other things.
    """
    if is_frame(source):
        return _of_list(source, options)
    given = [source] if isinstance(source, (str, Path)) else list(source)
    if not given:
        raise ValueError("There must be a picture, a folder or a list; received none.")
    lists = [path for path in given if is_list(str(path)) and not Path(path).is_dir()]
    if lists and len(given) > 1:
        raise ValueError(
            f"A list stands alone, received {str(lists[0])!r} with "
            f"{len(given) - 1} more. Name one list, or folders and pictures."
        )
    if lists:
        return _of_list(lists[0], options)
    if options.columns or options.image_dir is not None:
        raise ValueError(
            "columns and image_dir say how a list is read, received "
            f"{str(given[0])!r}, which is no list. Leave them out, or pass the list."
        )
    names, places, keys = [], [], []
    for path in given:
        root = str(find_place(path))
        for place in image_files([path]):
            names.append(str(place))
            places.append(place)
            inside = str(place)[len(root) :].strip("/\\").replace("\\", "/")
            keys.append(inside or place.name)
    return NamedPictures(names, places, keys)


def _of_list(source: Any, options: ListOptions) -> NamedPictures:
    table, base = open_table(source, options)
    column = column_of(table, options, "path", needed=True)
    paths = texts_of(table, str(column), "path")
    rows = [table.rows[i] for i in range(len(table))]
    places: list[Place] = existing_files(paths, rows, base, options, table.name)
    return NamedPictures(paths, places, paths)


def held_out_from(pictures: NamedPictures, model: Any) -> NamedPictures:
    """Return the pictures that the run of a model did not train on, by content.

    Raises:
        ValueError: if it is not known what the model was trained on, or there is none.
    """
    trained = None
    if isinstance(model, (str, Path)):
        trained = read_trained_pictures(find_model(model).parent)
    if trained is None or "train" not in trained.parts:
        name = repr(str(model)) if isinstance(model, (str, Path)) else "a model"
        raise ValueError(
            f"Nobody knows which pictures {name} was trained on. Pass the output "
            "folder of train, which says it, or leave held_out (--held-out) out."
        )
    contents = Contents(pictures.places.__getitem__, len(pictures)).numbers
    kept = np.flatnonzero(~trained.are(contents, "train")).tolist()
    if not kept:
        raise ValueError(
            f"The model was trained on all {len(pictures)} pictures. Pass others, or "
            "leave held_out (--held-out) out."
        )
    return pictures.subset(kept)


def pictures_of_ids(
    ids: Sequence[str], pictures: NamedPictures, options: ListOptions, where: str
) -> NamedPictures:
    """Return the picture of each id, under the id.

    An id is the path of a picture, its file name, or that without its ending.

    Raises:
        ValueError: if an id has no picture or several; the message counts and names.
    """
    tables: list[dict[str, list[int]]] = [{}, {}, {}]
    for number, key in enumerate(pictures.keys):
        path = PurePosixPath(key)
        for table, text in zip(tables, (key, path.name, path.stem), strict=True):
            table.setdefault(text, []).append(number)
    numbers, missing, several = [], [], []
    for own in ids:
        wanted = options.with_ending(own)
        found = next((table[wanted] for table in tables if wanted in table), [])
        (numbers if len(found) == 1 else several if found else missing).append(
            found[0] if len(found) == 1 else own
        )
    if missing or several:
        kind, some = ("no picture", missing) if missing else ("several", several)
        raise ValueError(
            f"Each id of {where!r} must have one picture, received {len(some)} of "
            f"{len(ids)} with {kind}: {', '.join(map(repr, some[:5]))}"
            f"{', ...' if len(some) > 5 else ''}. Pass the folder or the list that has "
            "them."
        )
    others = len(pictures) - len(set(numbers))
    if others:
        warnings.warn(
            f"{others} of {len(pictures)} pictures have no id in {where!r} and are "
            "left out.",
            stacklevel=3,
        )
    return pictures.subset(numbers, list(ids))
