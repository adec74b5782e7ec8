"""Open a source of any kind as parts: which kind it is is decided here alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.data.images import (
    Images,
    class_names_of,
    merged_by_content,
    multi_hot,
    numbered,
)
from keras_vit.data.sequences import by_position
from keras_vit.data.sources.archive import Archive, ArchivePath, find_place
from keras_vit.data.sources.arrays import images_from_arrays
from keras_vit.data.sources.digits import CLASS_NAMES, load_digits
from keras_vit.data.sources.folder import PARTS, images_from_folder
from keras_vit.data.sources.lists import (
    ListOptions,
    column_of,
    images_from_list,
    images_from_table,
    open_table,
)
from keras_vit.data.sources.other_libraries import (
    class_names_in,
    images_from_dataset,
    is_dataset,
)
from keras_vit.data.sources.tables import cell_text, is_frame, is_list, plain
from keras_vit.data.sources.tfds import TfdsImages, images_from_tfds
from keras_vit.data.sources.web_dataset import find_shards, is_shards, table_of_shards

Part = Images | TfdsImages

_EXPECTED = (
    "Data is 'digits', a folder, a list (.csv, .tsv, .jsonl, .parquet), an archive "
    "(.zip, .tar, .tar.gz), 'tfds:NAME', a tuple (images, labels), a table, a data set "
    "of another library or a dictionary of these"
)


@dataclass(frozen=True)
class Opened:
    """What a source holds.

    Args:
        name: for summaries and checkpoints.
        parts: "train", and "validation" and "test" where the source has them.
        class_names: one name per class.
    """

    name: str
    parts: Mapping[str, Part]
    class_names: tuple[str, ...]


def open_source(
    source: Any,
    *,
    class_names: Sequence[str] | None,
    groups: Any,
    options: ListOptions,
    data_dir: str | None,
) -> Opened:
    """Open what `load_data` takes; the arguments are explained there."""
    if is_frame(source):
        name = f"{type(source).__module__.split('.')[0]} table"
        found = images_from_list(source, options, class_names, groups)
        return Opened(name, *found)
    if isinstance(source, (tuple, Mapping)) or is_dataset(source):
        _refuse_list_options(source, options, is_mapping=isinstance(source, Mapping))
        in_memory = isinstance(source, (tuple, Mapping))
        name = "arrays" if in_memory else type(source).__name__
        parts, names = _array_parts(source, class_names, options)
        return Opened(name, _with_groups(parts, groups), names)
    if not isinstance(source, (str, Path)):
        raise TypeError(f"{_EXPECTED}, received {type(source).__name__}.")
    text = str(source)
    if text != "digits" and not text.startswith("tfds:"):
        return _of_path(text, class_names, groups, options)
    _refuse_list_options(source, options)
    _refuse_for_names(text, class_names=class_names, groups=groups)
    if options.multi_label:
        raise ValueError(
            f"multi_label is for lists, folders and arrays, received {text!r}, whose "
            "images have one label each. Leave it out."
        )
    if text == "digits":
        parts = {"train": images_from_arrays(*load_digits())}
        return Opened(text, parts, CLASS_NAMES)
    return Opened(text, *images_from_tfds(text.removeprefix("tfds:"), data_dir))


def _of_path(
    text: str, class_names: Sequence[str] | None, groups: Any, options: ListOptions
) -> Opened:
    """Open a folder, a list, an archive or shards."""
    name = str(Path(text).expanduser())
    shards = find_shards(name)
    if shards:
        table, base = table_of_shards([Archive(path) for path in shards])
        found = images_from_table(table, base, options, class_names, groups)
        return Opened(name, *found)
    place = find_place(name)
    if isinstance(place, ArchivePath) and not place.inside:
        place = place.archive.content_root()
        if is_shards(place):
            table, base = table_of_shards([place.archive])
            found = images_from_table(table, base, options, class_names, groups)
            return Opened(name, *found)
        place = _list_in(place, options) or place
    if is_list(place.name) and not place.is_dir():
        found = images_from_list(place, options, class_names, groups)
        return Opened(name, *found)
    _refuse_list_options(text, options)
    _refuse_for_names(text, class_names=class_names, groups=groups)
    parts, names = images_from_folder(
        place, verify=options.verify, skip_unreadable=options.skip_unreadable
    )
    if options.multi_label:
        parts = {part: merged_by_content(x, name) for part, x in parts.items()}
    return Opened(name, parts, names)


def _list_in(root: ArchivePath, options: ListOptions) -> ArchivePath | None:
    """Return the list that says what the pictures of an archive are, None without.

    Raises:
        ValueError: if there are several.
    """
    lists = [path for path in root.entries()[1] if is_list(path.name)]
    if len(lists) == 1 and options.columns:
        return lists[0]
    found = [path for path in lists if _has_labels(path, options)]
    if len(found) > 1:
        raise ValueError(
            f"One list must say what the pictures of {str(root.archive.path)!r} are, "
            f"received {[path.name for path in found]}. Name it: {str(found[0])!r}."
        )
    if not found and lists and not root.entries()[0]:
        return lists[0]  # It says itself which columns are missing.
    return found[0] if found else None


def _has_labels(path: ArchivePath, options: ListOptions) -> bool:
    table, _ = open_table(path, replace(options, image_dir=None))
    try:
        for role in ("path", "label"):
            column_of(table, options, role, needed=True)
    except ValueError:
        return False
    return True


def _refuse_list_options(
    source: Any, options: ListOptions, is_mapping: bool = False
) -> None:
    """Raise a ValueError for options of lists that have nothing to do here."""
    columns = None if is_mapping or is_dataset(source) else (options.columns or None)
    given = {
        "columns": columns,
        "image_dir": options.image_dir,
        "ending": options.ending,
    }
    names = [name for name, value in given.items() if value is not None]
    if names:
        what = source if isinstance(source, (str, Path)) else type(source).__name__
        raise ValueError(
            f"{', '.join(names)} say how a list of pictures is read, received "
            f"{str(what)!r}, which is no list. Leave them out, or pass the list."
        )


def _refuse_for_names(source: str, *, class_names: Any, groups: Any) -> None:
    """Raise a ValueError for what cannot be paired with a named source."""
    if class_names is not None:
        raise ValueError(
            "class_names is for arrays and lists only: a folder, digits and tfds:NAME "
            f"have their own, received class_names with {source!r}."
        )
    if groups is not None:
        raise ValueError(
            "groups is paired by position, for arrays and tables, received it with "
            f"{source!r}. Write a list with a column group instead."
        )


def _array_parts(
    source: Any, class_names: Sequence[str] | None, options: ListOptions
) -> tuple[dict[str, Part], tuple[str, ...]]:
    pairs = _named_parts(source) if isinstance(source, Mapping) else {"train": source}
    if class_names is None:
        class_names = class_names_in(pairs["train"], options.columns)
    train = _images("train", pairs["train"], class_names, options)
    names = class_names_of(class_names, train.labels)
    parts: dict[str, Part] = {"train": train}
    for part in (part for part in PARTS if part in pairs and part != "train"):
        found = _images(part, pairs[part], class_names, options, like=train)
        # Decided once: a test part of dark pictures has the values of the others.
        parts[part] = replace(found, values=train.values or found.values)
    return parts, names


def _named_parts(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a dictionary under our names for them."""
    part_of = {word: part for part, words in PARTS.items() for word in words}
    found = {part_of.get(str(word).lower(), word): word for word in source}
    if "train" not in found or not set(found) <= set(PARTS) or len(found) < len(source):
        raise ValueError(
            f"The parts must be 'train' and any of {[*PARTS][1:]}, received "
            f"{list(source)}."
        )
    return {part: source[word] for part, word in found.items()}


