"""What of a model a head may see. N pictures, D width of a token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from keras_vit.config import ViTConfig
from keras_vit.model import ViT
from keras_vit.surgery import changed

AUTO = "auto"
_LAST_BLOCKS = 4


@dataclass(frozen=True, kw_only=True)
class FeatureKind:
    """One way to describe a picture by a vector.

    Args:
        name: for people.
        options: of `ViTConfig` that make a model see this; none: as the model is.
        part: where it stands in the vector that the backbone gives.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    part: slice = field(default_factory=lambda: slice(None))


def feature_kinds(model: ViT, wanted: str = AUTO) -> list[FeatureKind]:
    """Return the kinds of features that are compared for a model.

    Models without a classifier of their own are published for their features: their
    authors evaluate the class token, the class token with the mean of the patches, and
    the class tokens of the last four blocks with that mean, and take what does best
    (DINO, arXiv:2104.14294, appendix F; DINOv2, arXiv:2304.07193, section 7). A model
    that was trained as a classifier is described by what its classifier saw.

    Args:
        model: the backbone.
        wanted: "auto", or the name of one kind: "pooled" (what the model pools),
            "token", "token_mean" or "last_four".

    Raises:
        ValueError: if there is no such kind, the model cannot give it, or the model has
            no pooling.
    """
    config = model.config
    if config.pooling is None:
        raise ValueError(
            "A head needs one vector per picture, received a model with pooling=None. "
            "Choose what the head sees: keras_vit.changed(model, pooling='token'), or "
            "pooling='mean'."
        )
    kinds = _kinds(config)
    if wanted != AUTO:
        if wanted not in kinds:
            raise ValueError(
                f"The features of this model are 'auto' or one of {[*kinds]}, received "
                f"features={wanted!r}. Choose one of them."
            )
        return [kinds[wanted]]
    is_classifier = config.num_classes is not None or config.representation_size
    if is_classifier or len(kinds) == 1:
        return [kinds["pooled"]]
    return [kind for name, kind in kinds.items() if name != "pooled"]


def _kinds(config: ViTConfig) -> dict[str, FeatureKind]:
    """Return each kind by its name; all but the first are parts of one vector."""
    kinds = {"pooled": FeatureKind(name="pooled")}
    is_plain = config.final_norm != "after_pooling" and not config.representation_size
    if not (config.has_class_token and is_plain) or config.use_distillation_token:
        return kinds
    count, width = min(_LAST_BLOCKS, config.num_layers), config.hidden_dim
    token, both = {"pooling": "token"}, {"pooling": "token_mean"}
    start = (count - 1) * width
    several = {**both, "num_pooled_blocks": count}
    parts = {
        "token": ({**token, "num_pooled_blocks": 1}, slice(start, start + width)),
        "token_mean": ({**both, "num_pooled_blocks": 1}, slice(start, None)),
        "last_four": (several, slice(None)),
    }
    for name, (options, part) in parts.items():
        kinds[name] = FeatureKind(name=name, options=options, part=part)
    return kinds


def backbone(model: ViT, kinds: list[FeatureKind], dtype: str | None = None) -> ViT:
    """Return a model without a classifier whose output holds all of these kinds."""
    options: dict[str, Any] = {} if dtype is None else {"dtype": dtype}
    widest = kinds[-1]
    if len(kinds) > 1 or widest.name in ("token", "token_mean"):
        widest = _kinds(model.config)["last_four"]
    options |= widest.options
    if widest.name == "pooled" and model.config.use_distillation_token:
        raise ValueError(
            "A head is fitted on one vector, received a model with a distillation "
            "token, which has two classifiers. Train it with keras_vit.train."
        )
    return changed(model, num_classes=None, lora=None, **options)
