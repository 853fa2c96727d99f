"""Boxes (x0, y0, x1, y1): their overlaps, and which of them to keep."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.core.errors import UsageError

_BLOCK = 256
"""Number of boxes that are compared with all others at once."""

_MAX_OVERLAPS = 2**24
"""At most this number of overlaps is computed at once."""


def box_iou(first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Intersection over union of every box with every other.

    Args:
        first: (N, 4) boxes (x0, y0, x1, y1), x1 >= x0 and y1 >= y0.
        second: (M, 4).

    Returns:
        (N, M) of the boxes' type, 0..1; NaN where neither box has an area.

    Raises:
        ValueError: arrays of other shapes.
    """
    _check_boxes(first)
    _check_boxes(second)
    # one array per coordinate: arrays with the four coordinates of each pair side by side take twice the time
    x0, y0, x1, y1 = first.T[:, :, None]
    u0, v0, u1, v1 = second.T[:, None, :]
    common = np.maximum(np.minimum(x1, u1) - np.maximum(x0, u0), 0)
    common *= np.maximum(np.minimum(y1, v1) - np.maximum(y0, v0), 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        overlap: NDArray[np.floating[Any]] = common / ((x1 - x0) * (y1 - y0) + (u1 - u0) * (v1 - v0) - common)
    return overlap


def non_maximum_suppression(
    boxes: NDArray[np.floating[Any]], scores: NDArray[np.floating[Any]], threshold: float
) -> NDArray[np.int64]:
    """Keeps the best box, drops all boxes that overlap it by more than the threshold, and repeats with the rest.

    The result equals that of torchvision's `nms`; of equal scores the first counts as the better one.

    Args:
        boxes: (N, 4) boxes (x0, y0, x1, y1); overlaps are computed in their type.
        scores: (N,).
        threshold: of the intersection over union, 0..1.

    Returns:
        (K,) int64 indices of the boxes that are kept, best first.

    Raises:
        UsageError: a threshold outside 0..1.
        ValueError: arrays of other shapes or with values that are not finite.
    """
    _check_boxes(boxes)
    if scores.shape != (len(boxes),):
        raise ValueError(f"scores: got shape {scores.shape}; allowed: ({len(boxes)},), one per box")
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError("boxes and scores must be finite numbers")
    if not 0 <= threshold <= 1:
        raise UsageError(f"threshold: got {threshold}; allowed: 0..1")
    rest = np.argsort(-scores, kind="stable")
    kept = []
    while rest.size:
        block, rest = rest[:_BLOCK], rest[_BLOCK:]
        block = block[_suppress(box_iou(boxes[block], boxes[block]) > threshold)]
        kept.append(block)
        step = max(1, _MAX_OVERLAPS // len(block))
        parts = [rest[start : start + step] for start in range(0, len(rest), step)]
        free = [part[~(box_iou(boxes[block], boxes[part]) > threshold).any(0)] for part in parts]
        rest = np.concatenate([*free, rest[:0]])
    return np.concatenate(kept) if kept else np.zeros(0, np.int64)


def _suppress(overlaps: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N, N) whether two boxes overlap, best first -> (N,) whether a box is kept."""
    kept = np.ones(len(overlaps), bool)
    for index in range(len(overlaps)):
        if kept[index]:
            kept[index + 1 :] &= ~overlaps[index, index + 1 :]
    return kept


def _check_boxes(boxes: NDArray[np.floating[Any]]) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.issubdtype(boxes.dtype, np.floating):
        raise ValueError(f"boxes: got {boxes.dtype} {boxes.shape}; allowed: floating (N, 4)")
