"""What a model looks at: maps over pictures."""

from keras_vit.explaining.explain import explain
from keras_vit.explaining.explanation import Explanation
from keras_vit.explaining.faithfulness import Faithfulness, deletion_insertion
from keras_vit.explaining.picture_log import PictureLog
from keras_vit.explaining.randomization import Randomized, randomization_test

__all__ = [
    "Explanation",
    "Faithfulness",
    "PictureLog",
    "Randomized",
    "deletion_insertion",
    "explain",
    "randomization_test",
]
