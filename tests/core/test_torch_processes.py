"""Real processes that sum counts; one that ends does not leave the others waiting."""

import socket
import subprocess
import sys
import time

import pytest

from helpers import tiny

pytestmark = pytest.mark.slow

CODE = """
import sys
import numpy as np
from datetime import timedelta
from densevit.core.processes import ProcessLostError
from densevit.core.torch_processes import join_processes
with join_processes(timedelta(seconds=60)) as processes:
    if sys.argv[1] == str(processes.rank):
        raise SystemExit("broken")
    try:
        total = processes.sum(np.array([[2**40, processes.rank]]))
    except ProcessLostError as error:
        raise SystemExit(f"lost: {error}")
    print(processes.rank, processes.size, total.dtype, total.tolist())
"""


def processes(count, broken):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CODE, str(broken)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=tiny.environment(RANK=str(rank), **group),
        )
        for rank in range(count)
    ]
    return [(*process.communicate(timeout=120), process.returncode) for process in started]


def test_sums():
    results = processes(3, broken=-1)
    assert [code for _, _, code in results] == [0, 0, 0], results
    expected = f"int64 [[{3 * 2**40}, 3]]"
    assert [out.strip() for out, _, _ in results] == [f"{rank} 3 {expected}" for rank in range(3)]


@pytest.mark.parametrize("broken", [0, 1])
def test_one_that_ends_ends_the_others(broken):
    start = time.monotonic()
    results = processes(2, broken)
    # far sooner than the timeout
    assert time.monotonic() - start < 50
    assert [code for _, _, code in results] == [1, 1]
    assert results[broken][1].strip().splitlines()[-1] == "broken"
    assert "another process ended or does not answer" in results[1 - broken][1]
