"""A detector's boxes in the form of COCO's results, as prompts; and the masks that are made of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from densevit.data.base import DataError
from densevit.data.json_files import Fields, read_json
from densevit.masks import RLE

_MOST_BYTES = 2 * 2**30


@dataclass(frozen=True)
class BoxDetections:
    """What a detector found in one image, N of it.

    Attributes:
        boxes: (N, 4) float32 (x0, y0, x1, y1) in pixels.
        category_ids: (N,) int64.
        scores: (N,) float64, larger is surer.
    """

    boxes: NDArray[np.float32]
    category_ids: NDArray[np.int64]
    scores: NDArray[np.float64]


@dataclass(frozen=True)
class MaskDetection:
    """One object that was found: in which image, of what category, how surely, and its mask."""

    image_id: int
    category_id: int
    score: float
    mask: RLE


NO_DETECTIONS = BoxDetections(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float64))
"""Of an image in which nothing was found."""


def read_detections(path: Path) -> dict[int, BoxDetections]:
    """The boxes of a detector by the number of the image; one in which nothing was found is not among them.

    Args:
        path: JSON, a list of {"image_id", "category_id", "bbox": [x, y, width, height], "score"}, as detectors
            write for COCO; a "segmentation" beside them is not looked at.

    Raises:
        DataError: not such a file; says what is wrong where.
    """
    value = read_json(path, max_bytes=_MOST_BYTES)
    if not isinstance(value, list):
        raise DataError(f"{path}: must be a list of detections, each with image_id, category_id, bbox and score")
    found: dict[int, list[tuple[tuple[float, float, float, float], int, float]]] = {}
    for index, item in enumerate(value):
        entry = Fields(item, f"{path}: [{index}]")
        detection = entry.box("bbox"), entry.whole("category_id"), entry.number("score")
        found.setdefault(entry.whole("image_id"), []).append(detection)
    return {
        image_id: BoxDetections(
            boxes=np.array([box for box, _, _ in detections], np.float32),
            category_ids=np.array([category for _, category, _ in detections], np.int64),
            scores=np.array([score for _, _, score in detections], np.float64),
        )
        for image_id, detections in found.items()
    }
