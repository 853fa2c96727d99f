"""A promptable model of known answers: blobs at fixed places, three masks for each point or box.

It replaces the network on both sides: as a runtime of densevit, and as the modules of Segment Anything.
"""

import numpy as np

from densevit.predict.segment_anything import SegmentAnything
from densevit.tasks.promptable import make_promptable_task
from densevit.zoo import find_model

_GENERATOR = np.random.default_rng(5)
CENTERS = _GENERATOR.uniform(60, 960, (14, 2))
RADII = _GENERATOR.uniform(25, 180, (14, 3))
SHARPNESS = _GENERATOR.uniform(0.3, 8, (14, 3))
SCORES = _GENERATOR.uniform(0.82, 1.0, (14, 3))
CELLS = (np.arange(256) + 0.5) * 4


def answer_points(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, P, 2) points in the frame -> logits (N, 4, 256, 256) and scores (N, 4), by the first point alone."""
    first = points[:, 0].astype(np.float64)
    logits = np.empty((len(first), 4, 256, 256), np.float32)
    scores = np.empty((len(first), 4), np.float32)
    for row, (x, y) in enumerate(first):
        blob = int(np.argmin(np.hypot(CENTERS[:, 0] - x, CENTERS[:, 1] - y)))
        center = CENTERS[blob] + 0.02 * (np.array([x, y]) - CENTERS[blob])
        distance = np.hypot(CELLS[None, :] - center[0], CELLS[:, None] - center[1])
        off = np.hypot(*(CENTERS[blob] - (x, y)))
        for mask in range(4):
            kind = (mask + 2) % 3
            logits[row, mask] = SHARPNESS[blob, kind] / 8 * (RADII[blob, kind] - distance)
            scores[row, mask] = SCORES[blob, kind] - off / 8000
    return logits, scores


class Blobs:
    """A runtime that answers with `answer_points` and counts its calls."""

    name, precision, device = "blobs", "fp32", "cpu"

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def run(self, function, tensors):
        if function == "encode_image":
            batch = len(tensors["image"])
            self.calls.append((function, batch))
            return {"embedding": np.zeros((batch, 256, 64, 64), np.float32)}
        task_for_blobs.signatures[function].check_inputs(tensors)
        self.calls.append((function, len(tensors["points"])))
        points = tensors["points"]
        if not points.shape[1]:
            points = np.full((len(points), 1, 2), 512, np.float32)
        masks, scores = answer_points(points)
        if function == "propose_masks":
            kept = scores[:, 1:].max(axis=1) > tensors["least_score"]
            kept[0] = True
            masks = masks[kept]
        return {"masks": masks, "scores": scores}


task_for_blobs = make_promptable_task(find_model("sam-xl0").manifest())


def model() -> SegmentAnything:
    manifest = find_model("sam-xl0").manifest()
    return SegmentAnything(make_promptable_task(manifest), Blobs(), manifest)
