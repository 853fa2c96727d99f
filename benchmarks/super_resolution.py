r"""Super-resolution x2 against the peers of the paper's Table 5, on one engine, in interleaved runs.

    python benchmarks/super_resolution.py --peers ../shared/weights \
        --swinir ../shared/reference/torchvision_shim.py

Every network becomes an ONNX file of one input size and runs in OpenVINO on the CPU. SwinIR (the light one of
Table 5) comes from spandrel with random weights, which does not change its speed; spandrel needs torchvision, so
the file that lets it import beside the CPU build of PyTorch is given. `--data` adds PSNR and SSIM on Y.
"""

from __future__ import annotations

import argparse
import runpy
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from torch import nn

from densevit import imaging
from densevit.checkpoints.loading import load_network
from densevit.metrics import SuperResolutionScore
from densevit.models.deploy import for_export
from densevit.runtimes.openvino import supports
from densevit.weights import ASSETS
from peers import load_peer
from timing import milliseconds

SCALE = 2
_HINTS = {"fp32": ov.Type.f32, "bf16": ov.Type.bf16}


def _swinir(shim: Path) -> nn.Module:
    runpy.run_path(str(shim))
    from spandrel.architectures.SwinIR import SwinIR

    return SwinIR(
        upscale=SCALE,
        img_size=64,
        window_size=8,
        img_range=1.0,
        depths=[6, 6, 6, 6],
        embed_dim=60,
        num_heads=[6, 6, 6, 6],
        mlp_ratio=2,
        upsampler="pixelshuffledirect",
    ).eval()


def _networks(options: argparse.Namespace) -> dict[str, nn.Module]:
    networks: dict[str, nn.Module] = {}
    for path in [*sorted(ASSETS.glob("sr-x2*.safetensors")), *options.ours]:
        networks[path.stem] = for_export(load_network(path, None)[0])
    if options.peers:
        networks["VapSR"] = load_peer(options.peers / "vapsr_x2.pth")
        networks["BSRN"] = load_peer(options.peers / "bsrn_x2.pth")
    if options.swinir:
        networks["SwinIR light"] = _swinir(options.swinir)
    return networks


class Graphs:
    """A network as one graph per input size, exported once for all precisions.

    Args:
        network: (1, 3, H, W) in 0..1 -> (1, 3, 2 H, 2 W).
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.models: dict[tuple[int, ...], ov.Model] = {}

    def find(self, shape: tuple[int, ...]) -> ov.Model:
        """The graph for inputs of a shape."""
        if shape not in self.models:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "network.onnx"
                torch.onnx.export(self.network, (torch.zeros(shape),), str(path), dynamo=True, verbose=False)
                self.models[shape] = ov.Core().read_model(path)
        return self.models[shape]


class Engine:
    """A network in OpenVINO, one compiled graph per input size.

    Args:
        graphs: of the network.
        precision: fp32 or bf16.
        threads: CPU threads.
    """

    def __init__(self, graphs: Graphs, precision: str, threads: int) -> None:
        self.graphs = graphs
        self.options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
        }
        self.compiled: dict[tuple[int, ...], ov.CompiledModel] = {}

    def __call__(self, tensor: np.ndarray) -> np.ndarray:
        """(1, 3, H, W) float32 -> (1, 3, 2 H, 2 W)."""
        if tensor.shape not in self.compiled:
            model = self.graphs.find(tensor.shape)
            self.compiled[tensor.shape] = ov.Core().compile_model(model, "CPU", self.options)
        return np.array(self.compiled[tensor.shape]({0: tensor})[0])


def _score(run: Callable[[np.ndarray], np.ndarray], folder: Path) -> dict[str, float]:
    score = SuperResolutionScore(SCALE)
    for source in imaging.find_images([str(folder)])[0]:
        high = imaging.read(source.path)
        height, width = (side - side % SCALE for side in high.shape[:2])
        high = high[:height, :width]
        low = imaging.resize(high, imaging.Size(height // SCALE, width // SCALE), "matlab_bicubic")
        # all networks see the same padding, to a multiple of 16
        padding = ((0, -low.shape[0] % 16), (0, -low.shape[1] % 16), (0, 0))
        tensor = np.pad(low, padding, mode="edge").transpose(2, 0, 1)[None].astype(np.float32) / 255
        enlarged = run(tensor)[0].transpose(1, 2, 0)[:height, :width]
        score.update(np.rint(enlarged.clip(0, 1) * 255).astype(np.uint8), high)
    return score.compute()


def main() -> None:
    """Measure and print one table per precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, help="folder of vapsr_x2.pth and bsrn_x2.pth")
    parser.add_argument("--swinir", type=Path, help="the file that makes torchvision importable")
    parser.add_argument("--ours", type=Path, nargs="*", default=[], help="further own weights files")
    parser.add_argument("--size", type=int, nargs=2, default=(160, 240), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, help="folder of high-resolution images")
    options = parser.parse_args()

    networks = _networks(options)
    graphs = {name: Graphs(network) for name, network in networks.items()}
    tensor = np.random.default_rng(0).random((1, 3, *options.size), dtype=np.float32)
    for precision in _HINTS:
        if not supports(precision):
            print(f"no {precision} table: this CPU does not compute in it")
            continue
        engines = {name: Engine(graphs[name], precision, options.threads) for name in networks}
        times: dict[str, list[float]] = {name: [] for name in engines}
        for engine in engines.values():
            engine(tensor)
        for _ in range(options.repeats):
            for name, engine in engines.items():
                times[name].append(milliseconds(lambda engine=engine: engine(tensor)))
        height, width = options.size
        print(f"OpenVINO {precision}, {height}x{width}, {options.threads} threads, {options.repeats} rounds")
        columns = f"{'params k':>10}{'min ms':>9}{'median ms':>11}{'times ours':>12}{'PSNR-Y':>9}{'SSIM-Y':>9}"
        print(f"{'':>14}{columns}")
        first = next(iter(engines))
        for name, engine in engines.items():
            ratio = statistics.median(t / own for t, own in zip(times[name], times[first], strict=True))
            params = sum(parameter.numel() for parameter in networks[name].parameters()) / 1e3
            middle = statistics.median(times[name])
            row = f"{name:>14}{params:>10.0f}{min(times[name]):>9.1f}{middle:>11.1f}{ratio:>12.2f}"
            if options.data and name != "SwinIR light":
                scores = _score(engine, options.data)
                row += f"{scores['psnr_y']:>9.2f}{scores['ssim_y']:>9.4f}"
            print(row, flush=True)


if __name__ == "__main__":
    main()
