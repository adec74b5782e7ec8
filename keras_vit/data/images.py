"""A labelled set of images with random access, and its batches for `model.fit`."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import numpy as np

from keras_vit.data.batch_options import BatchOptions
from keras_vit.data.batches import ImageBatches
from keras_vit.data.contents import Contents
from keras_vit.data.input_engines import Engine, check_engine, to_engine
from keras_vit.data.sequences import by_position
from keras_vit.data.values import PixelValues
from keras_vit.preprocessing import Preprocessing


@dataclass(frozen=True, repr=False)
class Images:
    """Labelled images that can be read one by one, in any order.

    Args:
        read: from a number in `indices` to the picture: anything that
            `Preprocessing` takes.
        labels: class of each picture that `read` knows, int64 (N,); or where a picture
            may have several, 1 for each class that is on it, else 0, float32
            (N, classes).
        indices: which pictures belong to this set, int64. Default: all.
        num_classes: length of labels that are probabilities. Default: the highest
            label plus 1.
        contents: what is in each picture that `read` knows. Default None: finding it
            out would take too long.
        values: what arrays hold, decided once for the whole set. None: bytes of files.
        all_groups: group of each picture that `read` knows, int64, such as its patient:
            a split keeps a group together. Default None: there are no groups.
        all_weights: how much each picture that `read` knows counts in the loss of a
            training, float32, above 0. Default None: all count 1.
        group_names: name of each group, by its number. Default: nothing but numbers.
    """

    read: Callable[[int], Any]
    all_labels: np.ndarray
    indices: np.ndarray = field(default=None)  # pyright: ignore[reportAssignmentType]
    num_classes: int = 0
    contents: Contents | None = None
    values: PixelValues | None = None
    all_groups: np.ndarray | None = None
    all_weights: np.ndarray | None = None
    group_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.indices is None:
            object.__setattr__(self, "indices", np.arange(len(self.all_labels)))
        if not self.num_classes:
            count = int(self.all_labels.max(initial=-1)) + 1
            if self.is_multi_label:
                count = self.all_labels.shape[1]
            object.__setattr__(self, "num_classes", count)

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        return f"<Images: {len(self):,} of {self.num_classes:,} classes>"

    @property
    def fingerprint(self) -> str:
        """A short hash of which images these are, for comparing runs.

        Where the contents are known, it follows from them, the labels and the order.
        """
        if self.content is not None:
            digest = hashlib.sha256(self.content.tobytes())
            digest.update(self.labels.tobytes())
            if self.weights is not None:
                digest.update(self.weights.tobytes())
            return digest.hexdigest()[:16]
        digest = hashlib.sha256(self.indices.tobytes())
        digest.update(self.all_labels.tobytes())
        return digest.hexdigest()[:16]

    @property
    def content(self) -> np.ndarray | None:
        """What is in each image, uint64 (len(self),); None if that is not known."""
        return None if self.contents is None else self.contents.numbers[self.indices]

    @property
    def labels(self) -> np.ndarray:
        """Class of each image, int64 (len(self),), or float32 (len(self), classes)."""
        return self.all_labels[self.indices]

    @property
    def is_multi_label(self) -> bool:
        """Whether an image may have several labels."""
        return self.all_labels.ndim == 2

    @property
    def groups(self) -> np.ndarray | None:
        """Group of each image, int64 (len(self),); None if there are none."""
        return None if self.all_groups is None else self.all_groups[self.indices]

    @property
    def weights(self) -> np.ndarray | None:
        """Weight of each image in training, float32 (len(self),); None: all count 1."""
        return None if self.all_weights is None else self.all_weights[self.indices]

    def subset(self, indices: np.ndarray) -> Images:
        """Return the images with these numbers."""
        return replace(self, indices=indices)

    def check_values(self, preprocessing: Preprocessing) -> None:
        """Raise a ValueError if the values of the set are not those that are expected.

        It is asked once of the set, never of a picture: a dark one may look otherwise.
        """
        preprocessing.check_unit(self.values is not None and self.values.is_unit)

    def pictures(self) -> Iterator[Any]:
        """Yield each picture as it was given, in the order of `labels`."""
        return (self.read(int(index)) for index in self.indices)

    def samples(self, count: int) -> list[Any]:
        """Return `count` pictures as they were given, spread over the set."""
        return [self.read(int(self.indices[i])) for i in spread(len(self), count)]

    def batches(
        self,
        preprocessing: Preprocessing,
        batch_size: int = 64,
        *,
        engine: Engine = "threads",
        **options: Any,
    ) -> Any:
        """Return batches (images, labels) for `fit`, `evaluate` and `predict`.

        Args:
            preprocessing: what each picture goes through.
            batch_size: images per batch, of all processes together. Default 64.
            engine: "threads" (default): an `ImageBatches`; "tf.data", "grain" or
                "torch": what these libraries call a data set. All give the same,
                but "grain" gives one epoch; see `to_grain`.
            options: the other fields of `BatchOptions`, such as `training=True`.

        Returns:
            Batches of (images, labels), with `pad` or "weights" (images, labels,
            weights): the weight of an image in the loss, float32 (B,), 0 for padding.
            Images with weights of their own have them in the batches of a training.

        Raises:
            ImportError: if the library of `engine`, or KerasCV, is not installed.
            TypeError: if there is no such option.
            ValueError: if an option is out of its range or does not fit another one.
        """
        check_engine(engine)
        how = BatchOptions(
            preprocessing=preprocessing, batch_size=batch_size, **options
        )
        return to_engine(ImageBatches(self, how), engine)


def joined(parts: Sequence[Images]) -> Images:
    """Return the images of several sets, whose contents are known, as one set."""
    starts = np.cumsum([0, *(len(part) for part in parts)])

    def read(number: int) -> Any:
        which = int(np.searchsorted(starts, number, side="right")) - 1
        part = parts[which]
        return part.read(int(part.indices[number - starts[which]]))

    labels = np.concatenate([part.labels for part in parts])
    known = [(part.contents, part.indices) for part in parts if part.contents]
    known = known if len(known) == len(parts) else []
    contents = Contents(read, len(labels), known)
    count = max(part.num_classes for part in parts)
    values = next((part.values for part in parts if part.values is not None), None)
    groups = [part.groups for part in parts if part.groups is not None]
    return Images(
        read,
        labels,
        num_classes=count,
        values=values,
        contents=contents,
        all_groups=np.concatenate(groups) if len(groups) == len(parts) else None,
        group_names=parts[0].group_names,
    )


def spread(total: int, count: int) -> np.ndarray:
    """Return up to `count` numbers below `total`, as evenly spaced as can be."""
    return np.linspace(0, total - 1, min(count, total)).astype(int)


def check_labels(labels: Any, num_images: int, num_classes: int | None) -> np.ndarray:
    """Return labels as int64, one for each image, from 0 to num_classes - 1.

    Args:
        labels: a sequence of any library; paired with the images by position.
        num_images: how many there must be.
        num_classes: how many classes there are, or None: the highest label plus 1.

    Raises:
        TypeError: if they are no sequence.
        ValueError: if they are something else; the message says what.
    """
    labels = np.asarray(by_position(labels, "Labels"))
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype == object and all(isinstance(x, Integral) for x in labels.flat):
        labels = labels.astype("int64")  # As tables hold what may be missing.
    if labels.ndim == 1 and labels.dtype.kind in "OUT":
        raise ValueError(
            "Labels must be whole numbers, or names together with class_names, "
            f"received {labels[0]!r}. Pass class_names=[...] in the order that the "
            "outputs of the model have."
        )
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            "Labels must be whole numbers of shape (number of images,), received shape "
            f"{labels.shape} and dtype {labels.dtype}. Use labels.argmax(-1) for "
            "one-hot labels."
        )
    if len(labels) != num_images:
        raise ValueError(
            f"There must be one label per image, received {len(labels)} labels and "
            f"{num_images} images."
        )
    highest = int(labels.max(initial=0)) if num_classes is None else num_classes - 1
    wrong = np.flatnonzero((labels < 0) | (labels > highest))
    if len(wrong):
        raise ValueError(
            f"Labels must be from 0 to {highest}, received {int(labels[wrong[0]])} at "
            f"index {int(wrong[0])} ({len(wrong)} labels out of range). Number the "
            "classes from 0, and pass one class name per class."
        )
    return labels.astype("int64")


def multi_hot(labels: Any, num_images: int, names: Sequence[str] | None) -> np.ndarray:
    """Return labels of which a picture has several as float32 (N, classes), 0 or 1.

    Args:
        labels: an array (N, classes) of 0 and 1, or for each picture its names.
        num_images: how many there must be.
        names: of the classes; needed for names.

    Raises:
        ValueError: if they are something else; the message says what.
    """
    rows = by_position(labels, "Labels")
    if names is not None and len(rows) and not hasattr(rows, "shape"):
        number_of = {str(name): number for number, name in enumerate(names)}
        found = np.zeros((len(rows), len(names)), "float32")
        for i, row in enumerate(rows):
            wrong = (
                [] if isinstance(row, str) else [x for x in row if x not in number_of]
            )
            if wrong or isinstance(row, str):
                raise ValueError(
                    "Labels must be a list of names for each image, all of class_names "
                    f"{list(number_of)}, received {wrong[:5] or row!r} at index {i}."
                )
            found[i, [number_of[name] for name in row]] = 1
    else:
        found = np.asarray(rows)
    classes = found.shape[1] if found.ndim == 2 else 0
    is_yes_or_no = found.dtype.kind in "biuf" and np.isin(found, (0, 1)).all()
    fits = names is None or classes == len(names)
    if found.ndim != 2 or len(found) != num_images or not (is_yes_or_no and fits):
        raise ValueError(
            "With multi_label=True, labels must be 0 or 1 for each class, of shape "
            f"({num_images}, {len(names) if names else 'classes'}), or lists of names "
            f"with class_names; received shape {found.shape} and dtype {found.dtype}."
        )
    return found.astype("float32")


def merged_by_content(images: Images, where: str) -> Images:
    """Return each picture once, with the labels of all its copies.

    A warning counts copies with the same label.
    """
    contents: Any = images.content
    _, first, number = np.unique(contents, return_index=True, return_inverse=True)
    labels = np.zeros((len(first), images.num_classes), "float32")
    labels[number, images.labels] = 1
    again = len(images) - int(labels.sum())
    if again:
        warnings.warn(
            f"{again} pictures are in one class of {where!r} more than once, and count "
            "once.",
            stacklevel=5,
        )
    paths = [images.read(int(images.indices[i])) for i in np.sort(first)]
    return Images(
        paths.__getitem__,
        labels[np.argsort(first)],
        num_classes=images.num_classes,
        contents=Contents(paths.__getitem__, len(paths)),
    )


def numbered(labels: Any, names: Sequence[str] | None) -> Any:
    """Return the number of each label that is a name; other labels as they are.

    Raises:
        ValueError: if a label is none of the names.
    """
    labels = by_position(labels, "Labels")
    if names is None or not len(labels) or not isinstance(labels[0], str):
        return labels
    numbers = {str(name): number for number, name in enumerate(names)}
    unknown = sorted({str(label) for label in labels} - set(numbers))
    if unknown:
        raise ValueError(
            f"Each label must be one of class_names {list(numbers)}, received "
            f"{unknown[:5]}. Correct the labels, or add the names."
        )
    return np.asarray([numbers[str(label)] for label in labels])


def class_names_of(names: Sequence[str] | None, labels: np.ndarray) -> tuple[str, ...]:
    """Return one name per class, the numbers themselves if there are none."""
    if names is None and labels.ndim == 2:
        return tuple(str(i) for i in range(labels.shape[1]))
    if names is None:
        counts = np.bincount(labels)
        empty = np.flatnonzero(counts == 0)
        if len(empty):
            raise ValueError(
                f"Each class needs an image, received none with the label {empty[0]} "
                f"and labels up to {len(counts) - 1}. Number the classes from 0 with "
                "no gaps, or pass class_names."
            )
        return tuple(str(i) for i in range(len(counts)))
    if len(set(names)) < len(names):
        raise ValueError(f"class_names must all differ, received {list(names)}.")
    return tuple(str(name) for name in names)
