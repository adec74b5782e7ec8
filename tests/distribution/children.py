"""Start the processes of an engine and collect what they write."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CHILD = Path(__file__).with_name("child.py")
LIMIT = 180  # seconds, after which a child hangs


def free_ports(number: int) -> str:
    """Return ports that nobody listens at, with commas between."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [str(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ",".join(ports)


def start(
    task: str,
    rank: int,
    count: int,
    ports: str,
    output: Path,
    variables: dict[str, str],
) -> Any:
    """Start a child and return its process."""
    devices = 1 if count > 1 else 4
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} "
        "--xla_backend_optimization_level=0",
        **variables,
    }
    arguments = [task, str(rank), str(count), ports, str(output)]
    return subprocess.Popen(
        [sys.executable, str(CHILD), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(
    backend: str, task: str, count: int, folder: Path, epochs: int = 2
) -> list[dict[str, Any]]:
    """Run a task in `count` processes; return what each wrote, and how it ended."""
    ports = free_ports(count if backend == "tensorflow" else 1)
    variables = {"KERAS_BACKEND": backend, "EPOCHS": str(epochs)}
    files = [folder / f"{task}-{rank}.json" for rank in range(count)]
    children = [
        start(task, rank, count, ports, file, variables)
        for rank, file in enumerate(files)
    ]
    ends: dict[int, float] = {}
    limit = time.monotonic() + LIMIT
    try:
        while len(ends) < count and time.monotonic() < limit:
            for rank, child in enumerate(children):
                if rank not in ends and child.poll() is not None:
                    ends[rank] = time.monotonic()
            time.sleep(0.1)
    finally:
        for child in children:
            child.kill()
    results = []
    for rank, (child, file) in enumerate(zip(children, files, strict=True)):
        output = child.communicate()[0]
        own = json.loads(file.read_text()) if file.is_file() else {}
        hung = rank not in ends
        state = {"code": child.returncode, "output": output, "hung": hung}
        late = ends.get(rank, limit) - min(ends.values(), default=limit)
        results.append({**own, **state, "seconds after the first": late})
    return results
