"""Open a data set of any kind as parts for training, validation and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_vit.data.arrays import images_from_arrays
from keras_vit.data.datasets import images_from_dataset, is_dataset
from keras_vit.data.digits import CLASS_NAMES, load_digits
from keras_vit.data.folder import images_from_folder
from keras_vit.data.images import Images, class_names_of
from keras_vit.data.splits import stratified_split
from keras_vit.data.tfds import TfdsImages, images_from_tfds

# Shares of the whole that are held out where the source is not divided itself. The
# digits have no validation part: the epoch that looks best on 120 images is a matter of
# chance, and those images teach more than they choose.
DIGITS_FRACTIONS = {"validation": 0.0, "test": 1 / 3}
DEFAULT_FRACTIONS = {"validation": 0.2, "test": 0.0}

Part = Images | TfdsImages


@dataclass(frozen=True, kw_only=True)
class ImageData:
    """A data set in disjoint parts.

    Args:
        name: where it came from, for summaries and checkpoints.
        class_names: one name per class, in the order of the labels.
        train: images to learn from.
        validation: images to choose the best epoch with, or None.
        test: images that training never sees, or None.
        split: the arguments of `load_data` that give these parts again.
    """

    name: str
    class_names: tuple[str, ...]
    train: Part
    validation: Part | None = None
    test: Part | None = None
    split: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def held_out(self) -> tuple[str, Part]:
        """The part that says how good a model is: test, else validation, else train."""
        for name in ("test", "validation"):
            part = getattr(self, name)
            if part is not None:
                return name, part
        return "train", self.train

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

    def summary(self) -> dict[str, Any]:
        """Name, classes, split, and size and fingerprint of each part."""
        parts = {
            name: {"images": len(part), "fingerprint": part.fingerprint}
            for name, part in self.parts.items()
        }
        return {
            "name": self.name,
            "num_classes": self.num_classes,
            "split": dict(self.split),
            **parts,
        }


def load_data(
    source: str | Path | tuple[Any, Any] | Mapping[str, Any] | Any = "digits",
    *,
    validation_fraction: float | None = None,
    test_fraction: float | None = None,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
    data_dir: str | None = None,
    verify: bool = True,
    skip_unreadable: bool = False,
) -> ImageData:
    """Open a data set.

    Args:
        source: one of
            "digits", the embedded 1,797 handwritten digits (default);
            a folder with `CLASS/*.jpg`, or `train/CLASS/*.jpg` and `val/CLASS/*.jpg`;
            "tfds:NAME", a TensorFlow Datasets classification set;
            `(images, labels)`, arrays (N, H, W[, C]) or lists, with labels from 0;
            a data set of (image, label) that can be read by number: a torch `Dataset`
            or `DataLoader` of one, a `grain.MapDataset` or data source, a Hugging Face
            `Dataset`;
            a dictionary of such pairs or sets with the keys "train", "validation",
            "test".
        validation_fraction: share of all images, [0, 1), held out for choosing the best
            epoch, where the source has no such part. Default 0.2 of an undivided or
            training part; for digits 0.
        test_fraction: the same for the test part. Default 0; for digits 1/3.
        class_names: names of the classes, in the order of the labels; for arrays and
            data sets of other libraries only.
        seed: of the split, which is stratified. The same seed gives the same split.
        data_dir: where prepared TensorFlow Datasets are.
        verify: whether each file of a folder is decoded once now. Default True.
        skip_unreadable: whether damaged files of a folder are left out. Default False.

    Raises:
        FileNotFoundError: if a folder does not exist.
        ImportError: if tensorflow_datasets is needed and not installed.
        TypeError: if `source` is something else.
        ValueError: if the data is empty, has one class, or does not fit together.

    Example:
        >>> data = keras_vit.load_data("digits")
        >>> len(data.train), len(data.test), data.class_names[:3]
        (1198, 599, ('0', '1', '2'))
    """
    own = is_dataset(source)
    if not own and not isinstance(source, (str, Path, tuple, Mapping)):
        raise TypeError(
            "Data is 'digits', a folder, 'tfds:NAME', a tuple (images, labels), a data "
            "set of another library or a dictionary of these, received "
            f"{type(source).__name__}."
        )
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(
            f"seed must be a whole number of at least 0, received seed={seed!r}."
        )
    if class_names is not None and not (own or isinstance(source, (tuple, Mapping))):
        raise ValueError(
            "class_names is for arrays only: a folder, digits and tfds:NAME have their "
            f"own, received class_names with {str(source)!r}."
        )
    fractions = dict(DEFAULT_FRACTIONS)
    if own or isinstance(source, (tuple, Mapping)):
        name = type(source).__name__ if own else "arrays"
        parts, names = _array_parts(source, class_names)
    elif str(source) == "digits":
        name = "digits"
        fractions = dict(DIGITS_FRACTIONS)
        parts = {"train": images_from_arrays(*load_digits())}
        names = CLASS_NAMES
    elif str(source).startswith("tfds:"):
        name = str(source)
        parts, names = images_from_tfds(name.removeprefix("tfds:"), data_dir)
    else:
        name = str(Path(source))
        parts, names = images_from_folder(
            name, verify=verify, skip_unreadable=skip_unreadable
        )
    if len(names) < 2:
        raise ValueError(
            f"At least two classes are needed, received {list(names)} in {name!r}."
        )
    if validation_fraction is not None:
        fractions["validation"] = validation_fraction
    if test_fraction is not None:
        fractions["test"] = test_fraction
    wanted = {part: f for part, f in fractions.items() if part not in parts and f}
    split = {
        "validation_fraction": fractions["validation"],
        "test_fraction": fractions["test"],
        "seed": seed,
    }
    return ImageData(
        name=name,
        class_names=names,
        split=split,
        **_divide(parts, wanted, seed),
    )


def _array_parts(
    source: tuple[Any, Any] | Mapping[str, Any] | Any,
    class_names: Sequence[str] | None,
) -> tuple[dict[str, Part], tuple[str, ...]]:
    pairs = dict(source) if isinstance(source, Mapping) else {"train": source}
    valid = ("train", "validation", "test")
    if "train" not in pairs or not set(pairs) <= set(valid):
        raise ValueError(
            f"The parts must be 'train' and any of {list(valid[1:])}, received "
            f"{list(pairs)}."
        )
    count = None if class_names is None else len(class_names)
    parts: dict[str, Part] = {}
    names: tuple[str, ...] = ()
    for part in (part for part in valid if part in pairs):  # "train" sets the classes.
        parts[part] = images = _images(part, pairs[part], count)
        if part == "train":
            names = class_names_of(class_names, images.labels)
            count = len(names)
    return parts, names


def _images(part: str, source: Any, num_classes: int | None) -> Images:
    if is_dataset(source):
        return images_from_dataset(source, num_classes)
    if not isinstance(source, (tuple, list)) or len(source) != 2:
        raise ValueError(
            "Data from arrays must be (images, labels), received "
            f"{part}={type(source).__name__} of another form."
        )
    pixels, labels = source
    return images_from_arrays(pixels, labels, num_classes)


def _divide(
    parts: Mapping[str, Part], fractions: dict[str, float], seed: int
) -> dict[str, Part]:
    divided = dict(parts)
    if fractions:
        whole = parts["train"]
        indices = stratified_split(whole.labels, fractions, seed)
        for name, part in indices.items():
            if len(part) or name == "train":
                divided[name] = whole.subset(part)
    return divided
