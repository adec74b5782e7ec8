"""Data sets as disjoint parts that give batches for `model.fit`.

A source (`sources/`) gives `Images`, labelled pictures that can be read by number;
`load_data` divides them into the parts of an `ImageData`; and `Images.batches` makes
batches by `BatchOptions`, which may change them at random (`augmenting/`).
"""

from keras_vit.data.augmenting.aug_mix import AugMix
from keras_vit.data.augmenting.augmentation import Augmentation
from keras_vit.data.augmenting.mixing import Mixing
from keras_vit.data.augmenting.preview import show_augmentation
from keras_vit.data.augmenting.rand_augment import RandAugment
from keras_vit.data.batch_options import BatchOptions
from keras_vit.data.batches import ImageBatches
from keras_vit.data.image_data import ImageData, load_data
from keras_vit.data.images import Images
from keras_vit.data.input_engines import to_engine, to_grain, to_tf_data, to_torch
from keras_vit.data.sampling import Sampler
from keras_vit.data.splits import fold_numbers, grouped_split, stratified_split

__all__ = [
    "AugMix",
    "Augmentation",
    "BatchOptions",
    "ImageBatches",
    "ImageData",
    "Images",
    "Mixing",
    "RandAugment",
    "Sampler",
    "fold_numbers",
    "grouped_split",
    "load_data",
    "show_augmentation",
    "stratified_split",
    "to_engine",
    "to_grain",
    "to_tf_data",
    "to_torch",
]
