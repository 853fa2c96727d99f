"""From image array to labels against the plain eager pipeline, on the same weights, in paired runs.

Run: ``python benchmarks/segment.py --weights efficientvit_seg_b0_cityscapes.pt --image cityscapes_frame.png``.
The eager pipeline is the official evaluation in PyTorch fp32: normalize, network, bicubic upsampling, argmax.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from densevit import imaging
from densevit.checkpoints.loading import load_network
from densevit.predict.loading import load
from densevit.runtimes.openvino import supports
from densevit.zoo import find_model
from timing import milliseconds


class EagerPipeline:
    """What one writes in PyTorch without further thought, and in three stages to see where the time goes."""

    def __init__(self, model: str, weights: Path) -> None:
        self.network, manifest = load_network(weights, find_model(model).manifest())
        self.mean = torch.tensor(manifest.mean).view(1, 3, 1, 1)
        self.std = torch.tensor(manifest.std).view(1, 3, 1, 1)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> (H, W) labels."""
        x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        logits = self.network((x - self.mean) / self.std)
        full = F.interpolate(logits, size=image.shape[:2], mode="bicubic", align_corners=False)
        return full.argmax(dim=1)[0].numpy()


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="seg-b0-cityscapes")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=11)
    options = parser.parse_args()

    image = imaging.read(options.image)
    eager = EagerPipeline(options.model, options.weights)
    runs: dict[str, Callable[[], np.ndarray]] = {"eager fp32, bicubic": lambda: eager(image)}
    for precision in ("fp32", "bf16"):
        if not supports(precision):
            print(f"no {precision} column: this CPU does not compute in it")
            continue
        model = load(options.model, weights=options.weights, precision=precision, size="native")
        runs[f"densevit {precision}"] = lambda model=model: model.predict(image).labels
    labels = {name: run() for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.repeats):
        for name, run in runs.items():
            times[name].append(milliseconds(run))

    names = list(runs)
    height, width = image.shape[:2]
    print(
        f"{options.model}, {height}x{width}, torch {torch.__version__} with {torch.get_num_threads()} threads, ",
        end="",
    )
    print(f"{options.repeats} paired runs")
    print(f"{'':>22}{'min ms':>10}{'median ms':>11}{'times faster':>14}{'labels equal':>14}")
    base = times[names[0]]
    for name in names:
        ratio = statistics.median(b / t for b, t in zip(base, times[name], strict=True))
        equal = 100 * float((labels[name] == labels[names[0]]).mean())
        row = f"{min(times[name]):>10.1f}{statistics.median(times[name]):>11.1f}{ratio:>14.1f}{equal:>12.3f} %"
        print(f"{name:>22}{row}")


if __name__ == "__main__":
    main()
