"""Recipes and the training that follows them."""

from keras_vit.training.loss import CrossEntropy
from keras_vit.training.optimizer import (
    SGD,
    Adafactor,
    AdamW,
    Lamb,
    LossScaleOptimizer,
)
from keras_vit.training.recipe import RECIPES, Recipe, get_recipe
from keras_vit.training.schedule import WarmupSchedule
from keras_vit.training.step import TrainingModel
from keras_vit.training.train import TrainingResult, save_model, train

__all__ = [
    "RECIPES",
    "SGD",
    "Adafactor",
    "AdamW",
    "CrossEntropy",
    "Lamb",
    "LossScaleOptimizer",
    "Recipe",
    "TrainingModel",
    "TrainingResult",
    "WarmupSchedule",
    "get_recipe",
    "save_model",
    "train",
]
