"""The models that `load` knows by name, without network: timm's plain ViTs."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache

from keras_vit.checkpoints.timm.config import config_from_timm, timm_table
from keras_vit.config import ViTConfig


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """One pretrained model, or an architecture that nobody has published weights of.

    Args:
        name: what `load` takes, "architecture.tag", or the architecture alone.
        family: such as "DINOv2".
        license: of the weights, such as "apache-2.0"; None without weights.
        hub_id: repository on the Hugging Face hub; None if the weights are elsewhere.
        is_pretrained: whether somebody has published weights.
        num_classes: 0 for a backbone.
        image_size: pixels, (height, width).
        parameters: number of parameters, the classifier included.
        macs: multiply-accumulates for one image of that size.
        top1: accuracy on ImageNet's validation images, percent, as timm publishes it
            (results/results-imagenet.csv of huggingface/pytorch-image-models). None:
            it does not, as for all models without ImageNet's 1,000 classes.

    Example:
        ```python
        best = keras_vit.list_models(license="apache", best_under=25_000_000)[0]
        best.name, best.parameters, best.top1
        # ('deit3_small_patch16_384.fb_in22k_ft_in1k', 22205416, 84.846)
        ```
    """

    name: str
    family: str
    license: str | None
    hub_id: str | None
    is_pretrained: bool
    num_classes: int
    image_size: tuple[int, int]
    parameters: int
    macs: int
    top1: float | None = None


def list_models(
    pattern: str = "*",
    *,
    family: str | None = None,
    license: str | None = None,
    pretrained: bool = True,
    best_under: int | None = None,
) -> list[ModelInfo]:
    """Return the models whose name fits a pattern, sorted by name.

    Args:
        pattern: with the wildcards * and ?, such as "*dinov2*". Default: all.
        family: a part of the family's name, such as "SigLIP"; upper and lower case
            are the same. Default: all.
        license: a part of the licence's name, such as "apache". Default: all.
        pretrained: False lists architectures without published weights, too.
            Default True.
        best_under: most parameters. Only models whose accuracy on ImageNet is published
            are returned then, the best first. Default None: all.

    Raises:
        ValueError: if `best_under` is below 1.

    Example:
        ```python
        found = keras_vit.list_models("*dinov2*", license="apache")
        found[0].name  # 'vit_base_patch14_dinov2.lvd142m'
        [best, *_] = keras_vit.list_models(license="apache", best_under=25_000_000)
        best.name, best.top1
        # ('deit3_small_patch16_384.fb_in22k_ft_in1k', 84.846)
        ```
    """
    if best_under is not None and best_under < 1:
        raise ValueError(
            f"best_under is a number of parameters, at least 1, received {best_under}. "
            "Pass such as 25_000_000."
        )
    found = [
        info
        for info in _all_models()
        if fnmatch(info.name.lower(), pattern.lower())
        and (family is None or family.lower() in info.family.lower())
        and (license is None or license.lower() in (info.license or "").lower())
        and (info.is_pretrained or not pretrained)
    ]
    if best_under is None:
        return found
    known = [i for i in found if i.top1 is not None and i.parameters <= best_under]
    return sorted(known, key=lambda info: (-(info.top1 or 0.0), info.parameters))


@cache
def _all_models() -> tuple[ModelInfo, ...]:
    rows = []
    for architecture, row in timm_table().items():
        for config in row["pretrained"] or [{}]:
            tag = config.get("tag")
            vit = _config(architecture, config)
            rows.append(
                ModelInfo(
                    name=f"{architecture}.{tag}" if tag else architecture,
                    family=row["family"],
                    license=config.get("license"),
                    hub_id=config.get("hub") or None,
                    is_pretrained=bool(config),
                    num_classes=vit.num_classes or 0,
                    image_size=vit.image_size or (0, 0),
                    parameters=vit.num_parameters,
                    macs=vit.macs,
                    top1=config.get("top1"),
                )
            )
    return tuple(sorted(rows, key=lambda info: info.name))


def _config(architecture: str, pretrained: dict) -> ViTConfig:
    args = {}
    if pretrained:
        args["num_classes"] = pretrained["num_classes"]
        args["img_size"] = tuple(pretrained["input_size"][1:])
    return config_from_timm(architecture, **args)
