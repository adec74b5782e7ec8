from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

from keras_vit.distribution.processes import (
    Processes,
    expand_hosts,
    find_processes,
)

TWO = ("a:1234", "b:1234")


def test_nothing_means_a_single_process():
    assert find_processes(environment={}) is None


def test_arguments_come_before_the_environment():
    found = find_processes("a:1", 2, 1, environment={"WORLD_SIZE": "8"})
    assert found == Processes(("a:1",), 2, 1)


def test_incomplete_arguments_are_refused():
    with pytest.raises(ValueError, match="coordinator, num_processes and process_id"):
        find_processes("a:1", 2, environment={})


def test_tf_config():
    cluster = {"chief": ["a:1234"], "worker": ["b:1234"]}
    config = {"cluster": cluster, "task": {"type": "worker", "index": 0}}
    found = find_processes(environment={"TF_CONFIG": json.dumps(config)})
    assert found == Processes(TWO, 2, 1)


@pytest.mark.parametrize("text", ["{", "[1]", '{"cluster": 1}'])
def test_a_damaged_tf_config_is_refused(text):
    with pytest.raises(ValueError, match="TF_CONFIG must be JSON"):
        find_processes(environment={"TF_CONFIG": text})


def test_torchrun():
    environment = {
        "RANK": "1",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "a",
        "MASTER_PORT": "1234",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    found = find_processes(environment=environment)
    assert found == Processes(("a:1234",), 2, 1, holds_port=True)
    assert (
        find_processes(environment={**environment, "WORLD_SIZE": "1", "RANK": "0"})
        is None
    )


def test_variables_of_keras():
    environment = {
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": "a:1234,b:1234",
        "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
        "KERAS_DISTRIBUTION_PROCESS_ID": "1",
    }
    assert find_processes(environment=environment) == Processes(TWO, 2, 1)


SLURM = {
    "SLURM_JOB_ID": "41",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_PROCID": "2",
    "SLURM_STEP_NODELIST": "gpu[1-2]",
    "SLURM_STEP_TASKS_PER_NODE": "2,1",
}


def test_srun_gives_each_task_its_port():
    found = find_processes(environment=SLURM)
    assert found == Processes(("gpu1:12041", "gpu1:12042", "gpu2:12041"), 3, 2)


def test_the_script_of_sbatch_is_no_process():
    script = {k: v for k, v in SLURM.items() if k != "SLURM_STEP_ID"}
    assert find_processes(environment=script) is None


@pytest.mark.parametrize(
    ("nodes", "hosts"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        ("n[08-10]x,m", ["n08x", "n09x", "n10x", "m"]),
        ("", []),
    ],
)
def test_names_of_slurm_are_expanded(nodes, hosts):
    assert expand_hosts(nodes) == hosts


@pytest.mark.parametrize(
    ("addresses", "number", "process", "message"),
    [
        (("a:1",), 2, 2, "from 0 to num_processes - 1"),
        (("a:1", "b:1", "c:1"), 2, 0, "process 0 or all processes"),
        (("a",), 2, 0, "must be host:port"),
    ],
)
def test_processes_that_cannot_be_are_refused(addresses, number, process, message):
    with pytest.raises(ValueError, match=message):
        Processes(addresses, number, process)


def test_a_port_in_use_is_refused():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(OSError, match="must be free.*Choose another port"):
            Processes((address,), 2, 0).check_port()
        # Only the process that has to listen there needs it.
        Processes((address,), 2, 1).check_port()
    Processes((address,), 2, 0).check_port()


def run(code: str) -> subprocess.CompletedProcess[str]:
    code = f"import time\nfrom keras_vit.distribution.processes import *\n{code}"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )


def test_what_takes_too_long_ends_the_process():
    child = run("with must_end_within(0.2, 'too long'):\n    time.sleep(50)")
    assert child.returncode != 0
    assert "too long" in child.stderr


def test_what_ends_in_time_goes_on():
    child = run("with must_end_within(50, 'too long'):\n    pass\nprint('on')")
    assert (child.returncode, child.stdout) == (0, "on\n"), child.stderr
