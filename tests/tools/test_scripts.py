"""Tools run on tiny weights; those that write the bundled files are tested in tests/assets."""

from __future__ import annotations

import numpy as np

from densevit.weights import read_tensors
from helpers import tiny
from helpers.scripts import run_script


def test_average(monkeypatch, tmp_path):
    out = tmp_path / "mean.safetensors"
    run_script(monkeypatch, "tools/average.py", tiny.safetensors(), tiny.safetensors(), out, "--share", 0.25)
    before, after = (read_tensors(path)[0] for path in (tiny.safetensors(), out))
    assert before.keys() == after.keys()
    # a point between a network and itself is the network, up to the rounding of fp16
    assert all(np.allclose(before[name].astype(float), after[name].astype(float), atol=1e-3) for name in before)
