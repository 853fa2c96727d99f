"""Full-resolution labels against PyTorch's interpolate + argmax on the same logits, in paired runs.

Run: ``python benchmarks/labels.py [--logits FILE.npy] [--size 1024 2048] [--repeats 9]``. The file holds
(classes, h, w) or (1, classes, h, w) float32; without one, synthetic street-like logits are used.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from densevit.labels import full_resolution_confidence, full_resolution_labels
from timing import milliseconds


def street_like(classes: int = 19, height: int = 128, width: int = 256, seed: int = 0) -> np.ndarray:
    """Smooth random fields, sharpened until about 5 % of the cells between four logits pixels disagree."""
    coarse = torch.randn((1, classes, height // 64 + 3, width // 64 + 3), generator=torch.manual_seed(seed))
    # A few classes cover most of a street: the others start lower.
    coarse -= 0.25 * torch.arange(classes)[:, None, None]
    smooth = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)[0]
    detail = torch.randn((classes, height, width), generator=torch.manual_seed(seed + 1))
    return (6 * smooth + 0.05 * detail).numpy()


def disagreeing(logits: np.ndarray) -> float:
    """Share of the cells whose four corners do not all have the same label."""
    label = logits.argmax(axis=0)
    corner = label[:-1, :-1]
    same = (corner == label[1:, :-1]) & (corner == label[:-1, 1:]) & (corner == label[1:, 1:])
    return 1.0 - float(same.mean())


def main() -> None:
    """Print the equality of the labels and one table of times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logits", type=Path, help="(classes, h, w) float32 .npy file")
    parser.add_argument("--size", type=int, nargs=2, help="height and width of the result; default 8 times h, w")
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()

    logits = street_like() if arguments.logits is None else np.load(arguments.logits).astype(np.float32)
    logits = np.ascontiguousarray(logits.reshape(logits.shape[-3:]))
    size = tuple(arguments.size) if arguments.size else (8 * logits.shape[1], 8 * logits.shape[2])
    tensor = torch.from_numpy(logits)[None]

    def torch_logits(mode: str) -> torch.Tensor:
        return F.interpolate(tensor, size=size, mode=mode, align_corners=False)

    rows: list[tuple[str, Callable[[], object], Callable[[], object]]] = []
    for align in ("bilinear", "bicubic"):
        rows.append(
            (
                f"labels, {align}",
                lambda align=align: full_resolution_labels(logits, size, align=align),
                lambda align=align: torch_logits(align).argmax(dim=1),
            )
        )
        equal = np.mean(
            full_resolution_labels(logits, size, align=align) == torch_logits(align)[0].argmax(0).numpy()
        )
        print(f"{align}: {100 * equal:.6f} % of the labels equal PyTorch's")
    channels_last = np.ascontiguousarray(logits.transpose(1, 2, 0)).transpose(2, 0, 1)
    rows.append(
        ("labels, bilinear, logits as NHWC", lambda: full_resolution_labels(channels_last, size), rows[0][2])
    )
    rows.append(
        (
            "confidence, bilinear",
            lambda: full_resolution_confidence(logits, size),
            lambda: torch_logits("bilinear").softmax(dim=1).amax(dim=1),
        )
    )

    print(
        f"{logits.shape} -> {size}, {100 * disagreeing(logits):.1f} % of the cells disagree, "
        f"torch {torch.__version__} with {torch.get_num_threads()} threads, {arguments.repeats} paired runs"
    )
    print(f"{'':34}{'densevit ms':>22}{'torch ms':>22}{'ratio':>8}")
    print(f"{'':34}{'min':>11}{'median':>11}{'min':>11}{'median':>11}{'median':>8}")
    for name, ours, reference in rows:
        ours(), reference()
        pairs = [(milliseconds(ours), milliseconds(reference)) for _ in range(arguments.repeats)]
        columns = list(zip(*pairs, strict=True))
        ratio = statistics.median(theirs / mine for mine, theirs in pairs)
        times = "".join(f"{min(c):11.2f}{statistics.median(c):11.2f}" for c in columns)
        print(f"{name:34}{times}{ratio:8.1f}")


if __name__ == "__main__":
    main()
