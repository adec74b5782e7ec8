"""What a model looks at, and what it has learned, as pictures."""

from keras_vit.explaining.attention_distance import attention_distance
from keras_vit.explaining.explain import explain
from keras_vit.explaining.explanation import Explanation
from keras_vit.explaining.faithfulness import Faithfulness, deletion_insertion
from keras_vit.explaining.model_views import patch_filters, position_similarity
from keras_vit.explaining.nearest import nearest_pictures
from keras_vit.explaining.picture_log import PictureLog
from keras_vit.explaining.randomization import Randomized, randomization_test

__all__ = [
    "Explanation",
    "Faithfulness",
    "PictureLog",
    "Randomized",
    "attention_distance",
    "deletion_insertion",
    "explain",
    "nearest_pictures",
    "patch_filters",
    "position_similarity",
    "randomization_test",
]
