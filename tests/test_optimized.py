"""A core of the product under `python -O`, which drops asserts: what they did besides checking would be missed."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from helpers import tiny


def run_optimized(code: str, tmp_path) -> str:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(code))
    environment = tiny.environment(DENSEVIT_CACHE=str(tmp_path / "cache"))
    done = subprocess.run(
        [sys.executable, "-O", str(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_segmentation_answers_the_same(tmp_path):
    import densevit

    image = tiny.image(70, 90)
    np.save(tmp_path / "image.npy", image)
    run_optimized(
        """
        import numpy as np
        import densevit

        assert False, "asserts are dropped"
        model = densevit.load("seg-b0-camvid", precision="fp32", threads=1)
        np.save("labels.npy", model.predict(np.load("image.npy")).labels)
        """,
        tmp_path,
    )
    expected = densevit.load("seg-b0-camvid", precision="fp32", threads=1).predict(image).labels
    assert np.array_equal(np.load(tmp_path / "labels.npy"), expected)


def test_several_functions_in_one_graph(tmp_path):
    pytest.importorskip("torch")
    out = run_optimized(
        """
        from pathlib import Path

        import torch

        from densevit.checkpoints.loading import load_network
        from densevit.checkpoints.state import save_own
        from densevit.export import write_graph
        from densevit.models.build import build
        from densevit.runtimes.openvino import OpenVINORuntime
        from densevit.variants import ARCHITECTURES
        from densevit.zoo import find_model
        from dataclasses import replace

        table = ARCHITECTURES["sam-b1"]
        backbone = table.encoder.backbone
        stages = tuple(replace(stage, depth=min(stage.depth, 1)) for stage in backbone.stages)
        neck = replace(table.encoder.neck, depth=1)
        encoder = replace(table.encoder, backbone=replace(backbone, stages=stages), neck=neck)
        ARCHITECTURES["sam-b1"] = replace(table, encoder=encoder)
        torch.manual_seed(0)
        save_own(build(ARCHITECTURES["sam-b1"]), Path("sam.safetensors"), find_model("sam-b1").manifest())
        network, manifest = load_network(Path("sam.safetensors"), None)
        # comparing every function with the network is part of writing
        write_graph(network, manifest, Path("sam.onnx"))
        print(OpenVINORuntime(Path("sam.onnx")).manifest.name)
        """,
        tmp_path,
    )
    assert out.split() == ["sam-b1"]
