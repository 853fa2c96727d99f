"""SIGTERM and Ctrl-C: a checkpoint, nothing half written, the exit code of the signal; resuming loses nothing."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from densevit.train.checkpoint import read_checkpoint
from densevit.train.signals import StopRequest, watch_signals
from helpers import tiny

TRAINING = """
import sys
from pathlib import Path
import torch
from torch import nn
from densevit.cli import main
from densevit.train import loop
from densevit.train.batches import Batches
from densevit.train.options import Options

torch.manual_seed(0)
options = Options(
    steps=400, batch=2, warmup_steps=2, validate_every=50, checkpoint_every=20, precision="fp32", device="cpu"
)

def make(indices, generator):
    return {"x": torch.randn(len(indices), 3, 4, 4, generator=generator)}

def save(model, path, scores):
    path.write_bytes(b"weights")

def loss(model, batch):
    return {"loss": model(batch["x"]).square().mean()}

network = nn.Sequential(
    nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.Dropout(0.5), nn.Flatten(), nn.Linear(256, 1)
)
training = loop.Training(
    network, Batches(6, make), loss, lambda model: {"score": 1.0}, "score", save, options
)
print("begins", flush=True)
loop.fit(training, Path(sys.argv[1]), resume="resume" in sys.argv)
"""


def start(out, *more):
    command = [sys.executable, "-c", TRAINING, str(out), *more]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=tiny.environment()
    )


def weights(out):
    return read_checkpoint(out / "last.pt", device="cpu")


def wait_for(path):
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.02)
    raise AssertionError(f"{path} did not come")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 1), (signal.SIGKILL, -9)])
def test_a_signal_costs_nothing(tmp_path, number, code):
    whole = start(tmp_path / "whole")
    whole.communicate(timeout=120)
    assert whole.returncode == 0
    out = tmp_path / "cut"
    process = start(out)
    wait_for(out / "last.pt")
    process.send_signal(number)
    process.communicate(timeout=60)
    # Python's own code for a KeyboardInterrupt that nobody catches is that of the signal
    assert process.returncode in (code, -signal.SIGINT if number == signal.SIGINT else code)
    stopped = weights(out)["step"]
    assert 0 < stopped < 400
    if number != signal.SIGKILL:
        assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
        assert not (out / "train.lock").exists()
    again = start(out, "resume")
    again.communicate(timeout=120)
    assert again.returncode == 0
    assert sorted(path.name for path in out.iterdir() if path.name.startswith(".")) == []
    first, second = weights(tmp_path / "whole"), weights(out)
    assert all((first["model"][name] == second["model"][name]).all() for name in first["model"])


@pytest.mark.slow
def test_of_two_that_start_at_once_one_runs(tmp_path):
    both = [start(tmp_path / "run") for _ in range(2)]
    errors = [process.communicate(timeout=120)[1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(code == 0 for code in codes) == [False, True], errors
    refused = errors[0] if codes[0] else errors[1]
    assert "another training runs in this folder" in refused or "exists: pass --resume" in refused
    assert weights(tmp_path / "run")["step"] == 400


def test_the_first_signal_is_noted_and_the_second_ends():
    request = StopRequest()
    request.handle(signal.SIGTERM, None)
    assert request.received == signal.SIGTERM
    with pytest.raises(SystemExit) as ended:
        request.handle(signal.SIGTERM, None)
    assert ended.value.code == 143


def test_at_once_where_nothing_would_be_lost():
    request = StopRequest()
    request.at_once = True
    with pytest.raises(KeyboardInterrupt):
        request.handle(signal.SIGINT, None)


def test_the_handlers_come_back():
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("handlers are those of the main thread, and pytest-xdist may run tests in another")
    before = signal.getsignal(signal.SIGTERM)
    with watch_signals() as request:
        assert signal.getsignal(signal.SIGTERM) == request.handle
    assert signal.getsignal(signal.SIGTERM) == before


def test_other_threads_leave_signals_alone():
    seen = []

    def run():
        with watch_signals() as request:
            seen.append(request.received)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [0]
