"""Vision Transformers for Keras 3: build, train, predict and export."""

from keras_vit import layers
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
from keras_vit.export import (
    Benchmark,
    Comparison,
    ExportReport,
    Sensitivity,
    benchmark,
    export,
    export_all,
    sensitivity,
)
from keras_vit.features import features, pre_logits
from keras_vit.inference import Prediction, embed, evaluate, predict
from keras_vit.layers import MLPHead, PatchEncoder, Patches, TransformerBlock
from keras_vit.loading import load
from keras_vit.model import ViT
from keras_vit.preprocessing import Preprocessing
from keras_vit.registry import ModelInfo, list_models
from keras_vit.saving import push_to_hub, save
from keras_vit.surgery import replace_head, resize
from keras_vit.training import (
    RECIPES,
    Recipe,
    TrainingModel,
    TrainingResult,
    add_lora,
    freeze,
    merge_lora,
    save_model,
    set_rates,
    train,
    unfreeze,
)
from keras_vit.version import __version__ as __version__
from keras_vit.web import write_demo

__all__ = [
    "RECIPES",
    "VARIANTS",
    "AugMix",
    "Augmentation",
    "Benchmark",
    "Comparison",
    "ExportReport",
    "ImageData",
    "MLPHead",
    "Mixing",
    "ModelInfo",
    "PatchEncoder",
    "Patches",
    "Prediction",
    "Preprocessing",
    "RandAugment",
    "Recipe",
    "Sensitivity",
    "TrainingModel",
    "TrainingResult",
    "TransformerBlock",
    "ViT",
    "ViTConfig",
    "add_lora",
    "benchmark",
    "distribute",
    "embed",
    "evaluate",
    "export",
    "export_all",
    "features",
    "freeze",
    "layers",
    "list_models",
    "load",
    "load_data",
    "merge_lora",
    "pre_logits",
    "predict",
    "push_to_hub",
    "replace_head",
    "resize",
    "save",
    "save_model",
    "sensitivity",
    "set_rates",
    "show_augmentation",
    "train",
    "unfreeze",
    "write_demo",
]
