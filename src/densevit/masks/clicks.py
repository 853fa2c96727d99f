"""What a person would click next: the simulation by which interactive segmentation is evaluated."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from densevit.masks.distance import squared_distances
from densevit.masks.rle import MaskError


@dataclass(frozen=True)
class Click:
    """A point (x, y), the column and row of a pixel; label 1 for "belongs to it", 0 for "does not"."""

    x: int
    y: int
    label: int


def next_click(
    truth: NDArray[np.bool_], prediction: NDArray[np.bool_], *, clicked: Collection[tuple[int, int]] = ()
) -> Click | None:
    """The point deepest within the error, as RITM's evaluation has it (Sofiiuk et al. 2021, section 4).

    Of the pixels that are missing and of those that are too much, the kind that has the point farthest from any
    pixel of another kind and from the border; of equal depths what is too much, and the first by rows.

    Args:
        truth: (H, W) bool.
        prediction: (H, W) bool; all False before the first click.
        clicked: points (x, y) that were clicked before and are not to be again.

    Returns:
        The click, or None where nothing is wrong (or all that is was clicked).

    Raises:
        MaskError: not such masks.
    """
    if truth.shape != prediction.shape or truth.ndim != 2 or {truth.dtype, prediction.dtype} != {np.dtype(bool)}:
        raise MaskError(
            f"truth and prediction are {truth.dtype} {truth.shape} and {prediction.dtype} {prediction.shape}; "
            "allowed: two bool (H, W) of one shape"
        )
    missing, x, y = _deepest(truth & ~prediction, clicked)
    too_much, other_x, other_y = _deepest(prediction & ~truth, clicked)
    if missing > too_much:
        return Click(x, y, 1)
    return Click(other_x, other_y, 0) if too_much else None


def _deepest(region: NDArray[np.bool_], clicked: Collection[tuple[int, int]]) -> tuple[int, int, int]:
    """Squared depth, x and y of the deepest pixel; depth 0 where there is none."""
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    if not rows.size:
        return 0, 0, 0
    top, left = int(rows[0]), int(columns[0])
    depth = squared_distances(region[top : rows[-1] + 1, left : columns[-1] + 1])
    for x, y in clicked:
        if 0 <= y - top < depth.shape[0] and 0 <= x - left < depth.shape[1]:
            depth[y - top, x - left] = 0
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(depth[row, column]), left + int(column), top + int(row)
