"""Outlines of masks along the edges of pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from densevit.masks.types import MaskError


def trace_polygons(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Traces the outlines of all regions and holes of a mask.

    A pixel covers (x, y) to (x + 1, y + 1). Pixels that touch only at a corner are separate regions. For COCO's
    files, `ring.ravel().tolist()` turns a ring into [x, y, x, y, ...]; COCO's polygons have no holes, so store a
    mask with holes as run lengths.

    Args:
        mask: (H, W) bool.

    Returns:
        One (P, 2) float64 array of corners (x, y) per ring, ordered by their uppermost edges; the first corner is
        not repeated. On the screen, outer rings run clockwise (`signed_area` is positive) and holes the other way.

    Raises:
        MaskError: another array.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise MaskError(f"mask: got {mask.dtype} {mask.shape}; allowed: bool (H, W)")
    tails, heads, rows, below = _find_horizontal_edges(mask)
    after = _find_successors(tails, heads, rows, below, mask.shape[0] + 1)
    order, lengths = _split_cycles(after)
    corners = np.empty((len(order), 2, 2))
    corners[:, 0, 0], corners[:, 1, 0] = tails[order], heads[order]
    corners[:, :, 1] = rows[order, None]
    return np.split(corners.reshape(-1, 2), 2 * np.cumsum(lengths)[:-1]) if lengths else []


def signed_area(ring: NDArray[np.floating]) -> float:
    """Area of a (P, 2) ring of corners (x, y), y downwards: positive if it runs clockwise on the screen."""
    x, y = ring[:, 0], ring[:, 1]
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def _find_horizontal_edges(
    mask: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Straight horizontal edges between inside and outside: x of begin and end, y, whether the inside is below.

    Their direction keeps the inside on the right: from left to right where it is below.
    """
    padded = np.pad(mask, 1).view(np.int8)
    # 1: the mask begins below this line, -1: it ends here; first and last of each line are 0
    step = padded[1:] - padded[:-1]
    places = np.flatnonzero(step[:, 1:] != step[:, :-1])
    rows, columns = np.divmod(places, step.shape[1] - 1)
    starting = step[rows, columns + 1] != 0
    ending = step[rows, columns] != 0
    left, right = columns[starting], columns[ending]
    below = step[rows[starting], left + 1] > 0
    return np.where(below, left, right), np.where(below, right, left), rows[starting], below


def _find_successors(
    tails: NDArray[np.int64],
    heads: NDArray[np.int64],
    rows: NDArray[np.int64],
    below: NDArray[np.bool_],
    lines: int,
) -> NDArray[np.int64]:
    """For each horizontal edge, the next one around its region.

    Along a vertical line, the sorted corners are in pairs the ends of one vertical edge each. Where two regions
    touch at a corner, the upper one ends there before the lower one begins, which keeps them apart.
    """
    edges = len(rows)
    key = (np.concatenate([tails, heads]) * lines + np.tile(rows, 2)) * 2 + np.tile(below, 2)
    order = np.argsort(key)
    partner = np.empty_like(order)
    partner[order[::2]], partner[order[1::2]] = order[1::2], order[::2]
    return partner[edges:]


def _split_cycles(after: NDArray[np.int64]) -> tuple[list[int], list[int]]:
    """Splits a permutation into cycles: their elements, one cycle after the other, and their lengths."""
    following = after.tolist()
    seen = bytearray(len(following))
    order: list[int] = []
    lengths: list[int] = []
    for first in range(len(following)):
        if seen[first]:
            continue
        before, index = len(order), first
        while not seen[index]:
            seen[index] = 1
            order.append(index)
            index = following[index]
        lengths.append(len(order) - before)
    return order, lengths
