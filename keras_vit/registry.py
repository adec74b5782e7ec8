"""The models that `load` knows by name, without network: timm's plain ViTs."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache

from keras_vit.checkpoints.timm_config import config_from_timm, timm_table
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


def list_models(
    pattern: str = "*",
    *,
    family: str | None = None,
    license: str | None = None,
    pretrained: bool = True,
) -> list[ModelInfo]:
    """Return the models whose name fits a pattern, sorted by name.

    Args:
        pattern: with the wildcards * and ?, such as "*dinov2*". Default: all.
        family: a part of the family's name, such as "SigLIP"; upper and lower case
            are the same. Default: all.
        license: a part of the licence's name, such as "apache". Default: all.
        pretrained: False lists architectures without published weights, too.
            Default True.

    Example:
        >>> [info.name for info in keras_vit.list_models("*base*dinov2*")][0]
        'vit_base_patch14_dinov2.lvd142m'
    """
    return [
        info
        for info in _all_models()
        if fnmatch(info.name.lower(), pattern.lower())
        and (family is None or family.lower() in info.family.lower())
        and (license is None or license.lower() in (info.license or "").lower())
        and (info.is_pretrained or not pretrained)
    ]


@cache
def _all_models() -> tuple[ModelInfo, ...]:
    rows = []
    for architecture, row in timm_table().items():
        configs = row["pretrained"] or [{}]
        for config in configs:
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
                )
            )
    return tuple(sorted(rows, key=lambda info: info.name))


def _config(architecture: str, pretrained: dict) -> ViTConfig:
    args = {}
    if pretrained:
        args["num_classes"] = pretrained["num_classes"]
        args["img_size"] = tuple(pretrained["input_size"][1:])
    return config_from_timm(architecture, **args)
