"""What a model looks at: maps over pictures."""

from keras_vit.explaining.explain import explain
from keras_vit.explaining.explanation import Explanation

__all__ = ["Explanation", "explain"]
