"""The tools that put weights and graphs into the package."""

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from PIL import Image

from densevit.core.manifest import METADATA_KEY, Manifest
from densevit.runtimes.golden import compare_with_golden
from densevit.runtimes.openvino import OpenVINORuntime
from densevit.weights import ASSETS, hash_tensors, read_tensors
from helpers import tiny

TOOLS = Path(__file__).resolve().parents[2] / "tools"
NAME = "sr-x2-w0.75"


def load_tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted(ASSETS.glob("*.safetensors")), ids=lambda path: path.stem)
def test_bundled_files_describe_themselves(path):
    tensors, metadata = read_tensors(path)
    manifest = Manifest.from_json(metadata[METADATA_KEY], source=path.name)
    assert manifest.to_json() == metadata[METADATA_KEY], "run tools/rebuild_graphs.py"
    assert manifest.weights_sha256 == hash_tensors(tensors)
    assert manifest.metrics.items() <= manifest.verified_precisions["fp32"].items()
    assert "unknown" not in (manifest.licence, manifest.code_licence, manifest.data_licence)
    graph = OpenVINORuntime(path.with_suffix(".onnx")).manifest
    assert graph.golden is not None
    same = ("name", "metrics", "verified_precisions", "weights_sha256", "data_licence", "size")
    assert [getattr(graph, key) for key in same] == [getattr(manifest, key) for key in same]


@pytest.mark.slow
def test_rebuilding_gives_the_bundled_files(tmp_path, capsys):
    shutil.copy(ASSETS / f"{NAME}.safetensors", tmp_path)
    load_tool("rebuild_graphs").main(tmp_path)
    assert f"{NAME}.onnx" in capsys.readouterr().out
    assert (tmp_path / f"{NAME}.safetensors").read_bytes() == (ASSETS / f"{NAME}.safetensors").read_bytes()
    # other versions of the exporter may order nodes in another way
    made, bundled = (onnx.load(folder / f"{NAME}.onnx") for folder in (tmp_path, ASSETS))
    assert [node.op_type for node in made.graph.node] == [node.op_type for node in bundled.graph.node]


@pytest.mark.slow
def test_bundling_measures_and_writes_both_files(tmp_path, monkeypatch):
    images = tmp_path / "val"
    images.mkdir()
    for seed in range(2):
        Image.fromarray(tiny.image(48, 64, seed=seed)).save(images / f"{seed}.png")
    tool = load_tool("bundle")
    monkeypatch.setattr(tool, "supports", lambda precision: precision == "fp32")
    tool.main(tiny.sr_safetensors(), f"sr:{images}", "native", tmp_path)
    runtime = OpenVINORuntime(tmp_path / "tiny-sr.onnx")
    manifest = runtime.manifest
    assert manifest.metrics.keys() == {"sr/val/psnr_y", "sr/val/ssim_y"}
    assert manifest.verified_precisions == {"fp32": manifest.metrics}
    assert np.isfinite(list(manifest.metrics.values())).all()
    assert compare_with_golden(runtime, manifest).passed
