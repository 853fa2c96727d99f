"""Settle the cells that one class wins as a whole, and the bounds that prove it."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.labels.axes import Axis
from densevit.labels.types import Align, Bools, Floats, Labels

# The two outer cubic weights are negative; their sum is largest halfway between two taps (a = -0.75).
_MOST_NEGATIVE = 0.1875
# 64 ulp, relative to the logits: above the rounding of two interpolated classes, PyTorch's plus ours.
_ROUNDING = 2.0**-17
_SUBNORMAL = 1e-40  # the same for logits so small that their rounding is no longer relative
# Relative to the difference of two classes: float32 weights do not add up to exactly 1 (bicubic: to 1e-5),
# and a difference at an outer tap may be up to 75 times what `bound_mean` returns.
_WEIGHT_ROUNDING = 2.0**-10


def _find_two_best(grid: Floats, kind: type[np.unsignedinteger[Any]]) -> tuple[Floats, Floats, Labels]:
    """Largest logit, second largest logit and first class with the largest, each (h, w)."""
    best, second = grid[0].copy(), np.full(grid.shape[1:], -np.inf, np.float32)
    label = np.zeros(grid.shape[1:], kind)
    scratch, better = np.empty_like(best), np.empty(best.shape, bool)
    for index in range(1, len(grid)):
        np.greater(grid[index], best, out=better)
        np.putmask(label, better, kind(index))
        np.maximum(second, np.minimum(grid[index], best, out=scratch), out=second)
        np.maximum(best, grid[index], out=best)
    return best, second, label


def settle_cells(
    grid: Floats, rows: Axis, columns: Axis, align: Align, kind: type[np.unsignedinteger[Any]]
) -> tuple[Labels, Bools]:
    """Label of every cell, and whether it holds for every result pixel in the cell; both (cells, cells)."""
    best, second, label = _find_two_best(grid, kind)
    margin = compute_margin(np.abs(best).max(keepdims=True))
    cell_label, highest_label = _find_extremes(label, rows, columns)
    settled = cell_label == highest_label
    if align == "bilinear":
        # Where the same class leads at all taps, the runner-up bounds every other class there. A lead that is lost
        # in its own rounding is far below the margin.
        settled &= _find_extremes(best - second, rows, columns)[0] > margin
        return cell_label, settled
    # Negative weights: each class needs its own bounds on how far the best class leads it.
    for index, values in enumerate(grid):
        lead = best - values
        lines = bound_mean([(line, line) for line in (lead.take(taps, axis=0) for taps in rows.taps)])
        lowest, highest = bound_mean([(lines[0].take(taps, 1), lines[1].take(taps, 1)) for taps in columns.taps])
        settled &= is_beaten(lowest, highest, margin) | (cell_label == index)
    return cell_label, settled


def _find_extremes(values: NDArray[Any], rows: Axis, columns: Axis) -> tuple[NDArray[Any], NDArray[Any]]:
    """Smallest and largest of the (h, w) values at the taps of every cell."""
    lines = [values.take(taps, axis=0) for taps in rows.taps]
    low, high = reduce(np.minimum, lines), reduce(np.maximum, lines)
    return (
        reduce(np.minimum, (low.take(taps, axis=1) for taps in columns.taps)),
        reduce(np.maximum, (high.take(taps, axis=1) for taps in columns.taps)),
    )


def bound_mean(taps: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Bounds of a weighted mean of two or four taps, along one axis, from the bounds of each tap.

    The inner two weights are at least 0. So the mean is between the inner two values, plus at most
    ``_MOST_NEGATIVE`` of how far an outer value lies on the other side.
    """
    inner = taps[len(taps) // 2 - 1 : len(taps) // 2 + 1]
    low, high = np.minimum(inner[0][0], inner[1][0]), np.maximum(inner[0][1], inner[1][1])
    if len(taps) == 2:
        return low, high
    outer_low, outer_high = np.minimum(taps[0][0], taps[3][0]), np.maximum(taps[0][1], taps[3][1])
    share = np.float32(_MOST_NEGATIVE)
    return low - share * np.maximum(outer_high - low, 0), high + share * np.maximum(high - outer_low, 0)


def compute_margin(magnitude: Floats) -> Floats:
    """Difference that rounding cannot undo between interpolated logits up to this magnitude."""
    margin: Floats = np.float32(_ROUNDING) * magnitude + np.float32(_SUBNORMAL)
    return margin


def is_beaten(lowest: Floats, highest: Floats, margin: Floats) -> Bools:
    """Where a class surely loses to one that leads by ``lowest`` to ``highest`` in a whole cell."""
    beaten: Bools = lowest - np.float32(_WEIGHT_ROUNDING) * highest > margin
    return beaten
