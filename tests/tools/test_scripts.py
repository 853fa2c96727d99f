"""Every tool runs, on tiny weights."""

from __future__ import annotations

import numpy as np
import pytest

from densevit.weights import ASSETS, read_tensors
from helpers import tiny
from helpers.scripts import run_script


def test_average(monkeypatch, tmp_path):
    out = tmp_path / "mean.safetensors"
    run_script(monkeypatch, "tools/average.py", tiny.safetensors(), tiny.safetensors(), out, "--share", 0.25)
    before, after = (read_tensors(path)[0] for path in (tiny.safetensors(), out))
    assert before.keys() == after.keys()
    # a point between a network and itself is the network, up to the rounding of fp16
    assert all(np.allclose(before[name].astype(float), after[name].astype(float), atol=1e-3) for name in before)


@pytest.fixture
def folder_data(tmp_path):
    """A data set of the tiny model's classes, of the kind that `folder:` reads."""
    from densevit import imaging

    root = tmp_path / "data"
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    names = tiny.manifest().class_names
    (root / "classes.txt").write_text("\n".join(names) + "\n")
    imaging.save(tiny.image(64, 64), root / "images" / "a.png")
    imaging.save(
        np.random.default_rng(0).integers(0, len(names), (64, 64), dtype=np.uint8), root / "masks" / "a.png"
    )
    return root


def test_bundle(monkeypatch, tmp_path, folder_data, capsys):
    out = tmp_path / "assets"
    out.mkdir()
    data = f"folder:{folder_data}"
    run_script(
        monkeypatch, "tools/bundle.py", tiny.safetensors(), "--data", data, "--size", "native", "--out", out
    )
    assert "fp32: miou" in capsys.readouterr().out
    assert {path.suffix for path in out.iterdir()} == {".safetensors", ".onnx"}


def test_rebuild_graphs(monkeypatch, tmp_path, capsys):
    (tmp_path / "sr-x2-w0.75.safetensors").write_bytes((ASSETS / "sr-x2-w0.75.safetensors").read_bytes())
    run_script(monkeypatch, "tools/rebuild_graphs.py", tmp_path)
    assert (tmp_path / "sr-x2-w0.75.onnx").read_bytes() == (ASSETS / "sr-x2-w0.75.onnx").read_bytes()
