"""Images from TensorFlow Datasets, streamed through tf.data on every backend."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from typing import Any

import keras
import numpy as np

from keras_vit.data.batch_options import BatchOptions
from keras_vit.data.input_engines import Engine, check_engine
from keras_vit.data.sources.tfds_batches import StreamBatches
from keras_vit.preprocessing import Preprocessing


class TfdsImages:
    """One part of a TensorFlow Datasets set: a split, or some numbers of it.

    The same interface as `Images`, but pictures come in a stream, in the order of the
    files, so that sets larger than memory work.
    """

    def __init__(
        self, builder: Any, split: str, numbers: np.ndarray | None = None
    ) -> None:
        self._builder = builder
        self._split = split
        self._numbers = numbers
        self._image_key, self._label_key = _keys(builder)

    def __len__(self) -> int:
        if self._numbers is not None:
            return len(self._numbers)
        return self._builder.info.splits[self._split].num_examples

    @property
    def fingerprint(self) -> str:
        """A short hash of which images these are, for comparing runs."""
        info = self._builder.info
        digest = hashlib.sha256(f"{info.full_name} {self._split} {len(self)}".encode())
        if self._numbers is not None:
            digest.update(self._numbers.tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def labels(self) -> np.ndarray:
        """Class of each image, int64 (len(self),), read without decoding the images."""
        import tensorflow_datasets as tfds

        skip = {self._image_key: tfds.decode.SkipDecoding()}
        key = self._label_key
        labels = self._dataset(decoders=skip).map(lambda record: record[key])
        return np.fromiter(tfds.as_numpy(labels), dtype="int64")

    def subset(self, indices: np.ndarray) -> TfdsImages:
        """Return the images with these numbers."""
        numbers = indices if self._numbers is None else self._numbers[indices]
        return TfdsImages(self._builder, self._split, numbers)

    def check_values(self, preprocessing: Preprocessing) -> None:
        """Do nothing: TensorFlow Datasets decode pictures to bytes."""

    def pictures(self) -> Iterator[np.ndarray]:
        """Yield each picture as an array (H, W, C), in the order of `labels`."""
        import tensorflow_datasets as tfds

        records: Iterable[Any] = tfds.as_numpy(self._dataset())
        return (record[self._image_key] for record in records)

    def samples(self, count: int) -> list[np.ndarray]:
        """Return the first `count` pictures as arrays (H, W, C)."""
        return list(islice(self.pictures(), count))

    def batches(
        self,
        preprocessing: Preprocessing,
        batch_size: int = 64,
        *,
        engine: Engine = "tf.data",
        **options: Any,
    ) -> Any:
        """Return a `tf.data.Dataset` of batches; see `Images.batches`.

        A stream: training shuffles with a buffer of 4,096 images, in an
        order that follows from `seed` and epoch; several processes read a part each
        (`tfds.even_splits`) and shuffle it for themselves. `epoch` of the result says
        which pass comes next, and may be set.

        Raises:
            TypeError: if there is no such option.
            ValueError: if an option is out of its range, or is for sets that can be
                read by number: balanced sampling, a cache, another engine.
        """
        how = BatchOptions(
            preprocessing=preprocessing, batch_size=batch_size, **options
        )
        _check_stream(how, engine)
        index, count = how.shard
        sizes = [len(self._shard(i, count)) for i in range(count)]
        local = how.batch_size // count
        # All processes have as many batches: without the rest, or with padding.
        if how.training:
            local = min(local, *sizes)
            num_batches = min(sizes) // local
        else:
            num_batches = -(-max(sizes) // local)
        batches = StreamBatches(
            options=how,
            batch_size=local,
            num_batches=num_batches,
            class_weights=self._class_weights() if how.class_balance else None,
            num_classes=self.num_classes,
            image_key=self._image_key,
            label_key=self._label_key,
        )
        mine = self._shard(index, count)
        return batches.dataset(mine._dataset(enumerated=True), len(mine))

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self._builder.info.features[self._label_key].num_classes

    def _class_weights(self) -> np.ndarray:
        counts = np.bincount(self.labels, minlength=self.num_classes)
        present = max(1, np.count_nonzero(counts))
        return (len(self) / (present * np.maximum(counts, 1))).astype("float32")

    def _shard(self, index: int, count: int) -> TfdsImages:
        """Return the part that process `index` of `count` reads."""
        import tensorflow_datasets as tfds

        if count == 1:
            return self
        if self._numbers is not None:
            numbers = np.array_split(self._numbers, count)[index]
            return TfdsImages(self._builder, self._split, numbers)
        return TfdsImages(self._builder, tfds.even_splits(self._split, n=count)[index])

    def _dataset(
        self, decoders: dict[str, Any] | None = None, *, enumerated: bool = False
    ) -> Any:
        import tensorflow as tf
        import tensorflow_datasets as tfds

        # One file after the other, so that a record keeps its number.
        dataset = self._builder.as_dataset(
            split=self._split,
            decoders=decoders,
            shuffle_files=False,
            read_config=tfds.ReadConfig(
                interleave_cycle_length=1, try_autocache=False, add_tfds_id=False
            ),
        )
        if self._numbers is None:
            return dataset.enumerate() if enumerated else dataset
        total = self._builder.info.splits[self._split].num_examples
        member = np.zeros(total, dtype=bool)
        member[self._numbers] = True
        member = tf.constant(member)
        dataset = dataset.enumerate().filter(lambda number, _: member[number])
        if enumerated:
            return dataset
        return dataset.map(lambda _, record: record)


def _check_stream(options: BatchOptions, engine: str) -> None:
    """Raise a ValueError for what needs images by number."""
    check_engine(engine)
    balance = options.class_balance
    wanted = {
        "class_balance": balance if balance == "sampling" else None,
        "engine": engine if engine in ("grain", "torch") else None,
        "cache": options.cache or None,
    }
    refused = {name: value for name, value in wanted.items() if value is not None}
    if refused:
        name, value = next(iter(refused.items()))
        raise ValueError(
            f"tfds:NAME is a stream through tf.data, received {name}={value!r}, which "
            "needs images by number. Use class_balance='weights', leave it out, or "
            "read the set from a folder or arrays."
        )


def images_from_tfds(
    name: str, data_dir: str | None = None
) -> tuple[dict[str, TfdsImages], tuple[str, ...]]:
    """Open a TensorFlow Datasets classification set, downloading it if need be.

    Args:
        name: what `tfds.builder` takes, such as "mnist" or "cifar10:3.0.2".
        data_dir: where prepared sets are. Default: `TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`.

    Returns:
        Its splits among "train", "validation" and "test", and the class names.

    Raises:
        ImportError: if tensorflow_datasets is not installed.
        ValueError: if there is no such set, it cannot be prepared, or it has no image
            with one class label.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            "TensorFlow Datasets is needed to read tfds:NAME. Install it with "
            "pip install 'keras3-vit[tfds]'."
        ) from error
    if keras.backend.backend() != "tensorflow":
        _leave_the_gpu_alone()
    try:
        builder: Any = tfds.builder(name, data_dir=data_dir)
        builder.download_and_prepare()
    except Exception as error:  # Anything from a typo to a refused connection.
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise ValueError(
            f"TensorFlow Datasets could not open {name!r}: {reason} Check the name, or "
            "point TFDS_DATA_DIR at the folder of a prepared set."
        ) from error
    _keys(builder)
    splits = {
        part: TfdsImages(builder, part)
        for part in ("train", "validation", "test")
        if part in builder.info.splits
    }
    if "train" not in splits:
        raise ValueError(
            f"{name!r} must have a split 'train', received {list(builder.info.splits)}."
        )
    label = builder.info.features[_keys(builder)[1]]
    return splits, tuple(label.names)


def _keys(builder: Any) -> tuple[str, str]:
    import tensorflow_datasets as tfds

    features = dict(builder.info.features)
    images = [k for k, f in features.items() if isinstance(f, tfds.features.Image)]
    labels = [k for k, f in features.items() if isinstance(f, tfds.features.ClassLabel)]
    supervised = builder.info.supervised_keys
    if supervised and supervised[0] in images and supervised[1] in labels:
        return supervised[0], supervised[1]
    if len(images) == 1 and len(labels) == 1:
        return images[0], labels[0]
    raise ValueError(
        f"{builder.name!r} must have one image and one class label, received features "
        f"{list(features)}. Choose an image classification set."
    )


def _leave_the_gpu_alone() -> None:
    import tensorflow as tf

    try:
        # TensorFlow only feeds the data here and would take all memory of the GPU.
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        pass  # Already in use: the user's own choice.
