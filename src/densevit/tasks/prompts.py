"""What a user points at becomes what the mask decoder reads: checked, in one frame for all models.

Segment Anything, arXiv 2304.02643, appendix A. The frame is the square of 1024 pixels whose upper left the image
fills after resizing its longer side to 1024, also for encoders that see 512 (reference of EfficientViT-SAM).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from densevit.imaging import Size
from densevit.tasks.base import Arrays
from densevit.variants.segment_anything import (
    BACKGROUND,
    BOTTOM_RIGHT,
    FOREGROUND,
    MASK_SIDE,
    NOT_A_POINT,
    TOP_LEFT,
)

MAX_POINTS = 256
"""Of one prompt."""
MAX_PROMPTS = 1_000_000
"""In one call."""


@dataclass(frozen=True)
class Prompts:
    """N prompts, each of P points, as the decoder takes them.

    Attributes:
        points: (N, P, 2) float32 (x, y) in pixels of the frame; a box is its two corners.
        labels: (N, P) float32, one of the labels above.
        masks: (N, 1, 256, 256) float32 logits of an earlier answer, or None.
        ambiguous: whether every prompt is a single point, which may mean a whole, a part or a part of that.
    """

    points: NDArray[np.float32]
    labels: NDArray[np.float32]
    masks: NDArray[np.float32] | None
    ambiguous: bool

    def __len__(self) -> int:
        """N."""
        return len(self.points)

    def tensors(self, first: int, count: int) -> dict[str, NDArray[np.float32]]:
        """Inputs of the decoder, beside the embedding, for some of the prompts."""
        rows = slice(first, first + count)
        tensors = {"points": self.points[rows], "labels": self.labels[rows]}
        return tensors if self.masks is None else {**tensors, "mask_prompts": self.masks[rows]}


def prompts_in_frame(
    image: Size,
    content: Size,
    *,
    points: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    boxes: ArrayLike | None = None,
    mask: ArrayLike | None = None,
) -> Prompts:
    """Checks prompts, and expresses them in the frame.

    Args:
        image: (height, width) that the prompts refer to.
        content: what it was resized to in the frame.
        points: (P, 2) points (x, y) of one prompt, or (N, P, 2) of N prompts, in image pixels: 0..width and
            0..height.
        labels: (P,) or (N, P): 1 for what belongs to the object, 0 for what does not, -1 for no point, whose
            place is ignored; all 1 when None.
        boxes: (4,) or (N, 4): left, top, right, bottom in image pixels. What reaches beyond the image is cut
            off.
        mask: (256, 256) or (N, 256, 256) logits of an earlier answer for the same image.

    Raises:
        ValueError: nothing given, shapes that do not fit together, what is no number, points outside the image,
            boxes without area or outside the image; says which.
    """
    given_points = None if points is None else _array("points", points)
    if labels is not None and given_points is None:
        raise ValueError("labels belong to points; give points too")
    places, kinds = _points(given_points, labels, image)
    corners = None if boxes is None else _boxes(_array("boxes", boxes), image)
    masks = None if mask is None else _masks(_array("mask", mask))
    counts = {
        name: len(part)
        for name, part in (("points", places), ("boxes", corners), ("mask", masks))
        if part is not None
    }
    if not counts:
        raise ValueError("a prompt needs points, boxes or a mask, got none of them")
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise ValueError(f"there must be as many of each for as many prompts, got {said}")
    (count,) = set(counts.values())
    if count > MAX_PROMPTS:
        raise ValueError(f"{count:,} prompts in one call, allowed are {MAX_PROMPTS:,}; give them in parts")
    tokens, token_labels = _joined(count, places, kinds, corners)
    scale = np.array([content.width / image.width, content.height / image.height])
    single = (
        places is not None
        and corners is None
        and masks is None
        and bool((kinds >= 0).sum(axis=1).max(initial=0) == 1)
    )
    return Prompts(
        (tokens * scale).astype(np.float32),
        token_labels.astype(np.float32),
        None if masks is None else masks.astype(np.float32),
        ambiguous=single,
    )


def _array(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers ({error})") from error
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite numbers, got NaN or infinity")
    return array


def _points(
    points: NDArray[np.float64] | None, labels: ArrayLike | None, image: Size
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """-> (N, P, 2) or None, and (N, P)."""
    if points is None:
        return None, np.empty((0, 0))
    if points.ndim == 2:
        points = points[None]
    if points.ndim != 3 or points.shape[2] != 2 or not 1 <= points.shape[1] <= MAX_POINTS:
        raise ValueError(
            f"points must be (P, 2) or (N, P, 2) with P of 1 to {MAX_POINTS}, each (x, y), got {points.shape}"
        )
    kinds = np.ones(points.shape[:2]) if labels is None else _array("labels", labels)
    kinds = kinds[None] if kinds.ndim == 1 else kinds
    if kinds.shape != points.shape[:2]:
        raise ValueError(f"labels must be {points.shape[:2]} for points of {points.shape}, got {kinds.shape}")
    if not np.isin(kinds, (NOT_A_POINT, BACKGROUND, FOREGROUND)).all():
        raise ValueError("labels must be 1 (belongs to the object), 0 (does not) or -1 (no point)")
    outside = ((points < 0) | (points > (image.width, image.height))).any(axis=2) & (kinds != NOT_A_POINT)
    if outside.any():
        row, column = (int(index) for index in np.argwhere(outside)[0])
        x, y = points[row, column]
        raise ValueError(
            f"point {column} of prompt {row}, ({x:g}, {y:g}), lies outside the image of {image.width} x "
            f"{image.height} (width x height)"
        )
    return points, kinds


def _boxes(boxes: NDArray[np.float64], image: Size) -> NDArray[np.float64]:
    """-> (N, 2, 2), both corners of each within the image."""
    if boxes.ndim == 1 and boxes.size == 4:
        boxes = boxes[None]
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be (4,) or (N, 4), each left, top, right, bottom, got {boxes.shape}")
    corners = boxes.reshape(-1, 2, 2)
    _refuse_boxes(corners, "is empty or inverted: left, top must be less than right, bottom")
    corners = corners.clip(0, (image.width, image.height))
    _refuse_boxes(corners, f"lies outside the image of {image.width} x {image.height} (width x height)", boxes)
    return corners


def _refuse_boxes(corners: NDArray[np.float64], problem: str, as_given: NDArray[np.float64] | None = None) -> None:
    wrong = (corners[:, 0] >= corners[:, 1]).any(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        given = corners.reshape(-1, 4) if as_given is None else as_given
        raise ValueError(f"box {row}, ({', '.join(f'{value:g}' for value in given[row])}), {problem}")


def _masks(masks: NDArray[np.float64]) -> NDArray[np.float64]:
    side = (MASK_SIDE, MASK_SIDE)
    if masks.shape == side:
        masks = masks[None]
    if masks.ndim != 3 or masks.shape[1:] != side:
        raise ValueError(
            f"mask must be an earlier answer's logits, {side} or (N, {MASK_SIDE}, {MASK_SIDE}), got {masks.shape}"
        )
    return masks[:, None]


def _joined(
    count: int,
    points: NDArray[np.float64] | None,
    labels: NDArray[np.float64],
    corners: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points, then the box; what has points alone gets a point that is none, as in training."""
    places = [] if points is None else [points]
    kinds = [] if points is None else [labels]
    if corners is not None:
        places.append(corners)
        kinds.append(np.tile([TOP_LEFT, BOTTOM_RIGHT], (count, 1)).astype(np.float64))
    elif points is not None:
        places.append(np.zeros((count, 1, 2)))
        kinds.append(np.full((count, 1), float(NOT_A_POINT)))
    if not places:
        return np.zeros((count, 0, 2)), np.zeros((count, 0))
    return np.concatenate(places, axis=1), np.concatenate(kinds, axis=1)


def select_masks(raw: Arrays, *, multimask: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The decoder's masks that are asked for: the three of an ambiguous prompt, or the one of a clear one.

    Args:
        raw: "masks" (N, 4, 256, 256) and "scores" (N, 4); the first is for clear prompts.
        multimask: three masks, or one.

    Returns:
        (N, M, 256, 256) logits and (N, M) predicted intersections over union, M being 3 or 1.
    """
    wanted = slice(1, None) if multimask else slice(0, 1)
    return raw["masks"][:, wanted], raw["scores"][:, wanted]
