"""Make a model one that a recipe can train."""

from __future__ import annotations

from typing import Any

from keras_vit.model import ViT
from keras_vit.preprocessing import Preprocessing
from keras_vit.surgery import changed
from keras_vit.training.recipe import Recipe


def adapt_to_recipe(model: ViT, recipe: Recipe) -> ViT:
    """Return a model with the parts that a recipe needs: the same, or a copy.

    To leave out patches needs a layer, and to change the size of the images needs a
    model for images of any size; most models have neither. The size that the model had
    stays that of inference.

    Args:
        model: stays as it is.
        recipe: to train it with.

    Example:
        >>> recipe = keras_vit.Recipe(image_sizes=((0, 16), (5, 32)))
        >>> model = keras_vit.ViT.from_variant("test", num_classes=3)
        >>> keras_vit.adapt_to_recipe(model, recipe).input_shape
        (None, None, None, 3)
    """
    config = model.config
    changes: dict[str, Any] = {}
    if recipe.patch_dropout_rate and not config.patch_dropout_rate:
        changes["patch_dropout_rate"] = recipe.patch_dropout_rate
    if recipe.image_sizes and config.image_size is not None:
        changes["image_size"] = None
    if not changes:
        return model
    adapted = changed(model, **changes)
    if adapted.preprocessing is None and config.image_size is not None:
        adapted.preprocessing = Preprocessing(
            image_size=config.image_size, channels=config.channels
        )
    return adapted
