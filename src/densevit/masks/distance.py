"""The depth of each pixel inside a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_AT_ONCE = 2**17
"""Number of pixels that are processed at once: their data fits into a processor's cache."""


def squared_distances(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The exact squared distance, a whole number, from each pixel to the nearest pixel outside the mask.

    Everything around the mask counts as outside. First come the distances along columns. Then, along each row,
    the distance at x is the minimum of (x - u)^2 + (distance at u)^2 over all u. The u of the minimum grows with
    x, so it is searched at every 2^k-th x, then between those at every 2^(k - 1)-th, and so on. (The transform is
    that of Felzenszwalb and Huttenlocher 2012; divide and conquer replaces their lower envelope.)

    Args:
        mask: (H, W) bool.

    Returns:
        (H, W) int64, 0 outside.
    """
    height, width = mask.shape
    along_columns = np.zeros((height, width + 2), np.int64)
    along_columns[:, 1:-1] = _measure_columns(mask) ** 2
    step = max(1, _AT_ONCE // (width + 2))
    parts = [_minimize_rows(along_columns[start : start + step]) for start in range(0, height, step)]
    squared: NDArray[np.int64] = np.concatenate(parts)[:, 1:-1]
    return squared


def _measure_columns(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Distances to the nearest pixel outside the mask in the same column."""
    height = mask.shape[0]
    row = np.arange(1, height + 1)[:, None]
    above = np.maximum.accumulate(np.where(mask, 0, row), axis=0)
    below = np.minimum.accumulate(np.where(mask, height + 1, row)[::-1], axis=0)[::-1]
    nearest: NDArray[np.int64] = np.minimum(row - above, below - row)
    return nearest


def _minimize_rows(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """(h, w) -> min over u of (x - u)^2 + values[:, u]; the first and last column must be 0."""
    rows, width = values.shape
    place = np.zeros((rows, width), np.int64)
    place[:, -1] = width - 1
    step = 1 << (width - 1).bit_length()
    while step > 1:
        half = step // 2
        middle = np.arange(half, width - 1, step)
        low = place[:, middle - half]
        high = place[:, np.minimum(middle + half, width - 1)]
        place[:, middle] = _find_minima(values, middle, low, high)
        step = half
    return (np.arange(width) - place) ** 2 + np.take_along_axis(values, place, axis=1)


def _find_minima(
    values: NDArray[np.int64], middle: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(h, n) the first u in low..high with the smallest (middle - u)^2 + values[:, u]."""
    rows, width = values.shape
    sizes = (high - low + 1).ravel()
    first = np.cumsum(sizes) - sizes
    place = np.arange(sizes.sum()) + np.repeat(low.ravel() - first, sizes)
    offset = np.repeat((low - middle).ravel() - first, sizes) + np.arange(sizes.sum())
    line = np.repeat(np.repeat(np.arange(rows) * width, len(middle)), sizes)
    # the place is in the lower digits, so that one minimum gives both
    joint = (offset**2 + values.ravel()[line + place]) * width + place
    least: NDArray[np.int64] = np.minimum.reduceat(joint, first) % width
    return least.reshape(rows, len(middle))
