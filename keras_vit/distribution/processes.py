"""Which processes train together: from options, TF_CONFIG, torchrun, Slurm or Keras."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Processes:
    """Addresses and numbers of the processes of one run.

    Args:
        addresses: "host:port" of each process, or of process 0 alone.
        num_processes: how many there are.
        process_id: number of this one, from 0.
        holds_port: whether somebody else, such as torchrun, already listens at the
            address of process 0.
    """

    addresses: tuple[str, ...]
    num_processes: int
    process_id: int
    holds_port: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.process_id < self.num_processes:
            raise ValueError(
                "process_id must be from 0 to num_processes - 1, received "
                f"process_id={self.process_id}, num_processes={self.num_processes}. "
                "Number the processes from 0."
            )
        if len(self.addresses) not in (1, self.num_processes):
            raise ValueError(
                "coordinator must name process 0 or all processes, received "
                f"{len(self.addresses)} addresses for num_processes="
                f"{self.num_processes}. Separate them by commas: 'a:1234,b:1234'."
            )
        for address in self.addresses:
            if not re.fullmatch(r".+:\d+", address):
                raise ValueError(
                    f"An address must be host:port, received {address!r}. Write for "
                    "example '10.0.0.1:1234'."
                )

    def describe_absence(self, timeout: float) -> str:
        """Return the error for processes that do not start in time."""
        return (
            f"All {self.num_processes} processes must start within timeout="
            f"{timeout:g} seconds, process {self.process_id} waited for the others "
            f"at {', '.join(self.addresses)}. Start each with the same addresses and "
            "its own number, choose another port if another program listens there, or "
            "pass a larger timeout."
        )

    def check_port(self, process_id: int = 0) -> None:
        """Raise an OSError if the port that this process shall listen at is in use."""
        if self.holds_port or process_id != self.process_id:
            return
        address = self.addresses[process_id]
        host, port = address.rsplit(":", 1)
        try:
            family, kind, _, _, at = socket.getaddrinfo(
                host.strip("[]"), int(port), type=socket.SOCK_STREAM
            )[0]
            with socket.socket(family, kind) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(at)
        except OSError as error:
            # Another error means that the name is not one of this machine's own.
            if error.errno == errno.EADDRINUSE:
                raise OSError(
                    error.errno,
                    f"The port of process {process_id} must be free, received "
                    f"{address!r}, where another program listens. Choose another "
                    "port, or end the former run",
                ) from error


def find_processes(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Processes | None:
    """Return the processes of this run, None for a single one.

    The first of these that is there: the arguments, `TF_CONFIG`, Keras's
    `KERAS_DISTRIBUTION_*`, torchrun's `RANK` and `WORLD_SIZE`, Slurm's `srun`.

    Args:
        coordinator: "host:port" of process 0, or of all processes with commas between.
        num_processes: how many.
        process_id: number of this one, from 0.
        environment: instead of `os.environ`.

    Raises:
        ValueError: if the arguments are incomplete or contradict each other.
    """
    given = (coordinator, num_processes, process_id)
    if any(value is not None for value in given):
        if coordinator is None or num_processes is None or process_id is None:
            raise ValueError(
                "Several processes need coordinator, num_processes and process_id, "
                f"received coordinator={coordinator!r}, num_processes={num_processes}, "
                f"process_id={process_id}. Pass all three, or none to take them from "
                "TF_CONFIG, torchrun or Slurm."
            )
        return Processes(tuple(coordinator.split(",")), num_processes, process_id)
    variables = os.environ if environment is None else environment
    for source in (_from_tf_config, _from_keras, _from_torchrun, _from_slurm):
        found = source(variables)
        if found is not None:
            return found if found.num_processes > 1 else None
    return None


def _from_tf_config(variables: Mapping[str, str]) -> Processes | None:
    if not variables.get("TF_CONFIG"):
        return None
    try:
        config = json.loads(variables["TF_CONFIG"])
        cluster, task = config.get("cluster", {}), config.get("task", {})
        chiefs, workers = cluster.get("chief", []), cluster.get("worker", [])
        index = int(task.get("index", 0))
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            'TF_CONFIG must be JSON such as {"cluster": {"worker": ["a:1234", '
            '"b:1234"]}, "task": {"type": "worker", "index": 0}}, received '
            f"{variables['TF_CONFIG']!r}."
        ) from error
    addresses = (*chiefs, *workers)
    if not addresses:
        return None
    if task.get("type") == "worker":
        index += len(chiefs)
    return Processes(addresses, len(addresses), index)


def _from_keras(variables: Mapping[str, str]) -> Processes | None:
    prefix = "KERAS_DISTRIBUTION_"
    number = variables.get(prefix + "NUM_PROCESSES")
    addresses = variables.get(prefix + "JOB_ADDRESSES")
    if not number or not addresses:
        return None
    process_id = int(variables.get(prefix + "PROCESS_ID", 0))
    return Processes(tuple(addresses.split(",")), int(number), process_id)


def _from_torchrun(variables: Mapping[str, str]) -> Processes | None:
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    if any(name not in variables for name in names):
        return None
    rank, size, host, port = (variables[name] for name in names)
    agent = variables.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return Processes((f"{host}:{port}",), int(size), int(rank), holds_port=agent)


def _from_slurm(variables: Mapping[str, str]) -> Processes | None:
    # Only inside a step that srun started; the script of sbatch itself is no process.
    names = ("SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_JOB_ID")
    if any(name not in variables for name in names):
        return None
    nodes = variables.get("SLURM_STEP_NODELIST") or variables.get("SLURM_NODELIST", "")
    hosts = expand_hosts(nodes)
    counts = _task_counts(variables.get("SLURM_STEP_TASKS_PER_NODE", ""))
    number = int(variables["SLURM_STEP_NUM_TASKS"])
    port = 12000 + int(variables["SLURM_JOB_ID"]) % 20000
    pairs = zip(hosts, counts, strict=False)
    addresses = [f"{host}:{port + i}" for host, count in pairs for i in range(count)]
    if len(addresses) != number:
        addresses = [f"{hosts[0]}:{port}"] if hosts else []
    if not addresses:
        return None
    return Processes(tuple(addresses), number, int(variables["SLURM_PROCID"]))


def too_late(backend: str) -> RuntimeError:
    """Return the error for processes that are to be joined after a computation."""
    return RuntimeError(
        f"Several processes can be joined only before {backend} computes anything, "
        "received a call after that. Call keras_vit.distribute first."
    )


def expand_hosts(nodes: str) -> list[str]:
    """Return the names in a list of Slurm: "gpu[1-3,7],login" is five hosts."""
    hosts: list[str] = []
    for part in re.findall(r"[^,\[]+(?:\[[^\]]*\])?[^,\[]*", nodes):
        found = re.fullmatch(r"(.*)\[(.*)\](.*)", part)
        if found is None:
            hosts.append(part)
            continue
        before, numbers, after = found.groups()
        for item in numbers.split(","):
            first, _, last = item.partition("-")
            for number in range(int(first), int(last or first) + 1):
                hosts.append(f"{before}{number:0{len(first)}d}{after}")
    return hosts


def _task_counts(text: str) -> list[int]:
    # "2(x3),1" is 2, 2, 2, 1.
    counts: list[int] = []
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        counts += [int(count)] * int(times or 1)
    return counts


def give_back_sigterm() -> None:
    """Let SIGTERM do again what it does in Python: end the process, or the user's own.

    TensorFlow and JAX catch it when they join processes and only note that it came, so
    that it would stop no training loop but that of `train`.
    """
    handler = signal.getsignal(signal.SIGTERM)  # Python does not see theirs.
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and handler is not None:
        signal.signal(signal.SIGTERM, handler)


# Waits for the end of its input, which is that of the process that started it, or kills
# that process. A thread could not: TensorFlow waits for its peers with Python's lock.
_WATCHDOG = """
import os, select, sys
seconds, process, message = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if not select.select([sys.stdin], [], [], seconds)[0]:
    print(message, file=sys.stderr, flush=True)
    os.kill(process, 9)
"""


@contextmanager
def must_end_within(seconds: float, message: str) -> Iterator[None]:
    """End this process with a message if what is inside takes longer.

    For calls of a backend that wait for other processes without a limit of their own,
    or that end the process with a stack trace of C++.
    """
    command = [sys.executable, "-c", _WATCHDOG, str(seconds), str(os.getpid()), message]
    watchdog = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        yield
    finally:
        watchdog.communicate()
