"""Data sets of other libraries: torch, grain, Hugging Face, tf.data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_vit.data.images import Images, check_labels, numbered, spread
from keras_vit.data.sequences import is_table
from keras_vit.data.values import SAMPLED, values_of

_IMAGE_KEYS = ("image", "img", "pixel_values", "images")
_LABEL_KEYS = ("label", "labels", "fine_label", "target")
_COMPARED = 16  # items whose labels are compared with an attribute of the set
_DEFAULT_SAMPLERS = ("SequentialSampler", "RandomSampler")


def is_dataset(source: Any) -> bool:
    """Return whether something may be a data set of another library."""
    if isinstance(source, (str, bytes, tuple, list, Mapping, np.ndarray)):
        return False
    return hasattr(source, "__getitem__") or hasattr(source, "__iter__")


def class_names_in(dataset: Any, columns: Mapping[str, Any]) -> list[str] | None:
    """Return the class names that a Hugging Face `Dataset` has, None if it has none.

    Its feature `ClassLabel` has names; labels that are texts are names, sorted.
    """
    features = getattr(dataset, "features", None)
    if not isinstance(features, Mapping):
        return None
    key = _key(features, _LABEL_KEYS, columns, "label")
    names = getattr(features[key], "names", None)
    if names:
        return list(names)
    if getattr(features[key], "dtype", None) in ("string", "large_string"):
        return sorted({str(label) for label in dataset[key]})
    return None


def images_from_dataset(
    dataset: Any,
    num_classes: int | None = None,
    like: Images | None = None,
    columns: Mapping[str, Any] | None = None,
    class_names: Sequence[str] | None = None,
) -> Images:
    """Return labelled images from anything that gives (image, label) by number.

    A torch `Dataset` with `__len__`, a `grain.MapDataset` or data source, a Hugging
    Face `Dataset`. Labels are taken from `targets` or `labels` where there is such an
    attribute, as torchvision's sets have; else each item is read once. A torch
    `DataLoader` gives its data set: order, batches and augmentation are ours.

    Args:
        dataset: items are (image, label), or dictionaries with "image" and "label".
            An image is what `Preprocessing` takes, or a torch tensor (C, H, W).
        num_classes: number of classes. Default: the highest label plus 1.
        like: another part of the same data, which says what values tensors hold.
            Default: a sample of the set says it.
        columns: keys of "image" and "label" in items that are dictionaries. Default:
            the usual ones.
        class_names: of labels that are texts.

    Raises:
        TypeError: if the set cannot be read by number; the message says what to do.
        ValueError: if it is empty, or the labels are not class numbers.
    """
    dataset = _random_access(dataset)
    if len(dataset) == 0:
        raise ValueError("There must be at least one image, received an empty set.")
    pairs = _Pairs(dataset, columns or {})
    image, _ = pairs[0]
    _check_single(image)
    found = numbered(_labels(pairs), class_names)
    labels = check_labels(found, len(dataset), num_classes)
    sample = [pairs[i][0] for i in map(int, spread(len(dataset), SAMPLED))]
    read = None if like is None else like.read
    if isinstance(read, _Reader):
        is_unit = read.is_unit
    else:
        values = values_of(filter(_is_tensor, sample))
        is_unit = values is not None and values.is_unit
    values = values_of(_as_picture(image, is_unit) for image in sample)
    reader = _Reader(pairs, is_unit)
    return Images(reader, labels, num_classes=num_classes or 0, values=values)


class _Pairs:
    """The items of a set as (image, label).

    Args:
        dataset: gives pairs or dictionaries by number.
        columns: keys of "image" and "label" in dictionaries.
    """

    def __init__(self, dataset: Any, columns: Mapping[str, Any]) -> None:
        self.dataset = dataset
        self.keys: tuple[str, str] | None = None
        first = dataset[0]
        if isinstance(first, Mapping):
            image = _key(first, _IMAGE_KEYS, columns, "image")
            self.keys = (image, _key(first, _LABEL_KEYS, columns, "label"))
        elif columns:
            raise ValueError(
                f"columns names keys of dictionaries, received {dict(columns)} for "
                f"items that are {type(first).__name__}. Leave it out."
            )

    def __getitem__(self, number: int) -> tuple[Any, Any]:
        item = self.dataset[number]
        if self.keys is not None:
            return item[self.keys[0]], item[self.keys[1]]
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise ValueError(
                "Items must be (image, label) or a dictionary with 'image' and "
                f"'label', received {type(item).__name__}."
            )
        return item[0], item[1]

    def __len__(self) -> int:
        return len(self.dataset)


class _Reader:
    """Reads the image of an item; travels to other processes with the set.

    Args:
        pairs: give (image, label) by number.
        is_unit: whether tensors hold bytes divided by 255; so for the whole set.
    """

    def __init__(self, pairs: _Pairs, is_unit: bool) -> None:
        self.pairs = pairs
        self.is_unit = is_unit

    def __call__(self, number: int) -> Any:
        image, _ = self.pairs[number]
        try:
            return _as_picture(image, self.is_unit)
        except ValueError as error:
            raise ValueError(f"Item {number}: {error}") from error


def _random_access(dataset: Any) -> Any:
    module = type(dataset).__module__
    name = f"{module}.{type(dataset).__name__}"
    if module.startswith("torch") and hasattr(dataset, "batch_sampler"):
        return _of_loader(dataset)
    if is_table(dataset) or hasattr(dataset, "iloc"):
        raise TypeError(
            f"load_data reads items by position, received {name}, which is read by "
            "name. Pass the pair of columns (table['path'], table['label'])."
        )
    if module.startswith("tensorflow"):
        raise TypeError(
            f"load_data reads pictures by number, received {name}, which is a stream. "
            "Use 'tfds:NAME', a folder or arrays. Batches of your own train with "
            "recipe.training_copy(model), recipe.compile(...) and fit(batches)."
        )
    if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise TypeError(
            "A data set must give item i and its length, as a torch Dataset with "
            "__getitem__ and __len__, a grain.MapDataset or a grain data source do, "
            f"received {name}, which is a stream. Batches of your own train with "
            "recipe.training_copy(model), recipe.compile(...) and fit(batches)."
        )
    return dataset


def _of_loader(loader: Any) -> Any:
    sampler = type(loader.sampler).__name__
    if sampler not in _DEFAULT_SAMPLERS:
        raise TypeError(
            "A DataLoader is read for its data set, and ordered and batched anew, "
            f"received one with a sampler of its own, {sampler}. Pass loader.dataset, "
            "or give the loader to model.fit yourself."
        )
    return _random_access(loader.dataset)


def _key(
    item: Mapping[str, Any], usual: Sequence[str], columns: Mapping[str, Any], role: str
) -> str:
    """Return the key of the images or of the labels in items that are dictionaries."""
    unknown = set(columns) - {"image", "label"}
    if unknown:
        raise ValueError(
            "columns names the keys of 'image' and 'label', received "
            f"{sorted(unknown)} as well."
        )
    named = columns.get(role)
    key = named or next((key for key in usual if key in item), None)
    if key is None or key not in item:
        raise ValueError(
            f"Items must have an image and a label under the keys {list(usual[:2])} or "
            f"columns={{{role!r}: ...}}, received {list(item)}"
            f"{f' and {named!r}' if named else ''}."
        )
    return key


def _labels(pairs: _Pairs) -> Any:
    dataset = pairs.dataset
    if pairs.keys is not None and hasattr(dataset, "column_names"):
        return list(dataset[pairs.keys[1]])  # Without decoding pictures.
    for name in ("targets", "labels"):
        labels = getattr(dataset, name, None)
        # Wrappers such as torch's Subset hand on attributes of another length.
        if labels is not None and np.ndim(labels) == 1 and len(labels) == len(dataset):
            labels = np.asarray(labels)
            if _are_of_items(labels, pairs):
                return labels
    labels = [pairs[i][1] for i in range(len(dataset))]
    if any(isinstance(label, str) for label in labels):
        return labels
    return np.asarray([int(label) for label in labels])


def _are_of_items(labels: np.ndarray, pairs: _Pairs) -> bool:
    """Return whether labels stand in the order of the items, by a sample of these.

    Wrappers that shuffle hand on attributes in the old order, and a `target_transform`
    is not applied to them.
    """
    if getattr(pairs.dataset, "target_transform", None) is not None:
        return False
    return all(
        labels[i] == pairs[i][1] for i in map(int, spread(len(pairs), _COMPARED))
    )


def _check_single(image: Any) -> None:
    shape = getattr(image, "shape", ())
    if len(shape) == 4:
        raise ValueError(
            "Items must be single images, received a batch of shape "
            f"{tuple(shape)}. Pass the set before it is batched."
        )


def _is_tensor(image: Any) -> bool:
    return type(image).__module__.startswith("torch")


def _as_picture(image: Any, is_unit: bool) -> Any:
    """Return channels last for torch's tensors, and anything else as it is.

    Args:
        image: of an item.
        is_unit: whether tensors of floats become bytes: torchvision's ToTensor divides
            these by 255.
    """
    if not _is_tensor(image):
        return image
    pixels = np.asarray(image)
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4):
        pixels = pixels.transpose(1, 2, 0)
    if not is_unit or not np.issubdtype(pixels.dtype, np.floating):
        return pixels
    if pixels.size and not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(
            "tensors of one set must hold the same range of values, received values "
            f"from {pixels.min():g} to {pixels.max():g} where a sample of the set is "
            "between 0 and 1. Scale all of them alike."
        )
    return np.rint(pixels * 255).astype("uint8")