def _images(
    part: str,
    source: Any,
    names: Sequence[str] | None,
    options: ListOptions,
    like: Images | None = None,
) -> Images:
    num_classes = None if names is None else len(names)
    if is_dataset(source):
        if options.multi_label:
            raise ValueError(
                "multi_label is for lists, folders and arrays, received a "
                f"{type(source).__name__}. Pass (images, labels)."
            )
        return images_from_dataset(source, num_classes, like, options.columns, names)
    if not isinstance(source, (tuple, list)) or len(source) != 2:
        raise ValueError(
            "Data from arrays must be (images, labels), received "
            f"{part}={type(source).__name__} of another form."
        )
    pixels, labels = source
    if options.multi_label:
        pixels = by_position(pixels, "Images")
        found = images_from_arrays(pixels, np.zeros(len(pixels), "int64"))
        labels = multi_hot(labels, len(pixels), names)
        return replace(found, all_labels=labels, num_classes=labels.shape[1])
    return images_from_arrays(pixels, numbered(labels, names), num_classes)


def _with_groups(parts: Mapping[str, Part], groups: Any) -> Mapping[str, Part]:
    """Return an undivided set whose images have groups, paired by position."""
    if groups is None:
        return parts
    whole = parts["train"]
    if len(parts) > 1 or not isinstance(whole, Images):
        raise ValueError(
            "groups says which images of an undivided set belong together, received "
            f"it with the parts {list(parts)}. Leave it out, or pass one part."
        )
    given = [cell_text(plain(value)) for value in by_position(groups, "Groups")]
    if len(given) != len(whole) or "" in given:
        raise ValueError(
            f"There must be one group per image, received {len(given)} groups, "
            f"{given.count('')} of them empty, and {len(whole)} images."
        )
    number_of = {name: i for i, name in enumerate(dict.fromkeys(given))}
    numbers = np.array([number_of[name] for name in given], dtype="int64")
    named = replace(whole, all_groups=numbers, group_names=tuple(number_of))
    return {"train": named}
