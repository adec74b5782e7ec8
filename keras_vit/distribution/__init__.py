"""Train on several devices and processes with the engines of the three backends."""

from keras_vit.distribution.base import Distribution
from keras_vit.distribution.current_distribution import current
from keras_vit.distribution.distribute import distribute
from keras_vit.distribution.layout import vit_layout_map
from keras_vit.distribution.model import DistributedModel

__all__ = [
    "DistributedModel",
    "Distribution",
    "current",
    "distribute",
    "vit_layout_map",
]
