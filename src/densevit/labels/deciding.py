"""Decide the cells that several classes may win, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from densevit.labels.arithmetic import interpolate_as_torch
from densevit.labels.axes import Axis
from densevit.labels.settling import bound_mean, compute_margin, is_beaten
from densevit.labels.types import Bools, Floats, Integers, Labels


def decide(
    labels: Labels,
    grid: Floats,
    rows: Axis,
    columns: Axis,
    cells: Integers,
    product_weights: bool,
) -> None:
    """Compute the result pixels of some cells, (2, cells) indices, and write them into ``labels``.

    Three steps, each for what the previous one leaves open: bounds drop the classes that cannot win anywhere in a
    cell; fast interpolation compares the others; where two are closer than rounding, PyTorch's operations decide.

    ``product_weights``: PyTorch multiplies row and column weights beforehand (`multiplies_weights_first`).
    """
    width, logits_per_class = grid.shape[2], grid[0].size
    places = (rows.taps[:, cells[0]] * width)[:, None] + columns.taps[:, cells[1]]  # (taps, taps, cells)
    corners = grid.reshape(len(grid), -1).take(places, axis=1)
    possible, magnitude = _find_possible(corners, copies_tie=not product_weights)
    # Cells with the most rivals first: each turn of the contest then works on a leading slice, without masks.
    count = possible.sum(axis=0)
    order = np.argsort(-count, kind="stable")
    cells, places, magnitude = cells[:, order], places[..., order], magnitude[order]
    rivals = Rivals.of(possible[:, order])
    y, row_weights = _list_pixels(rows, cells[0])
    x, column_weights = _list_pixels(columns, cells[1])

    # Values relative to the first rival, so that two rivals need only one interpolation.
    base = grid.take(rivals.turn(0) * logits_per_class + places)

    def lead_on_first(part: slice, classes: Integers) -> Floats:
        lead = grid.take(classes * logits_per_class + places[..., part]) - base[..., part]
        return _interpolate(lead, row_weights[..., part], column_weights[..., part])

    zero = np.zeros((len(y), len(x), len(order)), np.float32)
    lead, winner = rivals.contest(zero, lead_on_first, labels.dtype)

    unclear = np.flatnonzero(~(lead > compute_margin(magnitude)))
    if unclear.size:
        # Flattened, the cells come last: sorted by cell, the pixels are sorted by rivals again.
        a, b, cell = np.unravel_index(unclear[np.argsort(unclear % len(order))], lead.shape)

        def exact(part: slice, classes: Integers) -> Floats:
            values = grid.take(classes * logits_per_class + places[..., cell[part]])
            row, column = row_weights[:, a[part], cell[part]], column_weights[:, b[part], cell[part]]
            return interpolate_as_torch(
                values, row, column, classes < len(grid) // 8 * 8 if product_weights else None
            )

        pixels = Rivals(rivals.classes, rivals.first[cell], rivals.count[cell])
        first = exact(slice(None), pixels.turn(0))
        winner[a, b, cell] = pixels.contest(first, exact, labels.dtype)[1]
    # Smaller cells repeat their last pixel, which is written several times with the same label.
    labels.reshape(-1)[(y * labels.shape[1])[:, None] + x] = winner


def _find_possible(values: Floats, copies_tie: bool) -> tuple[Bools, Floats]:
    """Which classes may win somewhere in a cell (classes, cells), and their largest magnitude (cells,).

    ``values`` is (classes, taps, taps, cells); ``copies_tie``: equal taps interpolate to equal bits.
    A class is out where one reference class, the one with the largest sum, surely beats it in the whole cell.
    """
    each = np.arange(values.shape[3])
    reference = values.sum(axis=(1, 2)).argmax(axis=0)
    reference_values = np.moveaxis(values[reference, :, :, each], 0, 2)
    lead = reference_values - values
    lines = [bound_mean([(tap, tap) for tap in line]) for line in np.moveaxis(lead, 0, 2)]
    losers = is_beaten(*bound_mean(lines), compute_margin(np.abs(reference_values).max(axis=(0, 1))))
    if (
        copies_tie
    ):  # An exact copy of the reference is a later class (argmax takes the first), and loses every tie.
        losers |= (lead == 0).all(axis=(1, 2))
    losers[reference, each] = False
    magnitude = np.maximum(values.max(axis=(1, 2)), -values.min(axis=(1, 2)))
    return ~losers, np.where(losers, 0, magnitude).max(axis=0)


@dataclass(frozen=True)
class Rivals:
    """The classes that may win, for places sorted by their number, most first."""

    classes: Integers  # of all places, one after the other, ascending in each
    first: Integers  # (places,) index into classes
    count: Integers  # (places,)

    @staticmethod
    def of(possible: Bools) -> Rivals:
        """From (classes, places): whether a class may win."""
        count = possible.sum(axis=0)
        return Rivals(possible.T.nonzero()[1], np.cumsum(count) - count, count)

    def turn(self, turn: int) -> Integers:
        """The turn-th rival of each place that has one; these places come first."""
        return self.classes[self.first[: np.count_nonzero(self.count > turn)] + turn]

    def contest(
        self, best: Floats, value_of: Callable[[slice, Integers], Floats], kind: np.dtype[Any]
    ) -> tuple[Floats, Labels]:
        """Lead and class of the winner. ``best`` (..., places) is the first rival's value, and is overwritten."""
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


def _list_pixels(axis: Axis, cells: Integers) -> tuple[Integers, Floats]:
    """Pixels (most, cells) and weights (taps, most, cells) of cells; smaller cells repeat their last pixel."""
    steps = np.arange(axis.count.max())[:, None]
    pixels = axis.start[cells] + np.minimum(steps, axis.count[cells] - 1)
    return pixels, axis.weights.take(pixels, axis=1)


def _interpolate(values: Floats, row_weights: Floats, column_weights: Floats) -> Floats:
    """(taps, taps, cells) values at the pixels of each cell: (rows, columns, cells)."""
    lines = sum(weights[:, None] * line for weights, line in zip(row_weights, values, strict=True))
    total: Floats = lines[:, 0, None] * column_weights[0]
    for tap in range(1, len(column_weights)):
        total += lines[:, tap, None] * column_weights[tap]
    return total
