"""`torch.compile` of our model against that of timm's: graph breaks, compiling, speed.

Both have the same shape, random float32 weights and dropout 0, and run in inference
mode. Compiling: seconds of the first call, without torch's caches, each model in a
process of its own after a small module was compiled there; the lowest of some runs,
because other work on the machine only adds. Speed: one forward pass, taking turns in
one process, median over rounds. Ratio of speed: time of timm's / time of ours; ratio of
compiling: time of ours / time of timm's. Difference: of our compiled from our eager
model, relative to the largest logit.

Command: KERAS_BACKEND=torch OMP_NUM_THREADS=2 python benchmarks/torch_compile.py
Takes about 5 minutes on two cores. Targets: 0 graph breaks, at least 1.0 x the speed,
at most 2 x the time to compile, 1e-5.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from paired_timing import describe, paired_times

sys.path.insert(0, str(Path(__file__).parent.parent))
NAMES = ("ours", "timm")
TIMM = {"S/16": "vit_small_patch16_224", "B/16": "vit_base_patch16_224"}
# Options of a later family, small: none of its layers may break the graph either.
LATER = {
    "rotary": "axial",
    "positions": None,
    "pooling": "mean",
    "mlp": "gated",
    "normalization": "rms",
    "num_registers": 2,
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", default="S/16", choices=TIMM)
    parser.add_argument("--batch", type=int, default=8, help="images")
    parser.add_argument("--rounds", type=int, default=20, help="pairs of passes")
    parser.add_argument("--compilations", type=int, default=2, help="runs per model")
    parser.add_argument("--compile-only", choices=("ours", "timm"))
    return parser.parse_args()


def build(name: str, variant: str) -> Any:
    """Return "ours" or "timm" with random weights, none of them zero."""
    from tests.peers import set_random_parameters, timm_model

    if name == "timm":
        return timm_model(TIMM[variant])
    import keras_vit

    model = keras_vit.ViT.from_variant(variant)
    set_random_parameters(model)
    return model


def images(name: str, model: Any, batch: int) -> Any:
    """Return random images, channels last for ours and first for timm's."""
    import torch

    size = 224 if name == "timm" else model.input_shape[1]
    x = torch.randn(batch, size, size, 3, generator=torch.manual_seed(0))
    return x.permute(0, 3, 1, 2).contiguous() if name == "timm" else x


def first_call(name: str, variant: str, batch: int) -> float:
    """Return seconds of the first call of a compiled model, in this new process."""
    import torch

    torch.compiler.config.force_disable_caches = True
    # Headers and the search for the CPU's instructions count for neither.
    small = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.LayerNorm(64))
    model = build(name, variant)
    x = images(name, model, batch)
    with torch.no_grad():
        torch.compile(small)(torch.ones(batch, 64))
        start = time.perf_counter()
        torch.compile(model, fullgraph=True)(x)
        return time.perf_counter() - start


def compile_seconds(name: str, runs: int) -> float:
    """Return the lowest of the first calls in some processes."""
    command = [sys.executable, __file__, *sys.argv[1:], "--compile-only", name]
    outputs = [subprocess.check_output(command, text=True) for _ in range(runs)]
    return min(float(output.split()[-1]) for output in outputs)


def graph_breaks(model: Any, x: Any) -> int:
    import torch

    torch.compiler.reset()
    with torch.no_grad():
        return torch._dynamo.explain(model)(x).graph_break_count


def main() -> None:
    args = parse_arguments()
    if args.compile_only:
        print(first_call(args.compile_only, args.variant, args.batch))
        return
    import torch

    import keras_vit

    print("| step | ours | timm | ratio | quartiles |")
    print("|---|---|---|---|---|", flush=True)
    models = [build(name, args.variant) for name in NAMES]
    inputs = [
        images(name, model, args.batch)
        for name, model in zip(NAMES, models, strict=True)
    ]
    later = keras_vit.ViT.from_variant("test", **LATER)
    breaks = graph_breaks(models[0], inputs[0])
    breaks_later = graph_breaks(later, images("ours", later, 2))
    print(
        f"| graph breaks; later family | {breaks}; {breaks_later} | | | |", flush=True
    )
    torch.compiler.reset()
    compiled = [torch.compile(model) for model in models]
    with torch.no_grad():
        expected = models[0](inputs[0])
        error = (compiled[0](inputs[0]) - expected).abs().max() / expected.abs().max()
        print(f"| difference, relative | {float(error):.1e} | | | |", flush=True)
        for step, functions in (("compiled", compiled), ("eager", models)):
            steps = [partial(f, x) for f, x in zip(functions, inputs, strict=True)]
            times = paired_times(*steps, args.rounds)
            print(f"| {step} forward (ms) | {describe(times)} |", flush=True)
    ours, theirs = (compile_seconds(name, args.compilations) for name in NAMES)
    print(f"| compiling (s) | {ours:.1f} | {theirs:.1f} | {ours / theirs:.2f} | |")


if __name__ == "__main__":
    main()
