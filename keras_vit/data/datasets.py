"""Data sets of other libraries: torch, grain, Hugging Face, tf.data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_vit.data.images import Images, check_labels

_IMAGE_KEYS = ("image", "img", "pixel_values", "images")
_LABEL_KEYS = ("label", "labels", "fine_label", "target")
_DEFAULT_SAMPLERS = ("SequentialSampler", "RandomSampler")


def is_dataset(source: Any) -> bool:
    """Return whether something may be a data set of another library."""
    if isinstance(source, (str, bytes, tuple, list, Mapping, np.ndarray)):
        return False
    return hasattr(source, "__getitem__") or hasattr(source, "__iter__")


def images_from_dataset(dataset: Any, num_classes: int | None = None) -> Images:
    """Return labelled images from anything that gives (image, label) by number.

    A torch `Dataset` with `__len__`, a `grain.MapDataset` or data source, a Hugging
    Face `Dataset`. Labels are taken from `targets` or `labels` where there is such an
    attribute, as torchvision's sets have; else each item is read once. A torch
    `DataLoader` gives its data set: order, batches and augmentation are ours.

    Args:
        dataset: items are (image, label), or dictionaries with "image" and "label".
            An image is what `Preprocessing` takes, or a torch tensor (C, H, W).
        num_classes: number of classes. Default: the highest label plus 1.

    Raises:
        TypeError: if the set cannot be read by number; the message says what to do.
        ValueError: if it is empty, or the labels are not class numbers.
    """
    dataset = _random_access(dataset)
    if len(dataset) == 0:
        raise ValueError("There must be at least one image, received an empty set.")
    image, _ = _pair(dataset[0])
    _check_single(image)
    labels = check_labels(_labels(dataset), len(dataset), num_classes)
    return Images(_Reader(dataset), labels, num_classes=num_classes or 0)


class _Reader:
    """Reads the image of an item; travels to other processes with the set."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __call__(self, number: int) -> Any:
        image, _ = _pair(self.dataset[number])
        return _as_picture(image)


def _random_access(dataset: Any) -> Any:
    module = type(dataset).__module__
    name = f"{module}.{type(dataset).__name__}"
    if module.startswith("torch") and hasattr(dataset, "batch_sampler"):
        return _of_loader(dataset)
    if module.startswith("tensorflow"):
        raise TypeError(
            f"load_data reads pictures by number, received {name}, which is a stream. "
            "Use 'tfds:NAME', a folder or arrays. Batches of your own train with "
            "recipe.training_model(model), recipe.compile(...) and fit(batches)."
        )
    if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise TypeError(
            "A data set must give item i and its length, as a torch Dataset with "
            "__getitem__ and __len__, a grain.MapDataset or a grain data source do, "
            f"received {name}, which is a stream. Batches of your own train with "
            "recipe.training_model(model), recipe.compile(...) and fit(batches)."
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


def _pair(item: Any) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        image = next((item[key] for key in _IMAGE_KEYS if key in item), None)
        label = next((item[key] for key in _LABEL_KEYS if key in item), None)
        if image is None or label is None:
            raise ValueError(
                "Items must have an image and a label under the keys "
                f"{list(_IMAGE_KEYS[:2])} and {list(_LABEL_KEYS[:2])}, received "
                f"{list(item)}."
            )
        return image, label
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise ValueError(
            "Items must be (image, label) or a dictionary with 'image' and 'label', "
            f"received {type(item).__name__}."
        )
    return item[0], item[1]


def _labels(dataset: Any) -> np.ndarray:
    for name in ("targets", "labels"):
        labels = getattr(dataset, name, None)
        # Wrappers such as torch's Subset hand on attributes of another length.
        if labels is not None and np.ndim(labels) == 1 and len(labels) == len(dataset):
            return np.asarray(labels)
    return np.asarray([int(_pair(dataset[i])[1]) for i in range(len(dataset))])


def _check_single(image: Any) -> None:
    shape = getattr(image, "shape", ())
    if len(shape) == 4:
        raise ValueError(
            "Items must be single images, received a batch of shape "
            f"{tuple(shape)}. Pass the set before it is batched."
        )


def _as_picture(image: Any) -> Any:
    """Return channels last for torch's tensors, and anything else as it is."""
    if not type(image).__module__.startswith("torch"):
        return image
    pixels = np.asarray(image)
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4):
        pixels = pixels.transpose(1, 2, 0)
    is_unit = np.issubdtype(pixels.dtype, np.floating) and 0 <= pixels.min()
    if is_unit and pixels.max() <= 1:
        # torchvision's ToTensor divides bytes by 255.
        return np.rint(pixels * 255).astype("uint8")
    return pixels
