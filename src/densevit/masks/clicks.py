"""Simulated clicks, with which interactive segmentation is evaluated."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from densevit.masks.distance import squared_distances
from densevit.masks.types import MaskError


@dataclass(frozen=True)
class Click:
    """A point (x, y), the column and row of a pixel; label 1 for a foreground point, 0 for a background point."""

    x: int
    y: int
    label: int


def choose_click(
    truth: NDArray[np.bool_], prediction: NDArray[np.bool_], *, clicked: Collection[tuple[int, int]] = ()
) -> Click | None:
    """The point deepest within the error, as in RITM's evaluation (Sofiiuk et al. 2021, section 4).

    The depth of a missing or superfluous pixel is its distance to the nearest pixel of another kind or to the
    border. The deepest pixel is clicked; of equal depths a superfluous one, then the first one row by row.

    Args:
        truth: (H, W) bool.
        prediction: (H, W) bool; all False before the first click.
        clicked: points (x, y) that were clicked before and must not be clicked again.

    Returns:
        The click, or None where no pixel is wrong, or every wrong pixel was clicked.

    Raises:
        MaskError: other arrays.
    """
    if truth.shape != prediction.shape or truth.ndim != 2 or {truth.dtype, prediction.dtype} != {np.dtype(bool)}:
        raise MaskError(
            f"truth and prediction are {truth.dtype} {truth.shape} and {prediction.dtype} {prediction.shape}; "
            "allowed: two bool (H, W) of the same shape"
        )
    missing, x, y = _find_deepest(truth & ~prediction, clicked)
    superfluous, other_x, other_y = _find_deepest(prediction & ~truth, clicked)
    if missing > superfluous:
        return Click(x, y, 1)
    return Click(other_x, other_y, 0) if superfluous else None


def _find_deepest(region: NDArray[np.bool_], clicked: Collection[tuple[int, int]]) -> tuple[int, int, int]:
    """Squared depth, x and y of the deepest pixel; depth 0 in an empty region."""
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
