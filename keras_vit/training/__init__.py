"""Recipes, their parts, and the training that follows them."""

from keras_vit.label_scores import (
    average_precisions,
    best_thresholds,
    f1_scores,
    mean_average_precision,
)
from keras_vit.training.distillation import distillation_loss
from keras_vit.training.ema import AveragedWeights, averaged_weights
from keras_vit.training.lamb import Lamb
from keras_vit.training.loss import AsymmetricLoss, BinaryCrossEntropy, CrossEntropy
from keras_vit.training.metric import F1, Accuracy
from keras_vit.training.optimizer import SGD, Adafactor, AdamW, LossScaleOptimizer
from keras_vit.training.recipe import Recipe
from keras_vit.training.recipes import RECIPES, get_recipe
from keras_vit.training.schedule import WarmupSchedule
from keras_vit.training.step import TrainingModel
from keras_vit.training.train import TrainingResult, train

__all__ = [
    "RECIPES",
    "SGD",
    "F1",
    "Accuracy",
    "Adafactor",
    "AdamW",
    "AsymmetricLoss",
    "AveragedWeights",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Lamb",
    "LossScaleOptimizer",
    "Recipe",
    "TrainingModel",
    "TrainingResult",
    "WarmupSchedule",
    "average_precisions",
    "averaged_weights",
    "best_thresholds",
    "distillation_loss",
    "f1_scores",
    "get_recipe",
    "mean_average_precision",
    "train",
]
