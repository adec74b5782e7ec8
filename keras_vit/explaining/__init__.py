"""What a model looks at: maps over pictures."""

from keras_vit.explaining.explain import Explanation, explain

__all__ = ["Explanation", "explain"]
