"""Predict and evaluate with a model in any of its forms."""

from keras_vit.inference.embed import embed
from keras_vit.inference.evaluate import evaluate
from keras_vit.inference.evaluation import Evaluation
from keras_vit.inference.predict import Prediction, predict
from keras_vit.inference.predict_to_file import PredictionFile, predict_to_file
from keras_vit.inference.predictor import Predictor, load_predictor

__all__ = [
    "Evaluation",
    "Prediction",
    "PredictionFile",
    "Predictor",
    "embed",
    "evaluate",
    "load_predictor",
    "predict",
    "predict_to_file",
]
