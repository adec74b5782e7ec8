"""Open a data set of any kind as parts for training, validation and test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.data.checks import check_count, check_value
from keras_vit.data.images import Images
from keras_vit.data.opening import Opened, Part, open_source
from keras_vit.data.sources.lists import ListOptions
from keras_vit.data.splits import fold_numbers, grouped_split, stratified_split
from keras_vit.pages.in_notebook import MOST_ROWS, InNotebook, plain_facts

# Shares of the whole that are held out where the source is not divided itself. The
# digits have no validation part: the epoch that looks best on 120 images is a matter of
# chance, and those images teach more than they choose.
DIGITS_FRACTIONS = {"validation": 0.0, "test": 1 / 3}
DEFAULT_FRACTIONS = {"validation": 0.2, "test": 0.0}


@dataclass(frozen=True, kw_only=True)
class ImageData(InNotebook):
    """A data set in disjoint parts.

    Args:
        name: where it came from, for summaries and checkpoints.
        class_names: one name per class, in the order of the labels.
        train: images to learn from.
        validation: images to choose the best epoch with, or None.
        test: images that training never sees, or None.
        split: the arguments of `load_data` that give these parts again.
        own_parts: held-out parts that the source itself has, rather than the split.

    Example:
        ```python
        data = keras_vit.load_data("photos/", validation_fraction=0.25)
        data.class_names, data.num_classes  # (('cat', 'dog'), 2)
        {name: len(part) for name, part in data.parts.items()}
        # {'train': 18, 'validation': 6}
        name, part = data.held_out
        name  # 'validation'
        ```
    """

    name: str
    class_names: tuple[str, ...]
    train: Part
    validation: Part | None = None
    test: Part | None = None
    split: Mapping[str, Any] = field(default_factory=dict)
    own_parts: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def is_multi_label(self) -> bool:
        """Whether an image may have several labels: float32 (B, classes), 0 or 1."""
        return getattr(self.train, "is_multi_label", False)

    @property
    def held_out(self) -> tuple[str, Part]:
        """The part that says how good a model is: test, else validation, else train."""
        parts = self.parts
        name = next(name for name in ("test", "validation", "train") if name in parts)
        return name, parts[name]

    def part(self, name: str) -> Part:
        """Return the part "train", "validation" or "test".

        Raises:
            ValueError: if the data set has no such part.
        """
        parts = self.parts
        if name not in parts:
            raise ValueError(
                f"The parts of {self.name!r} are {list(parts)}, received {name!r}."
            )
        return parts[name]

    @property
    def parts(self) -> dict[str, Part]:
        """The parts that exist, by name."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}

    @property
    def values(self) -> str:
        """Which pixel values the training images hold, in words."""
        found = getattr(self.train, "values", None)
        return "bytes of files" if found is None else found.text()

    @property
    def details(self) -> str:
        """What the training images hold, with their groups and weights, in words."""
        groups = getattr(self.train, "groups", None)
        weights = getattr(self.train, "weights", None)
        parts = [self.values]
        if groups is not None:
            parts.append(f"{len(np.unique(groups))} groups")
        if weights is not None:
            parts.append(f"weights from {weights.min():g} to {weights.max():g}")
        return "; ".join(parts)

    def _notebook(self) -> Iterator[str]:
        named = ", ".join(self.class_names[:MOST_ROWS])
        more = self.num_classes - MOST_ROWS
        classes = f"{self.num_classes:,}: {named}{f' and {more:,} more' * (more > 0)}"
        yield plain_facts([("from", self.name), ("classes", classes)])
        parts = [(name, f"{len(part):,} images") for name, part in self.parts.items()]
        yield plain_facts([*parts, ("values", self.details)])

    def summary(self) -> dict[str, Any]:
        """Name, classes, values, split, and size and fingerprint of each part."""
        about: dict[str, Any] = {"name": self.name, "num_classes": self.num_classes}
        about["values"] = self.values
        about["split"] = dict(self.split)
        for name, part in self.parts.items():
            about[name] = {"images": len(part), "fingerprint": part.fingerprint}
        return about


