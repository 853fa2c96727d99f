"""A small model with random weights, made once per run: what most tests of the predicting half need.

Functions instead of fixtures, so that any folder of tests can use them: `import tiny`.
"""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from densevit.core.classes import read_class_table
from densevit.core.manifest import Manifest
from densevit.weights import ASSETS

BUNDLED = "seg-b0-camvid"
NO_BUNDLED = "the weights of seg-b0-camvid are not in src/densevit/assets"
has_bundled = all((ASSETS / f"{BUNDLED}{suffix}").is_file() for suffix in (".onnx", ".safetensors"))


@functools.cache
def folder() -> Path:
    """Where the files of this run lie."""
    path = Path(tempfile.mkdtemp(prefix="densevit-tests-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def manifest(**changes) -> Manifest:
    """B0 with the classes of CamVid."""
    table = read_class_table("camvid")
    made = Manifest(
        name="tiny",
        task="segmentation",
        architecture="seg-b0",
        class_names=table.names,
        palette=table.colors,
        size="native",
        published_size="exact:64x128",
        licence="Apache-2.0",
        metrics={"nothing/val/miou": 1.5},
    )
    return replace(made, **changes)


def network(*, classes: int = 11, seed: int = 0):
    """B0 with random weights and BatchNorm statistics of an image, disturbed."""
    import torch
    from torch import nn

    from densevit.models.build import build
    from densevit.variants import SEGMENTATION

    one_thread()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(SEGMENTATION["seg-b0"], classes=classes)
        norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
        for layer in norms:
            layer.momentum = None
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.2)
        x = torch.stack([torch.from_numpy(image(128, 160, seed=seed)).permute(2, 0, 1) for seed in range(4)])
        last = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)][-1]
        with torch.no_grad():
            model.train()(x / 64 - 2)
            for layer in norms:
                layer.running_mean.add_(0.1 * torch.randn_like(layer.running_mean))
                layer.running_var.mul_(torch.empty_like(layer.running_var).uniform_(0.7, 1.4)).add_(0.05)
                layer.momentum = 0.1
            # logits of an ordinary size, in which every class has its chance
            logits = model.eval()(x / 64 - 2)
            last.weight.mul_(3 / logits.std(dim=(0, 2, 3)).view(-1, 1, 1, 1))
            last.bias.sub_(last.bias)
            last.bias.sub_(model(x / 64 - 2).mean(dim=(0, 2, 3)))
        return model


def one_thread() -> None:
    """Small maps gain nothing from threads, and lose much where something else runs."""
    import torch

    torch.set_num_threads(1)


@functools.cache
def safetensors() -> Path:
    """The model as an own weights file."""
    from densevit.checkpoints.state import save_own

    path = folder() / "tiny.safetensors"
    save_own(network(), path, manifest())
    return path


@functools.cache
def stored():
    """-> the model with the stored weights, and its manifest."""
    from densevit.checkpoints.loading import load_network

    one_thread()
    return load_network(safetensors(), None)


@functools.cache
def graph() -> Path:
    """The model as a graph file."""
    from densevit.export import write_graph

    path = folder() / "tiny.onnx"
    write_graph(*stored(), path)
    return path


@functools.cache
def model():
    """The graph, loaded."""
    from densevit.predict.loading import load

    return load(graph(), precision="fp32", threads=1)


def graph_with(path: Path, manifest_text: str | None) -> Path:
    """A copy of the graph with another text as its manifest, or none."""
    import onnx

    model = onnx.load(graph())
    kept = [entry for entry in model.metadata_props if entry.key != "densevit"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    if manifest_text is not None:
        model.metadata_props.add(key="densevit", value=manifest_text)
    onnx.save(model, path)
    return path


def image(height: int, width: int, *, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 with structure of several sizes."""
    generator = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cell in (1, 4, 16, 64):
        coarse = generator.uniform(0, 255, (height // cell + 1, width // cell + 1, 3))
        total += coarse.repeat(cell, axis=0).repeat(cell, axis=1)[:height, :width]
    return (total / 4).astype(np.uint8)


def environment(**more: str) -> dict[str, str]:
    """For a process of its own: caches in the folder of this run, no network, no colors."""
    return {
        **os.environ,
        "DENSEVIT_CACHE": str(folder() / "cache"),
        "HF_HOME": str(folder() / "hub"),
        "HF_HUB_OFFLINE": "1",
        "NO_COLOR": "1",
        "COLUMNS": "200",
        "OMP_NUM_THREADS": "1",
        **more,
    }


def run(*arguments: object, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """`densevit ARGUMENTS` in a process of its own."""
    command = [sys.executable, "-m", "densevit", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, cwd=cwd, env=environment(**more)
    )


@functools.cache
def sr_safetensors() -> Path:
    """A super-resolution model that changes every image a little, as an own weights file."""
    import torch

    from densevit.checkpoints.state import save_own
    from densevit.core.manifest import super_resolution_manifest
    from densevit.models.build import create_model

    one_thread()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create_model("sr-x2-w0.75")
        torch.nn.init.normal_(model.head.output.conv.weight, std=0.02)
    path = folder() / "tiny-sr.safetensors"
    save_own(model, path, super_resolution_manifest("tiny-sr", "sr-x2-w0.75"))
    return path


@functools.cache
def sr_graph() -> Path:
    """The same as a graph file."""
    from densevit.checkpoints.loading import load_network
    from densevit.export import write_graph

    path = folder() / "tiny-sr.onnx"
    write_graph(*load_network(sr_safetensors(), None), path)
    return path
