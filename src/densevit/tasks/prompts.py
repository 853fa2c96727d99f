"""Prompts of users become inputs of the mask decoder: checked, in one frame for all models.

Segment Anything, arXiv 2304.02643, appendix A. The frame is a square of 1024 pixels; the image, its longer side
resized to 1024, fills its upper left, also for encoders that see 512 (reference of EfficientViT-SAM).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from densevit.core.errors import InputError, UsageError
from densevit.core.messages import one_line
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
"""The most points in a prompt."""
MAX_PROMPTS = 1_000_000
"""The most prompts in a call."""


@dataclass(frozen=True)
class Prompts:
    """N prompts of P points each, as the decoder takes them.

    Attributes:
        points: (N, P, 2) float32 (x, y) in pixels of the frame; a box is two points, its corners.
        labels: (N, P) float32, one of the labels in `variants.segment_anything`.
        masks: (N, 1, 256, 256) float32 logits of an earlier result, or None.
        ambiguous: whether every prompt is a single point, which may mean a whole, a part or a subpart.
    """

    points: NDArray[np.float32]
    labels: NDArray[np.float32]
    masks: NDArray[np.float32] | None
    ambiguous: bool

    def __len__(self) -> int:
        """N."""
        return len(self.points)

    def tensors(self, first: int, count: int) -> dict[str, NDArray[np.float32]]:
        """Inputs of the decoder, without the embedding, for some of the prompts."""
        rows = slice(first, first + count)
        tensors = {"points": self.points[rows], "labels": self.labels[rows]}
        return tensors if self.masks is None else {**tensors, "mask_prompts": self.masks[rows]}


def convert_prompts(
    image: Size,
    content: Size,
    *,
    points: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    boxes: ArrayLike | None = None,
    mask: ArrayLike | None = None,
) -> Prompts:
    """Checks prompts and converts them to the frame.

    Args:
        image: (height, width) of the image that the prompts refer to.
        content: size of the image in the frame.
        points: (P, 2) points (x, y) of one prompt, or (N, P, 2) of N prompts, in image pixels: 0..width and
            0..height.
        labels: (P,) or (N, P): 1 for a foreground point, 0 for a background point, -1 for a padding point, whose
            place is ignored; all 1 when None.
        boxes: (4,) or (N, 4): left, top, right, bottom in image pixels. Parts beyond the image are cut off.
        mask: (256, 256) or (N, 256, 256) logits of an earlier result for the same image.

    Raises:
        UsageError: nothing given, shapes that do not fit together, values that are not finite numbers, boxes
            without area.
        InputError: points or boxes outside the image.
    """
    given_points = None if points is None else _read_array("points", points)
    if labels is not None and given_points is None:
        raise UsageError("labels belong to points; give points too")
    places, kinds = _read_points(given_points, labels, image)
    corners = None if boxes is None else _read_boxes(_read_array("boxes", boxes), image)
    masks = None if mask is None else _read_masks(_read_array("mask", mask))
    counts = {
        name: len(part)
        for name, part in (("points", places), ("boxes", corners), ("mask", masks))
        if part is not None
    }
    if not counts:
        raise UsageError("a prompt needs points, boxes or a mask; give at least one of them")
    if len(set(counts.values())) > 1:
        given = ", ".join(f"{count} for {name}" for name, count in counts.items())
        raise UsageError(f"the number of prompts must be the same for points, boxes and masks, got {given}")
    (count,) = set(counts.values())
    if count > MAX_PROMPTS:
        raise UsageError(f"{count:,} prompts in one call, allowed are {MAX_PROMPTS:,}; use several calls")
    tokens, token_labels = _join(count, places, kinds, corners)
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


def _read_array(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} must be an array of numbers ({one_line(error)})") from error
    if not np.isfinite(array).all():
        raise UsageError(f"{name} must be finite numbers, got NaN or infinity")
    return array


def _read_points(
    points: NDArray[np.float64] | None, labels: ArrayLike | None, image: Size
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """-> (N, P, 2) or None, and (N, P)."""
    if points is None:
        return None, np.empty((0, 0))
    if points.ndim == 2:
        points = points[None]
    if points.ndim != 3 or points.shape[2] != 2 or not 1 <= points.shape[1] <= MAX_POINTS:
        raise UsageError(
            f"points must be (P, 2) or (N, P, 2) with P of 1 to {MAX_POINTS}, each (x, y), got {points.shape}"
        )
    kinds = np.ones(points.shape[:2]) if labels is None else _read_array("labels", labels)
    kinds = kinds[None] if kinds.ndim == 1 else kinds
    if kinds.shape != points.shape[:2]:
        raise UsageError(f"labels must be {points.shape[:2]} for points of {points.shape}, got {kinds.shape}")
    if not np.isin(kinds, (NOT_A_POINT, BACKGROUND, FOREGROUND)).all():
        raise UsageError("labels must be 1 (foreground), 0 (background) or -1 (padding)")
    outside = ((points < 0) | (points > (image.width, image.height))).any(axis=2) & (kinds != NOT_A_POINT)
    if outside.any():
        row, column = (int(index) for index in np.argwhere(outside)[0])
        x, y = points[row, column]
        raise InputError(f"point {column} of prompt {row}, ({x:g}, {y:g}), lies outside the image of {image}")
    return points, kinds


def _read_boxes(boxes: NDArray[np.float64], image: Size) -> NDArray[np.float64]:
    """-> (N, 2, 2), both corners of each within the image."""
    if boxes.ndim == 1 and boxes.size == 4:
        boxes = boxes[None]
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise UsageError(f"boxes must be (4,) or (N, 4), each left, top, right, bottom, got {boxes.shape}")
    corners = boxes.reshape(-1, 2, 2)
    if (box := _describe_empty(corners, boxes)) is not None:
        raise UsageError(f"{box} is empty or inverted: left, top must be less than right, bottom")
    corners = corners.clip(0, (image.width, image.height))
    if (box := _describe_empty(corners, boxes)) is not None:
        raise InputError(f"{box} lies outside the image of {image}")
    return corners


def _describe_empty(corners: NDArray[np.float64], given: NDArray[np.float64]) -> str | None:
    """The first box without area, as the user gave it."""
    wrong = (corners[:, 0] >= corners[:, 1]).any(axis=1)
    if not wrong.any():
        return None
    row = int(np.argmax(wrong))
    return f"box {row}, ({', '.join(f'{value:g}' for value in given[row])}),"


def _read_masks(masks: NDArray[np.float64]) -> NDArray[np.float64]:
    side = (MASK_SIDE, MASK_SIDE)
    if masks.shape == side:
        masks = masks[None]
    if masks.ndim != 3 or masks.shape[1:] != side:
        raise UsageError(
            f"mask must be the logits of an earlier result, {side} or (N, {MASK_SIDE}, {MASK_SIDE}), "
            f"got {masks.shape}"
        )
    return masks[:, None]


def _join(
    count: int,
    points: NDArray[np.float64] | None,
    labels: NDArray[np.float64],
    corners: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points, then the box; points without a box get a padding point, as in training."""
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
    """The three masks of an ambiguous prompt, or the one of a clear prompt.

    Args:
        raw: "masks" (N, 4, 256, 256) and "scores" (N, 4); the first of the four is for clear prompts.
        multimask: whether to take three masks.

    Returns:
        (N, M, 256, 256) logits and (N, M) predicted intersections over union, M being 3 or 1.
    """
    wanted = slice(1, None) if multimask else slice(0, 1)
    return raw["masks"][:, wanted], raw["scores"][:, wanted]