def load_data(
    source: str | Path | tuple[Any, Any] | Mapping[str, Any] | Any = "digits",
    *,
    validation_fraction: float | None = None,
    test_fraction: float | None = None,
    folds: int | None = None,
    fold: int | None = None,
    groups: Any = None,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
    columns: Mapping[str, str | Sequence[str] | None] | None = None,
    image_dir: str | Path | None = None,
    ending: str | None = None,
    multi_label: bool = False,
    label_separator: str = "|",
    data_dir: str | None = None,
    verify: bool = True,
    skip_unreadable: bool = False,
) -> ImageData:
    """Open a data set.

    Args:
        source: one of
            "digits", the embedded 1,797 handwritten digits (default);
            a folder with `CLASS/*.jpg`, or `train/CLASS/*.jpg` and `val/CLASS/*.jpg`;
            a list with a path and a label in each row: a `.csv`, `.tsv`, `.jsonl` or
            `.parquet` file, or a table of pandas, polars or PyArrow;
            a `.zip`, `.tar` or `.tar.gz` archive of such a folder or list, read where
            it is; "set.zip/train.csv" is a list in it;
            shards of WebDataset: such tar archives, "train-{000..003}.tar" too;
            "tfds:NAME", a TensorFlow Datasets classification set;
            `(images, labels)`, paired by position: arrays (N, H, W[, C]), lists,
            generators or columns of a table, of pictures or paths; labels from 0, or
            names if there are `class_names`;
            a data set of (image, label) that can be read by number: a torch `Dataset`
            or `DataLoader` of one, a `grain.MapDataset` or data source, a Hugging Face
            `Dataset`;
            a dictionary of such pairs or sets with the keys "train", "validation",
            "test", as a Hugging Face `DatasetDict` is.
        validation_fraction: share of all images, [0, 1), held out for choosing the best
            epoch, where the source has no such part. Default 0.2 of an undivided or
            training part; for digits 0.
        test_fraction: the same for the test part. Default 0; for digits 1/3.
        folds: into how many folds the training part is dealt, at least 2; fold number
            `fold` is then the validation part. Each image is in exactly one. Default
            None: shares are held out.
        fold: number of the fold that is held out, from 0; exactly with `folds`.
        groups: group of each image of arrays or rows, paired by position, such as its
            patient: no group is on both sides of a split. A list may have them in a
            column.
        class_names: names of the classes, in the order of the labels; for arrays, lists
            and data sets of other libraries only. Default for lists: the distinct
            labels, sorted; by value if all are numbers.
        seed: of the split, which is stratified. The same pictures and the same seed
            give the same split, whatever their names and their order; equal pictures
            stay together. Streams and sets of other libraries are divided by number.
        columns: names of the columns of a list, by what they are: "path", "label", and
            where there are some "split" (train, val or test), "group" and "weight" (of
            a picture in the loss of training, above 0). Default: the same names; None
            as a name leaves a column out. For a set of dictionaries, the keys of
            "image" and "label".
        image_dir: folder or archive that the paths of a list start from. Default: the
            folder of the list.
        ending: is added to the paths of a list that do not end so, such as ".jpg".
        multi_label: whether an image may have several labels. They are then 0 or 1 for
            each class: in a list texts such as "cat|dog" ("|" alone for none), lists of
            names, or columns of 0 and 1, columns={"label": ["cat", "dog"]}; of arrays
            an array (N, classes) or lists of names. A picture that is in several class
            folders has the labels of all of them. Default False.
        label_separator: stands between the labels of a text. Default "|".
        data_dir: where prepared TensorFlow Datasets are.
        verify: whether each file is decoded once now. Default True.
        skip_unreadable: whether damaged files are left out. Default False.

    Returns:
        An `ImageData`: `train`, and `validation` and `test` where there are some.

    Raises:
        FileNotFoundError: if a folder, list or picture does not exist.
        ImportError: if a library that the source needs is not installed.
        TypeError: if `source` is something else.
        ValueError: if the data is empty or does not fit together, or cannot be divided
            as asked.

    Example:
        ```python
        data = keras_vit.load_data("photos/")
        len(data.train), len(data.validation), data.class_names
        # (20, 4, ('cat', 'dog'))
        fold = keras_vit.load_data(
            "train.csv",
            columns={"path": "id", "label": "species", "group": "patient"},
            image_dir="train",
            ending=".jpg",
            folds=4,
            fold=0,
        )
        fold.num_classes  # 2
        ```
    """
    check_count("seed", seed, 0)
    _check_folds(folds, fold, validation_fraction, test_fraction)
    options = ListOptions(
        columns=columns or {},
        image_dir=image_dir,
        ending=ending,
        multi_label=multi_label,
        label_separator=label_separator,
        verify=verify,
        skip_unreadable=skip_unreadable,
    )
    opened = open_source(
        source,
        class_names=class_names,
        groups=groups,
        options=options,
        data_dir=data_dir,
    )
    if folds is not None and fold is not None:
        split = {"folds": folds, "fold": fold, "seed": seed}
        divided = _with_fold(opened, folds, fold, seed)
    else:
        given = {"validation": validation_fraction, "test": test_fraction}
        defaults = DIGITS_FRACTIONS if opened.name == "digits" else DEFAULT_FRACTIONS
        shares = defaults | {part: f for part, f in given.items() if f is not None}
        split = {f"{part}_fraction": f for part, f in shares.items()} | {"seed": seed}
        divided = _with_shares(opened, shares, seed)
    return ImageData(
        name=opened.name,
        class_names=opened.class_names,
        split=split,
        own_parts=tuple(part for part in opened.parts if part != "train"),
        **divided,
    )


