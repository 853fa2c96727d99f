"""Prompts answered here against Segment Anything's own code, same weights, same machine, one run.

    python benchmarks/promptable.py --weights mobile_sam.pt [--coco DIR] [--image FILE]

The reference is the package segment-anything-py (test extra) with MobileSAM's parameters and, for its encoder,
this project's TinyViT, which equals the published one; its predictor and generator run as they are.

* --boxes (100) boxes on one image, from the embedding to masks at its size: one call here, one per box there.
* everything: --points-per-side (32) squared points on an image of 1024x683, from the embedding to the final masks.
* --coco: mean IoU with the annotations' boxes, both.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from densevit import imaging
from densevit.data.coco import Coco
from densevit.evaluate import evaluate_promptable
from densevit.masks import RLE, encode, iou
from densevit.metrics import MaskScore
from densevit.predict.everything import EverythingOptions
from densevit.predict.loading import load
from densevit.predict.segment_anything import SegmentAnything
from reference_sam import generator, predictor_of, reference

IMAGE = Path(__file__).resolve().parent.parent / "examples" / "leuven_street.jpg"
SIZE = (1024, 683)  # width, height


def random_boxes(count: int, width: int, height: int) -> np.ndarray:
    """(count, 4) boxes of many sizes."""
    generator = np.random.default_rng(0)
    corner = generator.uniform((0, 0), (0.88 * width, 0.88 * height), (count, 2))
    far = np.minimum(corner + generator.uniform(20, 300, (count, 2)), (width, height))
    return np.concatenate([corner, far], axis=1)


def many_boxes(
    sam: SegmentAnything, predictor: Any, image: np.ndarray, count: int, rounds: int, multimask: bool
) -> None:
    """One call against one per box, in turns."""
    boxes = random_boxes(count, *SIZE)
    scene = sam.encode(image)
    predictor.set_image(image)

    def ours() -> list[np.ndarray]:
        return [mask.decode() for mask in sam.predict(scene, boxes=boxes, multimask=multimask)]

    def theirs() -> list[np.ndarray]:
        return [mask for box in boxes for mask in predictor.predict(box=box, multimask_output=multimask)[0]]

    ours()
    times = []
    for _ in range(rounds):
        found, here = timed(ours)
        expected, there = timed(theirs)
        times.append((here, there))
    worst = min(iou(encode(one), encode(other)) for one, other in zip(found, expected, strict=True) if other.any())
    here, there = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(there / here for here, there in times)
    kind = "three masks" if multimask else "one mask"
    print(
        f"{count} boxes, {kind} each: {here:.2f} s, reference {there:.2f} s, ratio {ratio:.2f}; IoU >= {worst:.4f}"
    )


def timed(run: Any) -> tuple[Any, float]:
    """What it gives, and the seconds it takes."""
    start = time.perf_counter()
    result = run()
    return result, time.perf_counter() - start


def everything(sam: SegmentAnything, predictor: Any, image: np.ndarray, points: int, rounds: int) -> None:
    """The whole image, from the embedding on."""
    scene = sam.encode(image)
    theirs = generator(predictor, image, points)
    options = EverythingOptions(points_per_side=points)
    ratios = []
    for number in range(rounds):
        expected, there = timed(lambda: theirs.generate(image))
        decoded: list[float] = []
        start = time.perf_counter()
        found = list(
            sam.everything(scene, options, progress=lambda *_, at=decoded: at.append(time.perf_counter()))
        )
        here = time.perf_counter() - start
        ratios.append(there / here)
        print(f"everything {number}: {here:.1f} s, {decoded[-1] - start:.1f} s of it the decoder")
        print(f"everything {number}: reference {there:.1f} s, ratio {ratios[-1]:.1f}")
    truths = [RLE.from_coco(mask["segmentation"]) for mask in expected]
    overlaps = np.array([[iou(mask.rle, truth) for truth in truths] for mask in found])
    if not overlaps.size:
        print(f"everything: {len(found)} masks, reference {len(truths)}")
        return
    ours_met, theirs_met = (100 * (overlaps.max(axis=axis) >= 0.99).mean() for axis in (1, 0))
    print(
        f"everything: {len(found)} masks, reference {len(truths)}; matched at IoU 0.99: {ours_met:.1f} % of ours, "
        f"{theirs_met:.1f} % of theirs; median ratio {statistics.median(ratios):.1f}"
    )


def coco(sam: SegmentAnything, predictor: Any, root: Path) -> None:
    """Mean IoU with the annotations' boxes."""
    data = Coco(root, "val")
    print("ours     ", rounded(evaluate_promptable(sam, data).metrics))
    score = MaskScore()
    for index in range(len(data)):
        sample = data[index]
        predictor.set_image(sample.image)
        overlaps = []
        for box, truth in zip(sample.boxes, sample.masks, strict=True):
            masks, scores, _ = predictor.predict(box=box.astype(np.float64), multimask_output=True)
            overlaps.append(iou(encode(masks[int(scores.argmax())]), truth))
        score.update(np.array(overlaps), sample.areas)
    print("reference", rounded(score.compute()))


def rounded(metrics: dict[str, Any]) -> dict[str, float]:
    """Two digits behind the point."""
    return {name: round(value, 2) for name, value in metrics.items()}


def main() -> None:
    """Measures what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="MobileSAM's file")
    parser.add_argument("--image", type=Path, default=IMAGE)
    parser.add_argument("--coco", type=Path, help="folder in COCO's layout; measures this alone")
    parser.add_argument("--boxes", type=int, default=100)
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runtime", default="openvino")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sam = load(
        "mobile-sam",
        weights=options.weights,
        runtime=options.runtime,
        precision="fp32",
        threads=options.threads,
    )
    predictor = predictor_of(reference(options.weights))
    if options.coco is not None:
        coco(sam, predictor, options.coco)
        return
    image = np.array(Image.fromarray(imaging.read(options.image)).resize(SIZE))
    for multimask in (True, False):
        many_boxes(sam, predictor, image, options.boxes, options.rounds, multimask)
    everything(sam, predictor, image, options.points_per_side, max(1, options.rounds // 3))


if __name__ == "__main__":
    main()
