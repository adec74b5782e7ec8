"""Data sets as disjoint parts that give batches for `model.fit`."""

from keras_vit.data.augmentation import Augmentation
from keras_vit.data.image_data import ImageData, load_data
from keras_vit.data.images import ImageBatches, Images
from keras_vit.data.splits import stratified_split

__all__ = [
    "Augmentation",
    "ImageBatches",
    "ImageData",
    "Images",
    "load_data",
    "stratified_split",
]
