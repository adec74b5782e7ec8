"""Vision Transformers for Keras 3: build, train, predict and export."""

from keras_vit import layers
from keras_vit.config import VARIANTS, ViTConfig
from keras_vit.data import Augmentation, ImageData, load_data
from keras_vit.export import ExportReport, export
from keras_vit.inference import Prediction, evaluate, predict
from keras_vit.layers import MLPHead, PatchEncoder, Patches, TransformerBlock
from keras_vit.loading import load
from keras_vit.model import ViT
from keras_vit.preprocessing import Preprocessing
from keras_vit.training import RECIPES, Recipe, TrainingResult, save_model, train

__version__ = "0.1.0"

__all__ = [
    "RECIPES",
    "VARIANTS",
    "Augmentation",
    "ExportReport",
    "ImageData",
    "MLPHead",
    "PatchEncoder",
    "Patches",
    "Prediction",
    "Preprocessing",
    "Recipe",
    "TrainingResult",
    "TransformerBlock",
    "ViT",
    "ViTConfig",
    "evaluate",
    "export",
    "layers",
    "load",
    "load_data",
    "predict",
    "save_model",
    "train",
]
