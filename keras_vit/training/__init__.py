"""Recipes and the training that follows them."""

from keras_vit.training.loss import CrossEntropy
from keras_vit.training.optimizer import AdamW
from keras_vit.training.recipe import RECIPES, Recipe, get_recipe
from keras_vit.training.train import TrainingResult, save_model, train

__all__ = [
    "RECIPES",
    "AdamW",
    "CrossEntropy",
    "Recipe",
    "TrainingResult",
    "get_recipe",
    "save_model",
    "train",
]
