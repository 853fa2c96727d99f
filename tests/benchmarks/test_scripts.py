"""Every benchmark runs and prints its rows: with the smallest input, for a table that nobody reads."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from densevit import imaging
from densevit.checkpoints.state import save_own
from densevit.models.build import build
from densevit.variants import PROMPTABLE
from densevit.weights import ASSETS
from densevit.zoo import find_model
from helpers import tiny
from helpers.scripts import ROOT, run_script
from helpers.threads import torch_threads

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _keeps_threads():
    """Benchmarks set the number of threads of the process; the tests after them want theirs back."""
    with torch_threads(1):
        yield


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs a benchmark from the repository's root and gives the lines that it prints."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DENSEVIT_CACHE", str(tmp_path / "cache"))

    def lines(name: str, *arguments: object) -> list[str]:
        capsys.readouterr()
        run_script(monkeypatch, f"benchmarks/{name}", *arguments)
        return capsys.readouterr().out.splitlines()

    return lines


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photos" / "photo.png"
    path.parent.mkdir()
    imaging.save(tiny.image(64, 96), path)
    return path


def test_labels(run, tmp_path):
    np.save(tmp_path / "logits.npy", np.random.default_rng(0).normal(size=(5, 8, 12)).astype(np.float32))
    lines = run("labels.py", "--logits", tmp_path / "logits.npy", "--repeats", 1)
    assert [line for line in lines if "100.000000 % of the labels equal PyTorch's" in line] == lines[:2]
    assert sum(bool(re.match(r"(labels|confidence), \w+", line)) for line in lines) == 4


def test_segment(run, photo):
    weights = ASSETS / "seg-b0-camvid.safetensors"
    lines = run("segment.py", "--model", "seg-b0-camvid", "--weights", weights, "--image", photo, "--repeats", 1)
    rows = [line.split() for line in lines if line.endswith(" %")]
    assert [row[:2] for row in rows] == [["eager", "fp32,"], ["densevit", "fp32"], ["densevit", "bf16"]][
        : len(rows)
    ]
    assert len(rows) >= 2


def test_start(run):
    lines = run("start.py", "--repeats", 1)
    assert [line[:18].strip() for line in lines][-1] == "densevit segment"
    assert all("median" in line for line in lines)


def test_promptable(tmp_path, photo):
    """In a process of its own: the reference declares operators, which a process may do once."""
    weights = tmp_path / "mobile-sam.safetensors"
    save_own(build(PROMPTABLE["mobile-sam"]), weights, find_model("mobile-sam").manifest())
    # OpenVINO would first need half a minute to turn the weights into a graph
    options = ("--runtime", "eager", "--boxes", 1, "--points-per-side", 1, "--rounds", 1)
    command = [sys.executable, "benchmarks/promptable.py", "--weights", weights, "--image", photo, *options]
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=tiny.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("1 boxes, three masks each: ")
    assert lines[1].startswith("1 boxes, one mask each: ")
    assert lines[-1].startswith("everything: ")


def test_super_resolution(run, photo):
    # half the image's size, so that one graph serves both tables
    options = ("--size", 32, 48, "--repeats", 1, "--threads", 1, "--data", photo.parent)
    lines = run("super_resolution.py", *options)
    rows = [line.split() for line in lines if line.lstrip().startswith("sr-x2")]
    assert {row[0] for row in rows} == {"sr-x2", "sr-x2-w0.75"}
    assert all(15 < float(row[5]) < 60 for row in rows)


@pytest.mark.needs_shared
def test_peers(run, shared, photo, tmp_path):
    weights = [shared / "weights" / name for name in ("vapsr_x2.pth", "bsrn_x2.pth")]
    run("peers.py", "--weights", *weights, "--images", photo.parent, "--out", tmp_path / "out")
    assert imaging.read_photo(tmp_path / "out" / "photo.png").pixels.shape == (64, 96, 3)


def test_upscale_tiles(run, photo):
    options = ("--megapixels", 0.002, "--tiles", 128, "--seams-size", 150, 170)
    lines = run("upscale_tiles.py", "--images", photo, *options)
    assert "dB between tiled and whole" in lines[0]
    assert float(lines[-1].split()[-1]) > 15


def test_upscale_memory(run):
    lines = run("upscale_memory.py", "--megapixels", 0)
    assert lines[1].split()[0] == "0"
