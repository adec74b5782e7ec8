"""Train on several devices and processes with the engines of the three backends."""

from keras_vit.distribution.base import Distribution, current
from keras_vit.distribution.distribute import distribute
from keras_vit.distribution.layout import vit_layout_map

__all__ = ["Distribution", "current", "distribute", "vit_layout_map"]
