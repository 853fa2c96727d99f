"""Full-resolution labels from low-resolution logits, without the (classes, height, width) array.

Between four logits pixels the upsampled logits are their weighted mean: bilinear interpolation is a convex
combination. A class that clearly leads at all four therefore wins at every result pixel of the *cell* between
them, and only the cells whose corners disagree (about 5 % of a street scene at stride 8) need any arithmetic.
Bicubic weights may be negative, so there a class has to lead by enough over the 4 x 4 neighbourhood.

"Clearly" means by more than float32 rounding can undo. Pixels that are closer than that are computed with
exactly the operations of PyTorch's CPU kernel, so every label equals ``torch.nn.functional.interpolate``
(contiguous NCHW float32, ``align_corners=False``) followed by ``argmax``.

Names: a *tap* is a logits pixel that an interpolated value reads, a *cell* is the set of result pixels that
read the same taps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Align = Literal["bilinear", "bicubic"]
Floats = NDArray[np.float32]
Integers = NDArray[np.intp]
Bools = NDArray[np.bool_]
Labels = NDArray[Any]

_TAPS: dict[Align, int] = {"bilinear": 2, "bicubic": 4}
# The two outer cubic weights are negative; their sum is largest halfway between two taps (a = -0.75).
_MOST_NEGATIVE = 0.1875
# 64 ulp, relative to the logits: above the rounding of two interpolated classes, PyTorch's plus ours.
_ROUNDING = 2.0**-17
_SUBNORMAL = 1e-40  # the same for logits so small that their rounding is no longer relative
# Relative to the difference of two classes: float32 weights do not add up to exactly 1 (bicubic: to 1e-5),
# and a difference at an outer tap may be up to 75 times what _bounds() returns.
_WEIGHT_ROUNDING = 2.0**-10
# Work at a time: small enough for the processor's cache, and a bound on the memory.
_PIXELS_AT_A_TIME = 1 << 17
_CORNERS_AT_A_TIME = 1 << 20
_CONFIDENCES_AT_A_TIME = 1 << 18


def full_resolution_labels(
    logits: NDArray[np.floating[Any]],
    size: tuple[int, int],
    *,
    scale: tuple[float, float] | None = None,
    align: Align = "bilinear",
) -> Labels:
    """Class of every result pixel, equal to PyTorch's interpolation followed by argmax.

    Args:
        logits: (classes, h, w), finite, float32 (other float types are converted), any strides.
        size: (height, width) of the result in pixels, larger or smaller than (h, w).
        scale: (vertical, horizontal) logits pixels per result pixel, default (h / height, w / width). It
            differs where the logits also cover a padding at the right or bottom: the result is then PyTorch's
            for ``scale_factor = 1 / scale``, cropped to ``size`` (save that PyTorch ignores a scale which
            rounds to h or w pixels). Past the last logits pixel the edge is repeated.
        align: "bilinear", or "bicubic" (a = -0.75).

    Returns:
        (height, width) uint8, or uint16 above 256 classes. The first of exactly tied classes wins.

    Raises:
        ValueError: for logits that are not a non-empty (classes, h, w) array of finite floats, more than
            65536 classes, and a size, scale or align out of range.
    """
    grid = _checked_logits(logits)
    rows, columns = _axes(grid, size, scale, align)
    kind = np.uint8 if len(grid) <= 256 else np.uint16
    if len(grid) == 1:
        return np.zeros(size, kind)
    # Logits near the end of float32 may overflow in a difference; what is not comparable counts as unsettled.
    with np.errstate(over="ignore", invalid="ignore"):
        cell_labels, settled = _settle(grid, rows, columns, align, kind)
        labels = cell_labels.take(columns.cell_of_pixel, axis=1).take(rows.cell_of_pixel, axis=0)
        cells = np.stack(np.nonzero(~settled))
        pixels_per_cell = int(rows.count.max() * columns.count.max())
        values_per_cell = len(grid) * _TAPS[align] ** 2
        step = max(1, min(_PIXELS_AT_A_TIME // pixels_per_cell, _CORNERS_AT_A_TIME // values_per_cell))
        product_weights = align == "bilinear" and _torch_multiplies_weights_first(grid.shape, size, scale)
        for start in range(0, cells.shape[1], step):
            _decide(labels, grid, rows, columns, cells[:, start : start + step], product_weights)
    return labels


def full_resolution_confidence(
    logits: NDArray[np.floating[Any]],
    size: tuple[int, int],
    *,
    scale: tuple[float, float] | None = None,
    align: Align = "bilinear",
) -> Floats:
    """Softmax probability of the winning class at every result pixel, computed in strips of rows.

    Takes and raises what :func:`full_resolution_labels` does. Agrees with softmax over PyTorch's
    interpolation up to float32 rounding.

    Returns:
        (height, width) float32, from 1 / classes to 1.
    """
    grid = _checked_logits(logits)
    rows, columns = _axes(grid, size, scale, align)
    height, width = size
    confidence = np.empty(size, np.float32)
    row_taps, column_taps = rows.taps[:, rows.cell_of_pixel], columns.taps[:, columns.cell_of_pixel]
    step = max(1, _CONFIDENCES_AT_A_TIME // (len(grid) * max(width, grid.shape[2])))
    for top in range(0, height, step):
        strip = slice(top, min(top + step, height))
        pairs = zip(row_taps[:, strip], rows.weights[:, strip, None], strict=True)
        lines = sum(grid.take(taps, axis=1) * weights for taps, weights in pairs)
        values = sum(
            lines.take(taps, axis=2) * weights for taps, weights in zip(column_taps, columns.weights, strict=True)
        )
        # The winner's probability is exp(0) / sum(exp(value - winner)).
        values -= values.max(axis=0)
        np.exp(values, out=values)
        confidence[strip] = 1.0 / values.sum(axis=0)
    return confidence


@dataclass(frozen=True)
class _Axis:
    """One axis of the result: which logits pixels its pixels read, and with which weights."""

    taps: Integers  # (taps, cells) index into the logits
    start: Integers  # (cells,) first result pixel
    count: Integers  # (cells,) result pixels
    cell_of_pixel: Integers  # (pixels,)
    weights: Floats  # (taps, pixels)


def _axis(logits_size: int, size: int, scale: float, align: Align) -> _Axis:
    """Source positions and weights in PyTorch's float32 arithmetic."""
    centres = np.arange(size, dtype=np.float32) + np.float32(0.5)
    position = _fused(centres, np.float32(scale), np.float32(-0.5))
    cell = np.clip(np.floor(position), -1, logits_size - 1).astype(np.intp)
    if align == "bilinear":
        position = np.maximum(position, np.float32(0))
    first = np.minimum(np.floor(position), logits_size - 1)
    fraction = np.clip(position - first.astype(np.float32), 0, 1).astype(np.float32)
    weights = (_linear_weights if align == "bilinear" else _cubic_weights)(fraction)
    used, start, cell_of_pixel, count = np.unique(cell, return_index=True, return_inverse=True, return_counts=True)
    offsets = np.arange(_TAPS[align])[:, None] - (_TAPS[align] // 2 - 1)
    taps = np.clip(used + offsets, 0, logits_size - 1)
    return _Axis(taps, start, count, cell_of_pixel, weights)


def _axes(
    grid: Floats, size: tuple[int, int], scale: tuple[float, float] | None, align: Align
) -> tuple[_Axis, _Axis]:
    if align not in _TAPS:
        raise ValueError(f"align is {align!r}; allowed are {', '.join(map(repr, _TAPS))}")
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size is {size}; allowed is (height, width), both at least 1 pixel")
    if scale is None:
        scale = (grid.shape[1] / size[0], grid.shape[2] / size[1])
    if len(scale) != 2 or not all(math.isfinite(factor) and factor > 0 for factor in scale):
        raise ValueError(f"scale is {scale}; allowed is (vertical, horizontal), both finite and above 0")
    return _axis(grid.shape[1], size[0], scale[0], align), _axis(grid.shape[2], size[1], scale[1], align)


def _checked_logits(logits: NDArray[np.floating[Any]]) -> Floats:
    if logits.ndim != 3 or 0 in logits.shape:
        raise ValueError(f"logits have shape {logits.shape}; allowed is (classes, h, w), none of them 0")
    if len(logits) > 65536:
        raise ValueError(f"logits have {len(logits)} classes; allowed are at most 65536")
    if not np.issubdtype(logits.dtype, np.floating):
        raise ValueError(f"logits are {logits.dtype}; allowed are floating-point numbers")
    with np.errstate(over="ignore"):
        grid = np.ascontiguousarray(logits, dtype=np.float32)
    # NaN and infinity of either sign show in the extremes, and no temporary array is needed.
    if not (np.isfinite(grid.min()) and np.isfinite(grid.max())):
        raise ValueError("logits contain NaN or infinity (as float32); allowed are finite numbers")
    return grid


def _two_best(grid: Floats, kind: type[np.unsignedinteger[Any]]) -> tuple[Floats, Floats, Labels]:
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


def _settle(
    grid: Floats, rows: _Axis, columns: _Axis, align: Align, kind: type[np.unsignedinteger[Any]]
) -> tuple[Labels, Bools]:
    """Label of every cell, and whether it holds for every result pixel in the cell; both (cells, cells)."""
    best, second, label = _two_best(grid, kind)
    margin = _margin(np.abs(best).max(keepdims=True))
    cell_label, highest_label = _reached(label, rows, columns)
    settled = cell_label == highest_label
    if align == "bilinear":
        # The runner-up bounds every other class. A lead lost in its own rounding is far below the margin.
        settled &= _reached(best - second, rows, columns)[0] > margin
        return cell_label, settled
    for index, values in enumerate(grid):
        lead = best - values
        lines = _bounds([(line, line) for line in (lead.take(taps, axis=0) for taps in rows.taps)])
        lowest, highest = _bounds([(lines[0].take(taps, 1), lines[1].take(taps, 1)) for taps in columns.taps])
        settled &= _beaten(lowest, highest, margin) | (cell_label == index)
    return cell_label, settled


def _reached(values: NDArray[Any], rows: _Axis, columns: _Axis) -> tuple[NDArray[Any], NDArray[Any]]:
    """Smallest and largest of the (h, w) values at the taps of every cell."""
    lines = [values.take(taps, axis=0) for taps in rows.taps]
    low, high = reduce(np.minimum, lines), reduce(np.maximum, lines)
    return (
        reduce(np.minimum, (low.take(taps, axis=1) for taps in columns.taps)),
        reduce(np.maximum, (high.take(taps, axis=1) for taps in columns.taps)),
    )


def _bounds(taps: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
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


def _margin(magnitude: Floats) -> Floats:
    """Difference that rounding cannot undo between interpolated logits up to this magnitude."""
    margin: Floats = np.float32(_ROUNDING) * magnitude + np.float32(_SUBNORMAL)
    return margin


def _beaten(lowest: Floats, highest: Floats, margin: Floats) -> Bools:
    """Where a class surely loses to one that leads by ``lowest`` to ``highest`` in a whole cell."""
    beaten: Bools = lowest - np.float32(_WEIGHT_ROUNDING) * highest > margin
    return beaten


def _decide(
    labels: Labels,
    grid: Floats,
    rows: _Axis,
    columns: _Axis,
    cells: Integers,
    product_weights: bool,
) -> None:
    """Compute the result pixels of some cells, (2, cells) indices, and write them into ``labels``."""
    width, logits_per_class = grid.shape[2], grid[0].size
    places = (rows.taps[:, cells[0]] * width)[:, None] + columns.taps[:, cells[1]]  # (taps, taps, cells)
    corners = grid.reshape(len(grid), -1).take(places, axis=1)
    possible, magnitude = _possible(corners, copies_tie=not product_weights)
    count = possible.sum(axis=0)
    order = np.argsort(-count, kind="stable")
    cells, places, magnitude = cells[:, order], places[..., order], magnitude[order]
    rivals = _Rivals.of(possible[:, order])
    y, row_weights = _pixels(rows, cells[0])
    x, column_weights = _pixels(columns, cells[1])

    # Values relative to the first rival, so that two rivals take one interpolation.
    base = grid.take(rivals.turn(0) * logits_per_class + places)

    def lead_on_first(part: slice, classes: Integers) -> Floats:
        lead = grid.take(classes * logits_per_class + places[..., part]) - base[..., part]
        return _weighted(lead, row_weights[..., part], column_weights[..., part])

    zero = np.zeros((len(y), len(x), len(order)), np.float32)
    lead, winner = rivals.contest(zero, lead_on_first, labels.dtype)

    unclear = np.flatnonzero(~(lead > _margin(magnitude)))
    if unclear.size:
        # Flattened, the cells come last: sorted by cell, the pixels are sorted by rivals again.
        a, b, cell = np.unravel_index(unclear[np.argsort(unclear % len(order))], lead.shape)

        def exact(part: slice, classes: Integers) -> Floats:
            values = grid.take(classes * logits_per_class + places[..., cell[part]])
            row, column = row_weights[:, a[part], cell[part]], column_weights[:, b[part], cell[part]]
            return _as_torch(values, row, column, classes < len(grid) // 8 * 8 if product_weights else None)

        pixels = _Rivals(rivals.classes, rivals.first[cell], rivals.count[cell])
        first = exact(slice(None), pixels.turn(0))
        winner[a, b, cell] = pixels.contest(first, exact, labels.dtype)[1]
    labels.reshape(-1)[(y * labels.shape[1])[:, None] + x] = winner


def _possible(values: Floats, copies_tie: bool) -> tuple[Bools, Floats]:
    """Which classes may win somewhere in a cell (classes, cells), and their magnitude (cells,).

    ``values`` is (classes, taps, taps, cells); ``copies_tie``: equal taps interpolate to equal bits.
    """
    each = np.arange(values.shape[3])
    reference = values.sum(axis=(1, 2)).argmax(axis=0)
    reference_values = np.moveaxis(values[reference, :, :, each], 0, 2)
    lead = reference_values - values
    lines = [_bounds([(tap, tap) for tap in line]) for line in np.moveaxis(lead, 0, 2)]
    beaten = _beaten(*_bounds(lines), _margin(np.abs(reference_values).max(axis=(0, 1))))
    if copies_tie:  # An exact copy of the reference is a later class (argmax), which loses every tie.
        beaten |= (lead == 0).all(axis=(1, 2))
    beaten[reference, each] = False
    magnitude = np.maximum(values.max(axis=(1, 2)), -values.min(axis=(1, 2)))
    return ~beaten, np.where(beaten, 0, magnitude).max(axis=0)


@dataclass(frozen=True)
class _Rivals:
    """The classes that may win, for places sorted by their number, most first."""

    classes: Integers  # of all places, one after the other, ascending in each
    first: Integers  # (places,) index into classes
    count: Integers  # (places,)

    @staticmethod
    def of(possible: Bools) -> _Rivals:
        count = possible.sum(axis=0)
        return _Rivals(possible.T.nonzero()[1], np.cumsum(count) - count, count)

    def turn(self, turn: int) -> Integers:
        """The turn-th rival of each place that has one; these places come first."""
        return self.classes[self.first[: np.count_nonzero(self.count > turn)] + turn]

    def contest(
        self, best: Floats, value_of: Callable[[slice, Integers], Floats], kind: np.dtype[Any]
    ) -> tuple[Floats, Labels]:
        """Lead and class of the winner. ``best`` (..., places) is the first rival's value, overwritten."""
        second = np.full_like(best, -np.inf)
        winner = np.empty(best.shape, kind)
        winner[:] = self.turn(0)
        for turn in range(1, int(self.count[0])):
            classes = self.turn(turn)
            part = slice(0, len(classes))
            value = value_of(part, classes)
            best_part, second_part, winner_part = best[..., part], second[..., part], winner[..., part]
            # Classes ascend: a later winner is the larger number. This is faster than a masked copy.
            later = (value > best_part).view(np.uint8) * classes.astype(kind)
            np.maximum(winner_part, later, out=winner_part)
            np.maximum(second_part, np.minimum(value, best_part), out=second_part)
            np.maximum(best_part, value, out=best_part)
        return best - second, winner


def _pixels(axis: _Axis, cells: Integers) -> tuple[Integers, Floats]:
    """Result pixels of cells (most, cells), a cell's last one repeated, and weights (taps, most, cells)."""
    steps = np.arange(axis.count.max())[:, None]
    pixels = axis.start[cells] + np.minimum(steps, axis.count[cells] - 1)
    return pixels, axis.weights.take(pixels, axis=1)


def _weighted(values: Floats, row_weights: Floats, column_weights: Floats) -> Floats:
    """(taps, taps, cells) values at the pixels of each cell: (rows, columns, cells)."""
    lines = sum(weights[:, None] * line for weights, line in zip(row_weights, values, strict=True))
    total: Floats = lines[:, 0, None] * column_weights[0]
    for tap in range(1, len(column_weights)):
        total += lines[:, tap, None] * column_weights[tap]
    return total


# What follows is PyTorch's CPU arithmetic (aten/src/ATen/native/cpu/UpSampleKernel.cpp as compiled for x86-64
# with FMA, found by comparing bits with version 2.13): which operations are fused decides the last bit.


def _torch_multiplies_weights_first(
    shape: tuple[int, ...], size: tuple[int, int], scale: tuple[float, float] | None
) -> bool:
    """Whether PyTorch's bilinear takes the kernel that multiplies row and column weights beforehand."""
    classes, height, width = shape
    if scale is not None:  # PyTorch would interpolate all logits, before the crop
        size = (math.floor(height * (1.0 / scale[0])), math.floor(width * (1.0 / scale[1])))
    return sum(size) <= 128 or (classes > 3 and height == width == 1)


def _as_torch(values: Floats, row_weights: Floats, column_weights: Floats, vectorised: Bools | None) -> Floats:
    """Interpolated (taps, taps, pixels) values, bit for bit.

    ``vectorised`` is None for the usual kernel, rows of taps first and then down. The other one, for small
    results, handles classes in groups of eight (True) and the remaining ones (False) in different order.
    """
    if vectorised is None:
        return _fused_sum([_fused_sum(line, column_weights) for line in values], row_weights)
    values = values.reshape(4, -1)
    weights = (row_weights[:, None] * column_weights).reshape(4, -1)
    return np.where(vectorised, _fused_sum(values, weights, (2, 3, 1, 0)), _fused_sum(values, weights))


def _fused_sum(values: Floats | list[Floats], weights: Floats, order: tuple[int, ...] = (1, 0, 2, 3)) -> Floats:
    order = order[: len(values)]  # two taps: (1, 0)
    total: Floats = values[order[0]] * weights[order[0]]
    for tap in order[1:]:
        total = _fused(values[tap], weights[tap], total)
    return total


def _fused(factor: Floats, other: Floats | np.float32, addend: Floats | np.float32) -> Floats:
    """float32 fused multiply-add, with one rounding.

    The product is exact in float64 and the sum is rounded to odd there, so that the second rounding, to
    float32, is the only one that counts.
    """
    product = factor.astype(np.float64) * other
    total = product + addend  # float64
    back = total - product
    lost = (product - (total - back)) + (addend - back)
    even = (total.view(np.int64) & 1) == 0
    towards = np.where(lost > 0, np.inf, -np.inf)
    odd: NDArray[np.float64] = np.where((lost != 0) & even, np.nextafter(total, towards), total)
    return odd.astype(np.float32)


def _linear_weights(fraction: Floats) -> Floats:
    return np.stack([np.float32(1) - fraction, fraction])


def _cubic_weights(fraction: Floats) -> Floats:
    """Weights at the distances 1 + fraction, fraction, 1 - fraction and 2 - fraction, with a = -0.75."""
    near = np.stack([fraction, np.float32(1) - fraction])
    far = near + np.float32(1)
    # 1.25 x^3 - 2.25 x^2 + 1 and -0.75 x^3 + 3.75 x^2 - 6 x + 3; the last operations are not fused.
    inner = _fused(near, np.float32(1.25), np.float32(-2.25)) * near * near + np.float32(1)
    outer = _fused(_fused(far, np.float32(-0.75), np.float32(3.75)), far, np.float32(-6))
    outer = outer * far + np.float32(3)
    return np.stack([outer[0], inner[0], inner[1], outer[1]])
