"""Data sets as disjoint parts that give batches for `model.fit`."""

from keras_vit.data.aug_mix import AugMix
from keras_vit.data.augmentation import Augmentation
from keras_vit.data.batches import ImageBatches
from keras_vit.data.feeds import feed, to_grain, to_tf_data, to_torch
from keras_vit.data.image_data import ImageData, load_data
from keras_vit.data.images import Images
from keras_vit.data.mixing import Mixing
from keras_vit.data.preview import show_augmentation
from keras_vit.data.rand_augment import RandAugment
from keras_vit.data.sampling import Sampler
from keras_vit.data.splits import stratified_split

__all__ = [
    "AugMix",
    "Augmentation",
    "ImageBatches",
    "ImageData",
    "Images",
    "Mixing",
    "RandAugment",
    "Sampler",
    "feed",
    "load_data",
    "show_augmentation",
    "stratified_split",
    "to_grain",
    "to_tf_data",
    "to_torch",
]
