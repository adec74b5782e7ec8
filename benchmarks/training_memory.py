"""Peak memory of training steps against what `train` estimates before the first one.

Each figure is how far the peak resident size of a fresh process (VmHWM, Linux) rises
above its size before the first step: model, optimizer and one batch are there already.
The estimate is `keras_vit.training.memory.step_bytes`, for the same.

    python benchmarks/training_memory.py                  the three backends, 8 minutes
    python benchmarks/training_memory.py --backends jax   one of them
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

from backends import BACKENDS, backend_env

# Options of ViT, of Recipe, and the batch.
MODEL = {"image_size": 224, "patch_size": 16, "hidden_dim": 384, "num_layers": 4}
MODEL |= {"num_heads": 6, "mlp_dim": 1536, "num_classes": 10}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "1 image": ({}, {}, 1),
    "8 images": ({}, {}, 8),
    "32 images": ({}, {}, 32),
    "384 pixels": ({"image_size": 384}, {}, 8),
    "384 pixels, 12 heads": ({"image_size": 384, "num_heads": 12}, {}, 8),
    "narrow MLP": ({"mlp_dim": 384}, {}, 32),
    "head only": ({}, {"train_only": "head"}, 32),
    "LoRA": ({}, {"train_only": "lora"}, 32),
    "blocks 0 and 1 frozen": ({}, {"freeze_until": "block_1"}, 32),
    "rematerialization": ({"num_layers": 8}, {"rematerialization": "full"}, 32),
    "of activations": ({}, {"rematerialization": "activations"}, 32),
    "mixed_bfloat16": ({}, {"dtype": "mixed_bfloat16"}, 32),
    "4 micro-batches": ({}, {"accumulation_steps": 4}, 32),
    "SwiGLU, layer scale": ({"mlp": "gated", "layer_scale": 1e-4}, {}, 32),
}
HEADER = """\
| case | backend | measured (MiB) | estimated (MiB) | estimated / measured |
|---|---|---|---|---|"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--child", choices=CASES, help="internal")
    return parser.parse_args()


def resident(name: str) -> int:
    """Return VmRSS or VmHWM of this process in bytes."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith(name))
    return 1024 * int(line.split()[1])


def run_child(case: str) -> None:
    """Make two steps in this process; print the rise of the peak and the estimate."""
    import numpy as np

    import keras_vit
    from keras_vit.training.train import _build

    changes, options, batch_size = CASES[case]
    model = keras_vit.ViT(**MODEL | changes)
    recipe = keras_vit.Recipe(batch_size=batch_size, **options)
    trained = recipe.training_copy(model)
    recipe.compile(trained, 10)
    _build(trained)
    shape = (batch_size, *model.input_shape[1:])
    images = np.random.default_rng(0).standard_normal(shape).astype("float32")
    labels = np.arange(batch_size) % 10
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # The peak begins anew.
    before = resident("VmRSS")
    for _ in range(2):
        trained.train_on_batch(images, labels)
    measured = resident("VmHWM") - before
    try:
        from keras_vit.training.memory import step_bytes

        estimated = step_bytes(trained, recipe.accumulation_steps, batch_size)
    except ImportError:
        estimated = 0
    print(json.dumps([measured, estimated]))


def measure(case: str, backend: str) -> tuple[int, int]:
    """Return what was measured and estimated in a fresh process, bytes."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", case],
        env=backend_env(backend),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    measured, estimated = json.loads(done.stdout.splitlines()[-1])
    return measured, estimated


def main() -> None:
    args = parse_arguments()
    if args.child:
        run_child(args.child)
        return
    print(HEADER, flush=True)
    for case in args.cases:
        for backend in args.backends:
            measured, estimated = measure(case, backend)
            cells = f"{measured / 2**20:.0f} | {estimated / 2**20:.0f}"
            print(
                f"| {case} | {backend} | {cells} | {estimated / measured:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
