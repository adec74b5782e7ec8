"""The command that lists variants and pretrained models."""

from __future__ import annotations

import time
from argparse import ArgumentTypeError, Namespace
from dataclasses import asdict
from itertools import zip_longest
from statistics import median
from typing import Any

import numpy as np

from keras_vit.cli.arguments import Commands, add_command, add_switches, print_found
from keras_vit.config import VARIANTS
from keras_vit.loading import load
from keras_vit.registry import ModelInfo, list_models

_TIMED_CALLS = 5
_SIZES = ("image_size", "patch_size", "hidden_dim", "num_layers", "num_heads")


def add_list(commands: Commands) -> None:
    """Add `keras-vit list` to the commands."""
    parser = add_command(
        commands,
        run_list,
        "list",
        "list the named variants, or pretrained models by name",
        "--best-under 25M --license apache",
    )
    parser.add_argument(
        "pattern",
        nargs="?",
        metavar="PATTERN",
        help="of pretrained models, with * and ?; default: the variants",
    )
    parser.add_argument("--family", metavar="NAME", help="such as SigLIP")
    parser.add_argument("--license", metavar="NAME", help="such as apache")
    parser.add_argument(
        "--best-under",
        type=_count,
        metavar="N",
        help="at most so many parameters, such as 25M; the best on ImageNet first",
    )
    parser.add_argument(
        "--time",
        type=int,
        metavar="N",
        help="measure the first N on this machine: milliseconds per image, one by one",
    )
    add_switches(parser, untrained="architectures without published weights, too")


def run_list(options: Namespace) -> None:
    """Print the table of variants, or the models that fit a pattern."""
    chosen = ("pattern", "family", "license", "untrained", "best_under", "time")
    if any(getattr(options, name) for name in chosen):
        found = list_models(
            options.pattern or "*",
            family=options.family,
            license=options.license,
            pretrained=not options.untrained,
            best_under=options.best_under,
        )
        times = [_milliseconds(info) for info in found[: max(0, options.time or 0)]]
        rows = [asdict(info) for info in found]
        for row, milliseconds in zip(rows, times, strict=False):
            row["milliseconds"] = round(milliseconds, 2)
        text = _models_text(found, times)
    else:
        rows = _variants()
        text = _variants_text(rows)
    print_found(options, rows, text)


def _variants() -> list[dict[str, Any]]:
    return [
        {
            "variant": name,
            "parameters": variant.config.num_parameters,
            "macs": variant.config.macs,
            **{size: getattr(variant.config, size) for size in _SIZES},
            "mlp_dim": variant.config.mlp_dim,
            "source": variant.source,
        }
        for name, variant in VARIANTS.items()
    ]


def _variants_text(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'variant':9}{'parameters':>15}{'GMACs':>9}  image  patch  source"]
    lines += [
        f"{row['variant']:9}{row['parameters']:>15,}{row['macs'] / 1e9:>9.3f}"
        f"{row['image_size'][0]:>7}{row['patch_size'][0]:>7}  {row['source']}"
        for row in rows
    ]
    return "\n".join(lines)


def _models_text(found: list[ModelInfo], times: list[float]) -> str:
    timed = f"{'ms':>9}" if times else ""
    lines = [
        f"{'name':52}{'ImageNet':>9}{'parameters':>15}{'GMACs':>9}{timed}{'pixels':>10}"
        f"{'classes':>8}  family, licence"
    ]
    for info, milliseconds in zip_longest(found, times):
        height, width = info.image_size
        size = str(height) if height == width else f"{height}x{width}"
        top1 = "" if info.top1 is None else f"{info.top1:.1f} %"
        spent = f"{milliseconds:9.1f}" if milliseconds else ""
        lines.append(
            f"{info.name:52}{top1:>9}{info.parameters:>15,}{info.macs / 1e9:>9.2f}"
            f"{spent:>{len(timed)}}{size:>10}{info.num_classes:>8}  {info.family}, "
            f"{info.license or 'no weights'}"
        )
    if not found:
        lines.append("no model fits; keras-vit list '*' shows all")
    return "\n".join(lines)


def _milliseconds(info: ModelInfo) -> float:
    """Return the time of a forward pass over one image, with random weights."""
    architecture = info.name.partition(".")[0]
    classes = info.num_classes or None
    model = load(
        architecture, pretrained=False, image_size=info.image_size, num_classes=classes
    )
    images = np.zeros((1, *info.image_size, model.config.channels), "float32")
    model.predict_on_batch(images)  # Compiles.
    seconds = []
    for _ in range(_TIMED_CALLS):
        started = time.perf_counter()
        model.predict_on_batch(images)
        seconds.append(time.perf_counter() - started)
    return 1e3 * median(seconds)


def _count(text: str) -> int:
    """Read a number such as 25M, 300k or 1e8."""
    units = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9}
    unit = units.get(text[-1:].lower())
    try:
        return int(float(text if unit is None else text[:-1]) * (unit or 1))
    except (ValueError, OverflowError):
        message = f"must be a number such as 25M, received {text!r}"
        raise ArgumentTypeError(message) from None
