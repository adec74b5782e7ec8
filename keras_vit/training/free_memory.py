"""How much memory is free: of the machine, of a container's limit, of a GPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import keras

# Limits from here on are none; version 1 of cgroups writes a number near 2**63.
_NO_LIMIT = 2**60


class FreeMemory(NamedTuple):
    """Free memory, and of what.

    Args:
        num_bytes: that may be taken.
        place: "machine", "container" (a limit of the system for this process) or "GPU".
    """

    num_bytes: int
    place: str


def free_memory(root: str | Path = "/") -> FreeMemory | None:
    """Return what is free for the processes of this machine, None if nothing says.

    The least of what the machine has and of what limits leave (control groups, which
    containers, Slurm and Kaggle set). Memory of files that the system can drop is free.

    Args:
        root: of the file system. Default "/".
    """
    root = Path(root)
    found = [free for free in (_of_machine(root), *_of_groups(root)) if free]
    return min(found, default=None)


def free_device_memory() -> FreeMemory | None:
    """Return what is free on the GPU that Keras computes on.

    None without a GPU, and where the backend does not tell, as TensorFlow.
    """
    backend, free = keras.backend.backend(), None
    if backend == "torch":
        import torch

        if torch.cuda.is_available():
            kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
            free = torch.cuda.mem_get_info()[0] + kept
    elif backend == "jax":
        import jax

        device = jax.local_devices()[0]
        facts = device.memory_stats() if device.platform != "cpu" else None
        if facts and "bytes_limit" in facts:
            free = facts["bytes_limit"] - facts.get("bytes_in_use", 0)
    return None if free is None else FreeMemory(int(free), "GPU")


def computes_on_cpu() -> bool:
    """Return whether Keras computes on the processor, in the machine's own memory."""
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        return not torch.cuda.is_available()
    if backend == "jax":
        import jax

        return jax.default_backend() == "cpu"
    return not keras.distribution.list_devices("gpu")


def _of_machine(root: Path) -> FreeMemory | None:
    for line in _lines(root / "proc/meminfo"):
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return FreeMemory(1024 * int(value.split()[0]), "machine")
    if sys.platform == "linux":
        return None
    try:  # macOS and Windows say it through a package that many have.
        import psutil
    except ImportError:
        return None
    return FreeMemory(int(psutil.virtual_memory().available), "machine")


def _of_groups(root: Path) -> Iterator[FreeMemory]:
    """Yield what the limit of each control group leaves that this process is in."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        names = _V1 if controllers else _V2
        places = ("sys/fs/cgroup/memory",) if controllers else ("sys/fs/cgroup",)
        for place in (*places, "sys/fs/cgroup/unified"):
            top = root / place
            group = top / path.lstrip("/")
            # A container sees its own group at the top, under another path.
            for folder in {group, *group.parents, top}:
                if folder == top or top in folder.parents:
                    left = _left(folder, *names)
                    if left is not None:
                        yield FreeMemory(left, "container")


# Files of a group: its limit, what is used, and the files that can be dropped.
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = ("memory.max", "memory.current", "inactive_file")


def _left(folder: Path, limit: str, usage: str, droppable: str) -> int | None:
    numbers = [_number(folder / name) for name in (limit, usage)]
    if numbers[0] is None or numbers[1] is None or numbers[0] >= _NO_LIMIT:
        return None
    dropped = 0
    for line in _lines(folder / "memory.stat"):
        name, _, value = line.partition(" ")
        dropped += int(value) if name == droppable else 0
    return max(0, numbers[0] - max(0, numbers[1] - dropped))


def _number(path: Path) -> int | None:
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdigit() else None  # "max" is no limit.


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
