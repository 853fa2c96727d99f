"""Boxes of a detector in COCO's results format, used as prompts, and the masks predicted for them."""

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
    """The N boxes that a detector found in one image.

    Attributes:
        boxes: (N, 4) float32 (x0, y0, x1, y1) in pixels.
        category_ids: (N,) int64.
        scores: (N,) float64 confidences.
    """

    boxes: NDArray[np.float32]
    category_ids: NDArray[np.int64]
    scores: NDArray[np.float64]


@dataclass(frozen=True)
class MaskDetection:
    """A detected object: its image, category, confidence and mask."""

    image_id: int
    category_id: int
    score: float
    mask: RLE


NO_DETECTIONS = BoxDetections(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float64))
"""The detections of an image in which nothing was found."""


def read_detections(path: Path) -> dict[int, BoxDetections]:
    """Reads a detector's boxes, by image id; images without detections are missing from the result.

    Args:
        path: JSON file with a list of {"image_id", "category_id", "bbox": [x, y, width, height], "score"}, as
            detectors write it for COCO; a "segmentation" is ignored.

    Raises:
        DataError: the file is invalid; the message says what is wrong and where.
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