def _check_folds(folds: Any, fold: Any, validation: Any, test: Any) -> None:
    """Raise a ValueError for numbers of folds that mean nothing."""
    if folds is None and fold is None:
        return
    if folds is None or fold is None:
        raise ValueError(
            "folds says how many there are and fold which one is held out, received "
            f"folds={folds!r}, fold={fold!r}. Pass both (--folds 5 --fold 0)."
        )
    check_count("folds", folds, 2)
    check_count("fold", fold, 0)
    check_value(fold < folds, "fold", fold, f"from 0 to {folds - 1} of {folds} folds")
    if validation is not None or test is not None:
        raise ValueError(
            f"Folds and shares exclude each other, received folds={folds}, "
            f"validation_fraction={validation!r}, test_fraction={test!r}. Leave the "
            "shares out; a test part may be of its own folder or in the column split."
        )


def _contents(opened: Opened) -> Any:
    """Return the contents of the images that are divided, None if not known."""
    # The digits are one fixed list, divided by the places in it since the first model.
    if opened.name == "digits":
        return None
    return getattr(opened.parts["train"], "content", None)


def _with_fold(opened: Opened, folds: int, fold: int, seed: int) -> dict[str, Part]:
    parts = dict(opened.parts)
    if "validation" in parts:
        raise ValueError(
            f"folds deals the training part into validation parts, and {opened.name!r} "
            "has one of its own. Leave folds out, or the part (for a list with "
            "columns={'split': None}, --split-column '')."
        )
    whole = parts["train"]
    numbers = fold_numbers(
        whole.labels,
        folds,
        seed,
        _contents(opened),
        getattr(whole, "groups", None),
        opened.class_names,
    )
    train = whole.subset(_own(whole, np.flatnonzero(numbers != fold)))
    held_out = whole.subset(_own(whole, np.flatnonzero(numbers == fold)))
    return {**parts, "train": train, "validation": held_out}


def _with_shares(
    opened: Opened, shares: dict[str, float], seed: int
) -> dict[str, Part]:
    parts = dict(opened.parts)
    wanted = {part: f for part, f in shares.items() if part not in parts and f}
    if not wanted:
        return parts
    whole = parts["train"]
    labels, contents = whole.labels, _contents(opened)
    groups = getattr(whole, "groups", None)
    if groups is None and labels.ndim == 2:
        groups = np.arange(len(labels))  # Equal pictures are one group.
    if groups is None:
        indices = stratified_split(labels, wanted, seed, contents)
    else:
        indices = grouped_split(labels, groups, wanted, seed, contents)
    drawn = {name: part for name, part in indices.items() if len(part)}
    return {
        **parts,
        **{name: whole.subset(_own(whole, part)) for name, part in drawn.items()},
    }


def _own(whole: Part, places: np.ndarray) -> np.ndarray:
    """Return the numbers of the images at these places of a set."""
    return whole.indices[places] if isinstance(whole, Images) else places
