"""Training on several devices against one device with the same global batches.

Each engine trains a small ViT for 20 steps in processes of its own, with SGD, and with
AdamW, moving average, clipping and two micro-batches; the processes are those of
tests/distribution/child.py. Difference: largest difference of a weight, relative to the
largest weight. Masks: whether each replica draws its own. Overflow: whether one that is
planted on one replica in float16 skips the step on all (JAX has no float16 on CPUs).
Dead peer: seconds until the other process ends after one was killed.

Command: python benchmarks/distribution.py
Takes about 5 minutes on two cores. Targets: 1e-5 (SGD), 1e-4 (AdamW), yes, 60 s.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
EPOCHS = 5  # of 4 batches
# Backend, task, processes, devices; the first of each backend also trains on one.
ENGINES = (
    ("tensorflow", "mirrored", 1, "2 logical CPUs"),
    ("tensorflow", "processes", 2, "multi_worker, 2 processes"),
    ("jax", "data_parallel", 1, "4 forced devices"),
    ("jax", "model_parallel", 1, "2 x 2 forced devices"),
    ("jax", "processes", 2, "data_parallel, 2 processes"),
    ("torch", "single", 1, ""),
    ("torch", "processes", 2, "data_parallel, 2 processes (gloo)"),
)


def difference(results: list[dict[str, Any]], single: dict[str, Any], name: str) -> str:
    """Return the largest relative difference of a weight on any rank."""
    expected = np.array(single[name]["weights"])
    found = [np.array(result[name]["weights"]) for result in results]
    largest = max(np.abs(values - expected).max() for values in found)
    return f"{largest / np.abs(expected).max():.1e}"


def overflow(results: list[dict[str, Any]]) -> str:
    if "overflow" not in results[0]:
        return "-"
    planted = [result["overflow"]["planted"] for result in results]
    return "yes" if all(found == [True, True, 0] for found in planted) else "NO"


def masks(results: list[dict[str, Any]], replicas: int) -> str:
    found = {tuple(mask) for result in results for mask in result["masks"]}
    return "yes" if len(found) == replicas else "NO"


def main() -> None:
    from tests.distribution.children import run

    print("| backend | engine | SGD | AdamW | masks | overflow | dead peer |")
    print("|---|---|---|---|---|---|---|")
    single: dict[str, Any] = {}
    for backend, task, count, devices in ENGINES:
        with tempfile.TemporaryDirectory() as folder:
            results = run(backend, task, count, Path(folder), EPOCHS)
            if any(result["code"] for result in results):
                sys.exit("\n".join(result["output"] for result in results))
            single = results[0].get("single", single)
            if task == "single":
                continue
            dead = "-"
            if count > 1:
                ranks = run(backend, "killed", count, Path(folder))
                hung = any(rank["hung"] for rank in ranks)
                late = max(rank["seconds after the first"] for rank in ranks)
                dead = "NEVER" if hung else f"{late:.0f} s"
        name = devices if task == "processes" else f"{task}, {devices}"
        replicas = 4 if task == "data_parallel" else 2
        cells = [
            *(backend, name),
            *(difference(results, single, kind) for kind in ("sgd", "adamw")),
            *(masks(results, replicas), overflow(results), dead),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
