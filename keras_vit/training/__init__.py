"""Recipes, their parts, and the training that follows them."""

from keras_vit.training.distillation import distillation_loss
from keras_vit.training.ema import AveragedWeights, averaged_weights
from keras_vit.training.freezing import freeze, unfreeze
from keras_vit.training.lora import add_lora, merge_lora
from keras_vit.training.loss import BinaryCrossEntropy, CrossEntropy
from keras_vit.training.metric import Accuracy
from keras_vit.training.optimizer import (
    SGD,
    Adafactor,
    AdamW,
    Lamb,
    LossScaleOptimizer,
)
from keras_vit.training.recipe import Recipe
from keras_vit.training.recipes import RECIPES, get_recipe
from keras_vit.training.schedule import WarmupSchedule
from keras_vit.training.settings import set_dtype, set_rates, set_rematerialization
from keras_vit.training.step import TrainingModel
from keras_vit.training.train import TrainingResult, save_model, train

__all__ = [
    "RECIPES",
    "SGD",
    "Accuracy",
    "Adafactor",
    "AdamW",
    "AveragedWeights",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Lamb",
    "LossScaleOptimizer",
    "Recipe",
    "TrainingModel",
    "TrainingResult",
    "WarmupSchedule",
    "add_lora",
    "averaged_weights",
    "distillation_loss",
    "freeze",
    "get_recipe",
    "merge_lora",
    "save_model",
    "set_dtype",
    "set_rates",
    "set_rematerialization",
    "train",
    "unfreeze",
]
