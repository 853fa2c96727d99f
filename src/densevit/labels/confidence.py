"""The confidence of the network at every pixel of the result."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from densevit.labels.axes import check_logits, make_axes
from densevit.labels.types import Align, Floats

_VALUES_AT_A_TIME = 1 << 18  # of all classes: they fit the processor's cache


def full_resolution_confidence(
    logits: NDArray[np.floating[Any]],
    size: tuple[int, int],
    *,
    scale: tuple[float, float] | None = None,
    align: Align = "bilinear",
) -> Floats:
    """Softmax probability of the winning class at every result pixel, computed in strips of rows.

    Takes and raises the same as :func:`full_resolution_labels`. Agrees with softmax over PyTorch's
    interpolation up to float32 rounding.

    Returns:
        (height, width) float32, from 1 / classes to 1.
    """
    grid = check_logits(logits)
    rows, columns = make_axes(grid, size, scale, align)
    height, width = size
    confidence = np.empty(size, np.float32)
    row_taps, column_taps = rows.taps[:, rows.cell_of_pixel], columns.taps[:, columns.cell_of_pixel]
    step = max(1, _VALUES_AT_A_TIME // (len(grid) * max(width, grid.shape[2])))
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
