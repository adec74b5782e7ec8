"""Vision Transformers for Keras 3: build, train, predict and export."""

# ruff: noqa: E402
from keras_vit.command_start import prepare_command

prepare_command()

from keras.saving import get_custom_objects

from keras_vit import layers
from keras_vit import training as training
from keras_vit.adapting import adapt_to_recipe
from keras_vit.averaging import average
from keras_vit.config import VARIANTS, ViTConfig
from keras_vit.data import (
    Augmentation,
    AugMix,
    ImageData,
    Mixing,
    RandAugment,
    load_data,
    show_augmentation,
)
from keras_vit.distribution import distribute
from keras_vit.explaining import (
    Explanation,
    Faithfulness,
    PictureLog,
    Randomized,
    attention_distance,
    deletion_insertion,
    explain,
    nearest_pictures,
    patch_filters,
    position_similarity,
    randomization_test,
)
from keras_vit.exporting.benchmark import Benchmark, benchmark
from keras_vit.exporting.comparison import Comparison
from keras_vit.exporting.export import export
from keras_vit.exporting.export_all import export_all
from keras_vit.exporting.litert.audit import Audit, audit
from keras_vit.exporting.litert.sensitivity import Sensitivity, sensitivity
from keras_vit.exporting.report import ExportReport
from keras_vit.features import attention_scores, features, pre_logits
from keras_vit.heads import HeadReport, calibrate, fit_head
from keras_vit.inference import (
    Evaluation,
    Prediction,
    PredictionFile,
    embed,
    evaluate,
    predict,
    predict_to_file,
)
from keras_vit.inspecting import DataCheck, check_data
from keras_vit.layers import MLPHead, PatchEncoder, Patches, TransformerBlock
from keras_vit.loading import load
from keras_vit.lora import LoRA
from keras_vit.model import ViT
from keras_vit.preprocessing import Preprocessing
from keras_vit.registry import ModelInfo, list_models
from keras_vit.saving import push_to_hub, save
from keras_vit.surgery import changed, replace_head, resize
from keras_vit.training import (
    RECIPES,
    Recipe,
    TrainingModel,
    TrainingResult,
    train,
)
from keras_vit.version import __version__ as __version__
from keras_vit.web import write_demo

# Files in Keras's old format, HDF5, name the class of a model without its package.
get_custom_objects().setdefault("ViT", ViT)

__all__ = [
    "RECIPES",
    "VARIANTS",
    "Audit",
    "AugMix",
    "Augmentation",
    "Benchmark",
    "Comparison",
    "DataCheck",
    "Evaluation",
    "Explanation",
    "ExportReport",
    "Faithfulness",
    "HeadReport",
    "ImageData",
    "LoRA",
    "MLPHead",
    "Mixing",
    "ModelInfo",
    "PatchEncoder",
    "Patches",
    "PictureLog",
    "Prediction",
    "PredictionFile",
    "Preprocessing",
    "RandAugment",
    "Randomized",
    "Recipe",
    "Sensitivity",
    "TrainingModel",
    "TrainingResult",
    "TransformerBlock",
    "ViT",
    "ViTConfig",
    "adapt_to_recipe",
    "attention_distance",
    "attention_scores",
    "audit",
    "average",
    "benchmark",
    "calibrate",
    "changed",
    "check_data",
    "deletion_insertion",
    "distribute",
    "embed",
    "evaluate",
    "explain",
    "export",
    "export_all",
    "features",
    "fit_head",
    "layers",
    "list_models",
    "load",
    "load_data",
    "nearest_pictures",
    "patch_filters",
    "position_similarity",
    "pre_logits",
    "predict",
    "predict_to_file",
    "push_to_hub",
    "randomization_test",
    "replace_head",
    "resize",
    "save",
    "sensitivity",
    "show_augmentation",
    "train",
    "write_demo",
]
