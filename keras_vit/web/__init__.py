"""A static page that runs a model in the browser."""

from keras_vit.web.demo import write_demo

__all__ = ["write_demo"]
